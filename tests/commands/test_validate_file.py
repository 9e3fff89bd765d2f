"""`cryptovol validate --bars`: the gate on any file, as people and scripts call it."""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import cli, tables
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant

N = 400
RULES = [
    "foreign", "schema", "unfinished", "future", "disorder", "duplicates", "nulls", "range", "log_return",
    "zero_volume", "outlier_return", "outlier_volume", "repaired", "disagreement", "frozen", "gaps", "longest_gap",
    "freshness",
]  # fmt: skip
NUMBERS = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")


def _write(path: Path, bars, names=(*NUMBERS, "symbol", "quote")) -> str:
    columns = bars.columns()
    path.write_bytes(tables.encode_csv({name: columns[name] for name in names}))
    return str(path)


@pytest.fixture
def good(tmp_path):
    """Return the path of a file without a fault."""
    return _write(tmp_path / "good.csv.gz", make_bars(N))


@pytest.fixture
def bad(tmp_path):
    """Return the path of a file with three impossible bars of 400."""
    bars = make_bars(N)
    high = bars.high.copy()
    high[[7, 8, 200]] = 1.0
    return _write(tmp_path / "bad.csv.gz", replace(bars, high=high))


def _json(capsys, *words):
    code = cli.main(["validate", "--json", "--bars", *words])
    return code, json.loads(capsys.readouterr().out)


def test_a_good_file_passes_with_a_table_of_all_rules(good, capsys):
    """Every rule is listed with its verdict, and the exit code is 0."""
    assert cli.main(["validate", "--bars", good]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if " passed " in line] == RULES
    assert f"good.csv.gz: BTC/USD, {N} rows" in out and f"passed: {N} rows clean, 0 quarantined" in out


def test_a_bad_file_is_refused_with_reasons_and_exit_code_1(bad, capsys):
    """The rule, what it found, its limit and the first offender are printed."""
    assert cli.main(["validate", "--bars", bad]) == 1
    out = capsys.readouterr().out
    assert f"refused: {N - 3} rows clean, 3 quarantined" in out
    assert "- range: 0.75 %, limit 0.1 %, first 2024-01-01T07:00:00Z" in out


def test_json_is_the_report_with_the_file_and_the_notes(bad, capsys):
    """One JSON document, refused or not, with the gate's findings and the reader's notes."""
    code, body = _json(capsys, bad)
    assert code == 1 and body["verdict"] == "refused" and body["file"] == bad
    assert [finding["rule"] for finding in body["findings"]] == RULES
    assert next(f for f in body["findings"] if f["rule"] == "range")["found"] == 3
    assert any("does not say when its rows were fetched" in note for note in body["notes"])


def test_report_and_quarantine_are_written(bad, tmp_path, capsys):
    """The page and the rows taken out go where they are asked for, folders and all."""
    page, rows = tmp_path / "new" / "gate.html", tmp_path / "bad.csv"
    assert cli.main(["validate", "--bars", bad, "--report", str(page), "--quarantine", str(rows)]) == 1
    assert page.read_text().startswith("<!doctype html>") and "refused" in page.read_text()
    with rows.open() as file:
        assert [row["rule"] for row in csv.DictReader(file)] == ["range"] * 3
    capsys.readouterr()


def test_as_of_finds_the_hours_that_had_not_ended(good, capsys):
    """A file made before its newest hour had ended is refused if one says when it was made."""
    end = int(make_bars(N).time[-1]) + HOUR
    assert _json(capsys, good, "--as-of", format_instant(end))[0] == 0
    code, body = _json(capsys, good, "--as-of", format_instant(end - 60))
    assert code == 1 and [reason.split(":")[0] for reason in body["reasons"]] == ["future"]
    assert not any("--as-of" in note for note in body["notes"])


def test_fetch_times_in_the_file_find_them_too(tmp_path, capsys):
    """A file that says when its rows were fetched needs no --as-of."""
    bars = make_bars(N)
    fetched = bars.fetched_at.copy()
    fetched[-1] -= 60
    path = _write(tmp_path / "raw.csv.gz", replace(bars, fetched_at=fetched), names=bars.columns())
    code, body = _json(capsys, path)
    assert code == 1 and [reason.split(":")[0] for reason in body["reasons"]] == ["unfinished"]


