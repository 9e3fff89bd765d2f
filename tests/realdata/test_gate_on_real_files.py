"""The gate on real bar files as vendors gave them: each ends in a verdict that names its real defects, counted.

Every count is taken from the file a second time here, with plain csv code that shares nothing with the reader.
"""

import csv
import gzip
import json
from bisect import bisect_left, insort
from collections import defaultdict
from pathlib import Path

import pytest

from cryptovol import cli

DATA = Path("../shared/data")
CAPTURES = "raw/cryptocompare_btc_usd_daily_captures_2025.txt.gz"
HISTOHOUR = "raw/cryptocompare_btc_usd_histohour_2019_2025.csv.gz"
VENDOR = "raw/cryptodatadownload_binance_btc_usdt_1h.csv.gz"
GEMINI = "raw/cryptodatadownload_gemini_btc_usd_1h.csv.gz"
TAIL = "raw/binance_btc_usdt_with_other_venue_tail.csv.gz"
HOUR = 3600

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real bars are not here"),
]


def _lines(name):
    """Return a file's rows of texts."""
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _validate(capsys, name, *words):
    """Return exit code, report and findings by rule."""
    code = cli.main(["validate", "--json", "--bars", str(DATA / name), *words])
    report = json.loads(capsys.readouterr().out)
    return code, report, {finding["rule"]: finding for finding in report["findings"]}


def _counts(findings):
    return {rule: finding["found"] for rule, finding in findings.items() if finding["found"]}


def _noted(report, part):
    return [note for note in report["notes"] if part in note]


