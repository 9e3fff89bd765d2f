"""`cryptovol score --predictions`: any file of forecasts against the bars, beside baselines on the same rows."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptovol import baselines, cli, scores, tables, target
from cryptovol import volatility as vol
from cryptovol.commands import barfile, forecastfile, score
from cryptovol.errors import CryptovolError, ForecastFileError, GateRefusedError
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant

BARS = make_bars(1900, seed=4)
LEAST_ROWS = 400
FIRST = 1300  # of the forecasts
RETURNS = vol.log_returns(BARS.close)
AHEAD = target.forward(RETURNS, 24, coverage=1.0)
PAST = baselines.persistence(RETURNS, 24, coverage=0.75)
NUMBERS = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")


@pytest.fixture(autouse=True, scope="module")
def small(tmp_path_factory):
    """Use parameters that call a short history enough."""
    body = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    body["train"]["least_rows"] = LEAST_ROWS
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("params") / "params.yaml"
        path.write_text(yaml.safe_dump(body), encoding="utf-8")
        patch.setenv("CRYPTOVOL_PARAMS", str(path))
        yield


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> str:
    """Return the path of the bars."""
    return _bars(tmp_path_factory.mktemp("bars") / "bars.csv.gz", BARS)


def _bars(path: Path, found) -> str:
    columns = found.columns()
    path.write_bytes(tables.encode_csv({name: columns[name] for name in NUMBERS}))
    return str(path)


def _write(path: Path, rows, header="time,prediction") -> str:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return str(path)


def _forecasts(path: Path, values=PAST, *, first: int = FIRST, times=lambda at: int(BARS.time[at])) -> str:
    """Write a forecast for each bar from `first` on, with an interval of half to twice of it."""
    rows = [(times(at), v, v / 2, v * 2) for at, v in enumerate(values.tolist()) if at >= first]
    return _write(path, rows, "time,prediction,lower,upper")


def _score(*words: str) -> int:
    return cli.main(["score", *words])


def _json(capsys, *words: str) -> dict:
    assert _score("--json", *words) == 0
    captured = capsys.readouterr()
    assert not captured.err
    return json.loads(captured.out)


def test_a_file_is_scored_beside_baselines_on_the_same_rows(bars, tmp_path, capsys) -> None:
    """Persistence given as a file has persistence's very scores; what is not realized yet is left out and counted."""
    body = _json(capsys, "--predictions", _forecasts(tmp_path / "p.csv"), "--bars", bars)
    assert body["models"] == ["model", "har", "ewma", "persistence"]
    assert body["scores"]["model"] == pytest.approx(body["scores"]["persistence"])
    assert (body["rows"], body["left_out"]) == (1900 - FIRST - 24, {"not_yet_realized": 24})
    expected = scores.qlike(AHEAD[FIRST:-24], PAST[FIRST:-24]).mean()
    assert body["scores"]["model"]["qlike"] == pytest.approx(expected) and body["horizon_hours"] == 24
    assert body["dm"]["persistence"]["qlike"]["p"] == 1.0 and body["dm"]["har"]["qlike"]["rows"] == body["rows"]
    assert body["run"]["pair"] == "BTC/USD" and len(body["run"]["bars_sha256"]) == 64
    held = ((AHEAD >= PAST / 2) & (AHEAD <= PAST * 2))[FIRST:-24].mean()
    assert body["coverage"] == {"0.9": pytest.approx(held)}


def test_har_beside_the_file_knows_only_what_was_known(bars, tmp_path, capsys) -> None:
    """Other bars after an instant change no baseline's forecast before it: scores up to there are the same."""
    cut = 1700
    wild = replace(BARS, **{n: getattr(BARS, n) * np.where(np.arange(1900) > cut, 1.3, 1.0) for n in NUMBERS[1:5]})
    rows = np.arange(1900) < cut - 24
    path = _forecasts(tmp_path / "p.csv", PAST[rows])
    whole = _json(capsys, "--predictions", path, "--bars", bars)
    other = _json(capsys, "--predictions", path, "--bars", _bars(tmp_path / "wild.csv.gz", wild))
    assert whole["scores"] == other["scores"] and whole["rows"] == cut - 24 - FIRST


def test_the_end_of_the_bars_can_be_set(bars, tmp_path, capsys) -> None:
    """With --as-of what came later is not known, and forecasts on later bars are refused."""
    end = format_instant(int(BARS.time[1800]) + HOUR)
    path = _forecasts(tmp_path / "p.csv", PAST[:1801])
    body = _json(capsys, "--predictions", path, "--bars", bars, "--as-of", end, "--horizon", "6")
    assert body["rows"] == 1801 - FIRST - 6 and body["left_out"] == {"not_yet_realized": 6}
    assert _score("--predictions", _forecasts(tmp_path / "q.csv"), "--bars", bars, "--as-of", end) == 1
    assert "no bar opens at" in capsys.readouterr().err