def test_against_a_second_record_finds_where_they_disagree(good, tmp_path, capsys):
    """A second record that is a fifth dearer in a quarter of the hours is refused, and what it lacks is told."""
    bars = make_bars(N)
    close = np.where(np.arange(N) % 4 == 0, 1.2 * bars.close, bars.close)
    other = _write(tmp_path / "other.csv", replace(bars, close=close).take(slice(0, N - 10)))
    code, body = _json(capsys, good, "--against", other)
    found = next(f for f in body["findings"] if f["rule"] == "disagreement")
    assert code == 1 and found["found"] == 98 and found["verdict"] == "refused"
    assert any("lacks 10 of the file's hours" in note for note in body["notes"])


def test_the_pair_is_the_files_unless_asked_otherwise(tmp_path, capsys):
    """A file of ETH/EUR is checked as that; asked for as BTC every row is foreign."""
    path = _write(tmp_path / "eth.csv", make_bars(N, symbol="ETH", quote="EUR"))
    code, body = _json(capsys, path)
    assert code == 0 and (body["symbol"], body["quote"]) == ("ETH", "EUR")
    code, body = _json(capsys, path, "--symbol", "BTC")
    assert code == 1 and body["findings"][0]["found"] == N


def test_a_file_without_a_pair_is_read_as_the_one_in_params(tmp_path, capsys):
    """What the file does not name comes from the command line, else from params.yaml, and is told."""
    path = _write(tmp_path / "bare.csv", make_bars(N), names=NUMBERS)
    _, body = _json(capsys, path)
    assert (body["symbol"], body["quote"]) == ("BTC", "USD")
    assert "the file does not name the whole pair: taken as BTC/USD" in body["notes"]
    _, body = _json(capsys, path, "--symbol", "SOL", "--quote", "USDT")
    assert (body["symbol"], body["quote"]) == ("SOL", "USDT")


def test_a_file_of_two_pairs_is_checked_as_the_one_with_more_rows(tmp_path, capsys):
    """Rows of another pair are foreign, and the pairs are told with their counts."""
    path = tmp_path / "two.csv"
    one, two = (_write(tmp_path / s, make_bars(n, symbol=s)) for n, s in ((N, "BTC"), (30, "ETH")))
    both = [gzip.decompress(Path(each).read_bytes()).decode() for each in (one, two)]
    path.write_text(both[0] + both[1].split("\n", 1)[1])
    code, body = _json(capsys, str(path))
    assert code == 1 and body["symbol"] == "BTC" and body["findings"][0]["found"] == 30
    assert any("several pairs in one file (BTC/USD 400, ETH/USD 30 rows)" in note for note in body["notes"])


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--bars", "{tmp}/absent.csv"], 2, "there is no bar file"),
        (["--bars", "{tmp}/words.txt"], 1, "has no column time"),
        (["--bars", "{tmp}/head.csv"], 1, "a header but no bars"),
        (["--bars", "{good}", "--store", "x"], 2, "--store does not go with --bars"),
        (["--bars", "{good}", "--symbol", "BTC,ETH"], 2, "one pair"),
        (["--bars", "{good}", "--as-of", "noon"], 2, "ISO 8601"),
        (["--bars", "{good}", "--report", "{tmp}"], 2, "cannot write"),
        (["--report", "gate.html", "--store", "x"], 2, "--report does not go without --bars"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_a_cure(good, tmp_path, capsys, words, code, says):
    """A wrong call exits with 2, a file that holds no bars with 1; neither shows a traceback."""
    (tmp_path / "words.txt").write_text("these,are\nno,bars\n")
    (tmp_path / "head.csv").write_text("time,open,high,low,close,volume\n")
    assert cli.main(["validate", *(word.format(tmp=tmp_path, good=good) for word in words)]) == code
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error


def test_help_teaches_by_example(capsys):
    """The help shows both uses and the exit codes."""
    with pytest.raises(SystemExit):
        cli.main(["validate", "--help"])
    out = capsys.readouterr().out
    assert "cryptovol validate --bars btc.csv.gz" in out and "cryptovol validate --store data" in out
    assert "holds no bars, 2 if it cannot be read" in out
