"""`make bench` of the forecast: the smoke test prints every row, and a goal that is missed is called missed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import forecast
from bench.forecast import FULL, QUICK, Built, Spent

ROWS = (
    r"1,000 \| .* ms \| .* ms \| .* ms \| .* ms \| \d+\.\d \| \d+ MB \| \d+ MB",
    r"2,000 \| .*",
    r"4,000 \| .*",
    r"at least 15 x as fast as pandas, 2,000 bars \| \d+\.\d x \| not judged: smoke test",
    r"under 60 MB extra at the peak, 2,000 bars \| \d+ MB \| not judged: smoke test",
    r"still linear at 4,000 bars .* \| \d+ ns a bar, then \d+ ns: \d+\.\d\d x \| not judged: smoke test",
    r"Model\.predict: ridge, 10 trees, depth \d+, level \| \d+ us \| .*",
    r"10 trees, depth \d+: numpy arrays \| \d+ us \| 1\.0",
    r"10 trees, depth \d+: XGBoost, in place \| \d+ us \| .*",
    r"10 trees, depth \d+: XGBoost, by DMatrix \| \d+ us \| .*",
    r"1 \| \d+\.\d\d s \| \d+\.\d\d s \| 1\.00 x",
    r"2 \| \d+\.\d\d s \| \d+\.\d\d s \| \d+\.\d\d x",
    r"retrain, 6 h, no tuning \| .*",
    r"retrain, 24 h, no tuning \| .*",
    r"retrain, both horizons \| \d+\.\d s \| \d+\.\d s \|  \| under 20 s \| not judged: smoke test",
    r"search, 6 h, 2 trials \(0 cut short\) \| .* \| under 4 min \| not judged: smoke test",
    r"search, 24 h, 2 trials \(0 cut short\) \| .* \| under 4 min \| not judged: smoke test",
    r"backtest, 24 h, 1 weekly refits, 16\d forecasts \| \d+ s \| \d+ s \| \d+ MB \| under 6 min \| not judged: smoke test",
)
PARTS = ("features of", "one row", "one fit", "retrain, 6 h", "search, 24 h: trial 2 of 2", "backtest, 24 h, from")


def bench(*arguments):
    """Run the script as make does; threads that wait do not spin, for the cores are shared with other tests."""
    command = [sys.executable, "bench/run.py", *arguments]
    environ = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_the_smoke_test_prints_every_row_and_writes_nothing():
    """Small sizes go through every part: each row is printed once, progress goes to stderr, the page stays as it was."""
    page = Path("docs/benchmarks.md")
    before = page.read_bytes()
    done = bench("--only", "forecast", "--quick")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for row in ROWS:
        assert sum(bool(re.fullmatch(rf"\| {row} \|", line)) for line in lines) == 1, (row, done.stdout)
    assert all(f"  {part}" in done.stderr for part in PARTS), done.stderr
    assert page.read_bytes() == before


@pytest.mark.parametrize("arguments", [("--quick",), ("--only", "market", "--quick")])
def test_a_smoke_test_never_takes_the_place_of_the_measurement(arguments):
    """Small sizes are refused where their numbers could be kept or taken for those of another part."""
    done = bench(*arguments)
    assert done.returncode == 2 and "--only forecast" in done.stderr


def built(n, ours, pandas, peak):
    """Return what feature tables took, in CPU seconds and megabytes."""
    return Built(n, Spent(9.0, ours), Spent(9.0, pandas), {"ours": peak, "pandas": 999.0})


@pytest.mark.parametrize(
    ("usual", "most", "verdicts"),
    [
        (built(100_000, 0.1, 1.5, 59.0), built(1_000_000, 1.25, 0.0, 0.0), ["met", "met", "met"]),
        (built(100_000, 0.1, 1.4, 60.0), built(1_000_000, 1.3, 0.0, 0.0), ["NOT met", "NOT met", "NOT met"]),
    ],
)
def test_a_goal_is_met_or_not_as_measured(usual, most, verdicts):
    """Speed is judged by CPU seconds, memory by our own peak, growth by the time per bar, each at its bound."""
    rows = forecast._feature_goals(FULL, [built(10_000, 1.0, 1.0, 999.0), usual, most])
    assert [row[-1] for row in rows] == verdicts
    assert {row[-1] for row in forecast._feature_goals(QUICK, [usual, most])} == {"not judged: smoke test"}


def test_works_are_measured_in_turn():
    """Each turn does every work once, so that what slows the machine slows them alike; the first turn warms up."""
    order = []
    spent = forecast._in_turn({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert order == list("ab" * 4)
    assert set(spent) == {"a", "b"} and min(spent["a"].wall, spent["a"].cpu) >= 0


def test_a_failing_command_fails_the_benchmark(tmp_path):
    """A backtest that ends with an error is no measurement."""
    with pytest.raises(subprocess.CalledProcessError):
        forecast._run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "out")
    used = forecast._run([sys.executable, "-c", "b = bytearray(60_000_000); print(1)"], tmp_path / "out")
    assert used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) > 60e6
    assert (tmp_path / "out").read_text() == "1\n"