def test_early_forecasts_without_a_grown_baseline_are_left_out(bars, tmp_path, capsys) -> None:
    """HAR on a handful of hours is no baseline: before it has its least rows nothing is scored."""
    body = _json(capsys, "--predictions", _forecasts(tmp_path / "p.csv", first=1000), "--bars", bars)
    early = 721 + 24 + LEAST_ROWS - 1000
    assert body["left_out"] == {"not_yet_realized": 24, "no_past_mean": early} and body["rows"] == 900 - 24 - early
    path = _forecasts(tmp_path / "q.csv", PAST[:900], first=800)
    assert _score("--predictions", path, "--bars", bars) == 1
    assert "nothing to score" in capsys.readouterr().err


def test_garch_is_a_baseline_when_asked_for(bars, tmp_path, capsys) -> None:
    """With --garch it stands among the others, on the same rows."""
    body = _json(capsys, "--predictions", _forecasts(tmp_path / "p.csv"), "--bars", bars, "--garch")
    assert body["models"] == ["model", "har", "garch", "ewma", "persistence"] and "garch" in body["dm"]


def test_page_and_body_are_written(bars, tmp_path, capsys) -> None:
    """--report writes the page and --out the same numbers as JSON; the terminal has the verdict and the table."""
    path, report, out = _forecasts(tmp_path / "p.csv"), tmp_path / "new" / "page.html", tmp_path / "body.json"
    assert _score("--predictions", path, "--bars", bars, "--report", str(report), "--out", str(out)) == 0
    text, body = capsys.readouterr().out, json.loads(out.read_text())
    assert body["verdict"]["sentence"] in report.read_text(encoding="utf-8")
    assert body["verdict"]["sentence"] in text and "left out: not yet realized 24" in text
    assert all(f"  {name}" in text for name in body["models"]) and "the 90% interval held" in text


def test_forecasts_in_another_unit_are_told(bars, tmp_path, capsys) -> None:
    """Annualised forecasts are scored as they stand, with a word on why they may be so bad."""
    assert _score("--predictions", _forecasts(tmp_path / "p.csv", PAST * 93.6), "--bars", bars) == 0
    assert "neither annualised" in capsys.readouterr().out
    assert _score("--predictions", _forecasts(tmp_path / "q.csv"), "--bars", bars) == 0
    assert "annualised" not in capsys.readouterr().out


def test_times_may_be_iso_texts_and_columns_in_any_order(bars, tmp_path, capsys) -> None:
    """The same forecasts under ISO times, with other columns between, have the same scores."""
    plain = _json(capsys, "--predictions", _forecasts(tmp_path / "p.csv"), "--bars", bars)
    rows = [(v, "x", format_instant(int(BARS.time[at]))) for at, v in enumerate(PAST.tolist()) if at >= FIRST]
    told = _json(
        capsys, "--predictions", _write(tmp_path / "q.csv", rows, "\ufeffPrediction,note,Time"), "--bars", bars
    )
    assert told["scores"] == plain["scores"] and told["coverage"] == {} and told["level"] is None