def _missing(times):
    """Return how many hours are missing between the first and the last, and in how many gaps."""
    steps = [(b - a) // HOUR - 1 for a, b in zip(times[:-1], times[1:], strict=True)]
    return sum(steps), sum(step > 0 for step in steps)


def _far_above(values, times, window):
    """Return the places of values above so many times the median of those before, by a sorted window."""
    past, found = [], []
    for place, value in enumerate(values):
        n = len(past)
        if n >= window // 4 and value > times * (past[(n - 1) // 2] + past[n // 2]) / 2:
            found.append(place)
        insort(past, value)
        if n == window:
            del past[bisect_left(past, values[place - window])]
    return found


@pytest.mark.parametrize(
    ("name", "rows", "impossible", "quiet", "gaps"),
    [
        ("btc_usd_cryptocompare_1h", 48_023, 1, 0, (0, 0)),
        ("btc_usdt_binance_1h", 77_692, 0, 73, (63, 21)),
        ("eth_usdt_binance_1h", 77_692, 0, 75, (63, 21)),
    ],
)
def test_normalised_files_pass_with_counted_findings(capsys, params, name, rows, impossible, quiet, gaps):
    """Years of real bars pass; impossible, untraded and missing hours are found to the last one, and so are outliers."""
    table = [[float(field or 0) for field in line[:6]] for line in _lines(f"{name}.csv.gz")[1:]]
    wrong = [t for t, opened, high, low, close, _ in table if high < max(opened, close) or low > min(opened, close)]
    volumes = [row[5] for row in table if row[5] > 0 and row[0] not in wrong]
    large = _far_above(volumes, params.gate.volume_times, params.gate.outlier_hours)
    assert (len(table), len(wrong), sum(row[5] == 0 for row in table)) == (rows, impossible, quiet)
    assert _missing([row[0] for row in table]) == gaps
    code, report, found = _validate(capsys, f"{name}.csv.gz")
    assert code == 0 and report["rows"] == rows and report["rows_quarantined"] == impossible + quiet
    counts = _counts(found)
    assert counts.pop("outlier_return") <= 21  # crashes, which are real
    assert counts.pop("outlier_volume") == len(large)
    assert counts == {k: v for k, v in (("range", impossible), ("zero_volume", quiet), ("gaps", gaps[0])) if v}
    assert gaps == (0, 0) or found["gaps"]["note"].startswith("21 gaps in ")


def test_impossible_bar_and_false_volumes_of_the_aggregate_are_named(capsys):
    """The bar whose high is below its open, and the hour with 235,648 coins, stand first in their rules."""
    _, _, found = _validate(capsys, "btc_usd_cryptocompare_1h.csv.gz")
    assert found["range"]["offenders"][0]["time"] == "2021-01-04T05:00:00Z"
    assert found["range"]["offenders"][0]["value"].startswith("open 33287.7 high 33128.82")
    assert found["outlier_volume"]["offenders"][0]["time"] == "2021-01-04T06:00:00Z"
    assert found["outlier_volume"]["offenders"][0]["value"].startswith("235647.61 is 131.9 times")


def _captured():
    """Return the captures' rows as (time or None, capture, texts)."""
    rows, capture = [], 0
    for line in _lines(CAPTURES):
        if line[0].startswith("# capture"):
            capture = int(line[0].split()[2])
        elif not line[0].isupper():
            rows.append((int(line[0]) if line[0] else None, capture, line))
    return rows


def test_captures_are_refused_for_the_hours_still_forming(capsys):
    """147 hours were first read before they had ended, 139 never again; the gate takes out every such row."""
    rows = _captured()
    early = [time for time, capture, _ in rows if time and capture < time + HOUR]
    ended = {time for time, capture, _ in rows if time and capture >= time + HOUR}
    assert (len(early), len(set(early)), len(set(early) - ended)) == (151, 147, 139)
    code, report, found = _validate(capsys, CAPTURES)
    assert code == 1 and report["verdict"] == "refused" and report["rows"] == len(rows) == 5_740
    assert found["unfinished"]["found"] == len(early) and found["unfinished"]["verdict"] == "refused"
    assert found["unfinished"]["offenders"][0] == {
        "time": "2025-05-13T11:00:00Z", "value": "read at 2025-05-13T11:51:28Z",
    }  # fmt: skip
    assert _noted(report, "147 hours read before the end, 139 of them never again")


def test_captures_are_refused_for_empty_and_repeated_rows(capsys):
    """Two captures of empty rows are 48 rows without a time; 725 hours come again, nine with other numbers."""
    rows = _captured()
    versions = defaultdict(list)
    for time, _, line in rows:
        versions[time].append([float(field) for field in line[3:9] if field])
    del versions[None]
    again = [seen for seen in versions.values() if len(seen) > 1]
    changed = sum(any(one != seen[0] for one in seen) for seen in again)
    empty = sum(time is None for time, _, _ in rows)
    assert (empty, len(versions), len(again), changed) == (48, 4_668, 725, 9)
    code, report, found = _validate(capsys, CAPTURES)
    assert code == 1 and found["schema"]["found"] == empty and found["schema"]["verdict"] == "refused"
    assert _noted(report, "725 hours given more than once") and _noted(report, "the numbers differ in 9,")
    assert _noted(report, "48 rows without a time") and _noted(report, "241 captures in one file, under 2 headers")
    finished = [time for time, capture, _ in rows if time and capture >= time + HOUR]
    # Every finished hour is left once, unless all its rows stand after a newer hour's.
    assert found["disorder"]["found"] + found["duplicates"]["found"] >= len(finished) - len(set(finished))
    assert {found[rule]["verdict"] for rule in ("disorder", "duplicates")} == {"refused"}


def test_last_row_of_a_download_is_told_by_when_it_was_made(capsys):
    """Nothing in the file shows that its last hour is cut short, which is said; the time of its making shows it."""
    last = _lines(HISTOHOUR)[-1]
    later = [line for time, capture, line in _captured() if str(time) == last[0] and capture >= time + HOUR]
    assert last[7] == "137.32" and {line[7] for line in later} == {"468.59"}
    code, report, found = _validate(capsys, HISTOHOUR)
    assert code == 0 and _counts(found).keys() == {"range", "outlier_return", "outlier_volume"}
    assert _noted(report, "nothing shows that its newest hour had ended") and _noted(report, "--as-of with the moment")
    code, report, found = _validate(capsys, HISTOHOUR, "--as-of", "2025-05-13T10:30:00Z")
    assert code == 1 and [reason.split(":")[0] for reason in report["reasons"]] == ["future"]
    assert found["future"]["found"] == 1 and found["future"]["offenders"][0]["time"] == "2025-05-13T10:00:00Z"


def _seconds(text):
    return float(text) / 1000 if float(text) > 1e11 else float(text)


def test_vendor_file_is_refused_for_hours_given_twice(capsys):
    """2,649 hours come twice, one with another close; wrong dates, a nonsense first bar and outages are counted."""
    table = _lines(VENDOR)[2:]
    versions = defaultdict(list)
    for line in table:
        versions[_seconds(line[0])].append(line)
    twice = [seen for seen in versions.values() if len(seen) == 2]
    other_close = [seen for seen in twice if abs(float(seen[0][6]) - float(seen[1][6])) > 0.01]
    still = {time for time, seen in versions.items() if float(seen[0][7]) == 0}
    assert (len(table), len(twice), len(other_close), len(still)) == (32_181, 2_649, 1, 116)
    code, report, found = _validate(capsys, VENDOR)
    assert code == 1 and [reason.split(":")[0] for reason in report["reasons"]] == ["duplicates"]
    expected = {"duplicates": 2_649, "log_return": 1, "zero_volume": 116, "gaps": _missing(sorted(versions))[0]}
    assert {rule: count for rule, count in _counts(found).items() if rule != "outlier_return"} == expected
    assert found["log_return"]["offenders"][0]["time"] == "2017-08-17T04:00:00Z"
    assert _noted(report, "in 91 rows the date column disagrees with the time column")
    assert _noted(report, "newest first") and _noted(report, "1 line above the header skipped")
    assert _noted(report, "seconds in 28,584 rows, milliseconds in 3,597 rows")


def test_thin_market_is_refused_for_hours_without_a_trade(capsys):
    """1,109 untraded hours are more than two in a hundred; the impossible first bar and three gaps are found."""
    table = _lines(GEMINI)[2:]
    still = sum(float(line[7]) == 0 for line in table)
    assert (len(table), still, table[-1][3], table[-1][5]) == (45_825, 1_109, "0.0", "0.0")
    code, report, found = _validate(capsys, GEMINI)
    assert code == 1 and found["zero_volume"]["verdict"] == "refused" and found["zero_volume"]["found"] == still
    assert found["range"]["found"] == 1 and found["range"]["offenders"][0]["time"] == "2015-10-08T13:00:00Z"
    assert found["gaps"]["found"] == _missing(sorted(_seconds(line[0]) for line in table))[0] == 3
    assert _noted(report, "no quote volume is given")


def test_hours_of_another_venue_pass_unseen_and_a_second_record_says_what_it_does_not_cover(capsys):
    """161 hours of a second exchange break no rule: their prices agree, and a small volume is none of the faults.

    Held against a record of the venue itself the rest agrees to the last hour, and the hours that the record lacks,
    among which all of the other venue's are, are told as not compared.
    """
    table = _lines(TAIL)[1:]
    other = [line[0] for line in table if len(line[5].partition(".")[2]) > 6]
    assert len(other) == 161 and min(other) == "2026-07-03 00:00:00+00:00"
    code, report, found = _validate(
        capsys, TAIL, "--quote", "USDT", "--against", str(DATA / "btc_usdt_binance_1h.csv.gz")
    )
    assert code == 0 and {k: v for k, v in _counts(found).items() if "outlier" not in k} == {
        "zero_volume": 4, "gaps": 61,
    }  # fmt: skip
    assert found["gaps"]["note"].startswith("22 gaps in ")
    late = sum(line[0] >= "2026-07-01" for line in table)
    assert found["disagreement"]["measured"] == 0 and found["disagreement"]["note"] == "65649 hours compared"
    assert _noted(report, f"lacks {late:,} of the file's hours, 2026-07-01T")