GOOD = [(int(BARS.time[FIRST]), 0.005, 0.004, 0.006), (int(BARS.time[FIRST + 1]), 0.005, 0.004, 0.006)]
HEADER = "time,prediction,lower,upper"
T = int(BARS.time[FIRST + 2])
BAD: dict[str, tuple[str, str]] = {
    "empty": ("", "is empty"),
    "blank": ("\n \n", "is empty"),
    "header alone": (HEADER + "\n", "has a header but no forecasts"),
    "no prediction": (f"time,forecast\n{T},1\n", "line 1: the header has no column prediction"),
    "lower alone": (f"time,prediction,lower\n{T},1,1\n", "line 1: the header has no column upper"),
    "a column twice": (f"time,prediction,time\n{T},1,{T}\n", "has the column time twice"),
    "too few fields": (f"{HEADER}\n{T},0.1\n", "line 2: 2 fields, but the header has 4"),
    "no number": (f"{HEADER}\n{T},abc,0.1,0.2\n", "line 2: prediction is 'abc', not a finite number"),
    "nan": (f"{HEADER}\n{T},nan,0.1,0.2\n", "line 2: prediction is 'nan', not a finite number"),
    "inf": (f"{HEADER}\n{T},0.1,0.1,inf\n", "line 2: upper is 'inf', not a finite number"),
    "nothing": (f"{HEADER}\n{T},,0.1,0.2\n", "line 2: prediction is '', not a finite number"),
    "underscore": (f"{HEADER}\n{T},1_0,0.1,0.2\n", "line 2: prediction is '1_0'"),
    "zero": (f"{HEADER}\n{T},0,0,1\n", "line 2: prediction is '0', not above 0"),
    "below zero": (f"{HEADER}\n{T},-1e-3,0,1\n", "line 2: prediction is '-1e-3', not above 0"),
    "next to nothing": (f"{HEADER}\n{T},1e-200,0,1\n", "not from 1e-09 to 1e+06"),
    "ends crossed": (f"{HEADER}\n{T},0.1,0.3,0.2\n", "line 2: lower is '0.3', not at most upper, which is 0.2"),
    "no time": (f"{HEADER}\nsoon,0.1,0.1,0.2\n", "line 2: time is 'soon', not a time"),
    "time of no calendar": (f"{HEADER}\n1e300,0.1,0.1,0.2\n", "line 2: time is '1e300', not a time"),
    "off the hour": (f"{HEADER}\n{T + 60},0.1,0.1,0.2\n", f"line 2: time is '{T + 60}', not on the hour"),
    "iso off the hour": (f"{HEADER}\n2024-03-01T00:00:00.5Z,0.1,0.1,0.2\n", "not on the hour"),
    "not in the bars": (f"{HEADER}\n{T},0.1,0.1,0.2\n\n{T + HOUR * 10**5},0.1,0.1,0.2\n", "line 4: no bar opens at"),
    "twice": (f"{HEADER}\n{T},0.1,0.1,0.2\n{T},0.1,0.1,0.2\n", "line 3: time 2024-02-24T06:00:00Z comes twice"),
    "unsorted": (f"{HEADER}\n{T},0.1,0.1,0.2\n{T - HOUR},0.1,0.1,0.2\n", "line 3: time 2024-02-24T05:00:00Z comes after"),
    "open quote": (f'{HEADER}\n"{T},0.1', "not a CSV file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_clear_error_that_names_the_line(case: str, bars, tmp_path, capsys) -> None:
    """The file, the line, what is there and the cure, in one line; exit code 1 and no traceback."""
    text, message = BAD[case]
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    assert _score("--predictions", str(path), "--bars", bars) == 1
    err = capsys.readouterr().err
    assert message in err and "bad.csv" in err and "Cure: " in err and err.count("\n") == 1


def test_bytes_that_are_no_text_are_refused(bars, tmp_path, capsys) -> None:
    """A gzipped or binary file is not a CSV file."""
    path = tmp_path / "bad.csv"
    path.write_bytes(b"time,prediction\n\x8b\xff\x00")
    assert _score("--predictions", str(path), "--bars", bars) == 1
    assert "not a CSV file" in capsys.readouterr().err


def test_a_file_that_is_too_large_is_not_read(bars, tmp_path, capsys, monkeypatch) -> None:
    """One byte past the limit is refused; the limit itself is read."""
    path = Path(_write(tmp_path / "p.csv", GOOD, HEADER))
    monkeypatch.setattr(forecastfile, "MOST_BYTES", path.stat().st_size - 1)
    assert _score("--predictions", str(path), "--bars", bars) == 1
    assert "has more than 0 MiB" in capsys.readouterr().err
    monkeypatch.setattr(forecastfile, "MOST_BYTES", path.stat().st_size)
    assert len(forecastfile.read(path).time) == 2


def test_bars_that_the_gate_refuses_are_not_scored_against(tmp_path, capsys) -> None:
    """The gate's reasons are told, as by the backtest."""
    close = BARS.close.copy()
    close[100:200] = np.nan
    path = _bars(tmp_path / "bars.csv.gz", replace(BARS, close=close))
    assert _score("--predictions", _forecasts(tmp_path / "p.csv"), "--bars", path) == 1
    assert "the gate refused" in capsys.readouterr().err


def test_gated_bars_leave_out_what_the_gate_takes_out(params, tmp_path) -> None:
    """One impossible bar of many is taken out; with an end, later bars are; a refusal carries its reasons."""
    high = BARS.high.copy()
    high[7] = 1.0
    path = Path(_bars(tmp_path / "bars.csv.gz", replace(BARS, high=high)))
    assert BARS.time[7] not in barfile.gated(path, params, symbol="BTC", quote="USD").time
    end = format_instant(int(BARS.time[99]) + HOUR)
    good = Path(_bars(tmp_path / "good.csv.gz", BARS))
    assert barfile.gated(good, params, symbol="BTC", quote="USD", end=end).time[-1] == BARS.time[99]
    with pytest.raises(GateRefusedError) as caught:
        barfile.gated(path, params, symbol="BTC", quote="USD", end=end)
    assert caught.value.reasons and "range" in caught.value.refused_by


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bars", "b.csv"), "--bars does not go without --predictions"),
        (("--garch", "--report", "p.html"), "--report, --garch does not go without --predictions"),
        (("--predictions", "p.csv"), "--predictions needs --bars FILE"),
        (("--predictions", "p.csv", "--store", "x"), "--store does not go with --predictions"),
        (("--predictions", "absent.csv", "--bars", "b.csv"), "cannot read absent.csv"),
        (("--predictions", "absent.csv", "--bars", "b.csv", "--horizon", "1"), "--horizon 1"),
        (("--predictions", "absent.csv", "--bars", "b.csv", "--horizon", "0"), "--horizon 0"),
        (("--predictions", "absent.csv", "--bars", "b.csv", "--symbol", "BTC,ETH"), "name one symbol"),
    ],
)
def test_wrong_arguments_exit_with_2(words, message, capsys) -> None:
    """What does not go together is said before anything is read."""
    assert _score(*words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("level", ["0", "1", "90"])
def test_a_level_that_is_no_share_is_refused(level, bars, tmp_path, capsys) -> None:
    """And one for a file without intervals."""
    path = _forecasts(tmp_path / "p.csv")
    assert _score("--predictions", path, "--bars", bars, "--level", level) == 2
    assert "is no share" in capsys.readouterr().err
    bare = _write(tmp_path / "q.csv", [row[:2] for row in GOOD])
    assert _score("--predictions", bare, "--bars", bars, "--level", "0.8") == 2
    assert "has no columns lower,upper" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_and_nowhere_else(monkeypatch) -> None:
    """A terminal sees the refits done and all; a pipe, and whoever asks for JSON, see nothing."""
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with score.progress_on(out) as tell:
        tell(3, 9)
    assert "baselines" in out.getvalue() and "3/9" in out.getvalue()
    for silent, quiet in ((io.StringIO(), False), (Terminal(), True)):
        with score.progress_on(silent, quiet=quiet) as tell:
            assert tell is None
        assert not silent.getvalue()


FIELDS = st.one_of(
    st.sampled_from([str(T), str(T + HOUR), "2024-01-01T00:00:00Z", "0.005", "nan", "-1", "", "1e999", "x", '"', "٣"]),
    st.integers(-(10**19), 10**19).map(str), st.floats().map(repr), st.text(max_size=5),
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(st.lists(FIELDS, min_size=2, max_size=5).map(",".join), max_size=6).map(
        lambda rows: "\n".join([HEADER, *rows])
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=80), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_any_bytes_give_forecasts_or_a_typed_error(tmp_path: Path, data: bytes) -> None:
    """Whatever the bytes, the outcome is forecasts that can be scored, or one error that names the file."""
    path = tmp_path / "any.csv"
    path.write_bytes(data)
    try:
        found = forecastfile.read(path)
        found.must_stand_on(BARS.time)
    except CryptovolError as error:
        assert isinstance(error, ForecastFileError) and "any.csv" in str(error)
        return
    assert len(found.time) and np.isin(found.time, BARS.time).all() and (np.diff(found.time) > 0).all()
    assert np.isfinite(found.predicted).all() and (found.predicted > 0).all()


ROWS = st.lists(
    st.tuples(st.integers(0, 3000), st.floats(1e-9, 1e6), st.floats(0, 1e3), st.floats(0, 1e3)), min_size=1, max_size=20,
    unique_by=lambda row: row[0],
)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.booleans())
def test_good_forecasts_are_read_bit_for_bit(tmp_path: Path, rows, iso: bool) -> None:
    """What Python's own writer writes comes back exactly, whether times are seconds or texts."""
    rows = sorted((HOUR * at, p, min(a, b), max(a, b)) for at, p, a, b in rows)
    path = tmp_path / "good.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.split(","))
        writer.writerows((format_instant(row[0]) if iso else row[0], *row[1:]) for row in rows)
    found = forecastfile.read(path)
    assert found.bounds is not None
    assert list(zip(found.time, found.predicted, *found.bounds, strict=True)) == rows
    assert found.line.tolist() == list(range(2, len(rows) + 2))
