"""`make bench` of serving: its arithmetic, its verdicts and tables, and the processes it starts and ends."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import run as bench_run
from bench.serving import children, cold, events, keepers, load, rows, servers, stats, web
from bench.serving.sizes import FULL, QUICK
from bench.serving.stats import Spread
from bench.serving.world import SAME, World

SMOKE = "not judged: smoke test"


# ---------------------------------------------------------------- arithmetic
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values, hundredths):
    """It is one of the values, at least that share lies at or below it, and fewer than that share lie strictly below."""
    found = stats.percentile(values, hundredths / 100)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= hundredths * len(values)
    assert 100 * sum(value < found for value in values) < hundredths * len(values)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (0.07, 7), (1.0, 100)])
def test_percentiles_of_a_hundred_values_are_known(share, expected):
    """Of 1 to 100 the 99th percentile is 99: no mean of two, and no rank lost to rounding."""
    assert stats.percentile(list(range(100, 0, -1)), share) == expected


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.01)])
def test_no_percentile_of_nothing(values, share):
    """No values, or a share outside (0, 1], is a mistake and no number."""
    with pytest.raises(ValueError, match="no percentile"):
        stats.percentile(values, share)


@given(st.integers(1, 10_000), st.integers(1, 50))
def test_rounds_share_the_calls_equally(calls, rounds):
    """Rounds add up to the calls, differ by one at most, and none is empty."""
    found = stats.rounds_of(calls, rounds)
    assert sum(found) == calls and max(found) - min(found) <= 1 and min(found) >= 1


def test_numbers_are_told_as_people_read_them():
    """Small ones keep a digit, large ones have their thousands apart, and what is left out is named with the reason."""
    assert [stats.us(1.23e-5), stats.us(1.3e-3)] == ["12.3 us", "1,300 us"]
    assert [stats.ms(2.345e-4), stats.ms(1.5)] == ["0.23 ms", "1,500 ms"]
    assert [stats.times(1.234), stats.times(1234.5)] == ["1.23 x", "1,234 x"]
    assert stats.left_out({"a": "b"}) == "Not measured: a: b." and stats.left_out({}) == ""


# ---------------------------------------------------------------- verdicts and tables
def test_the_numpy_walk_is_judged_at_its_bound():
    """25 us a row is met and more is not; the others have no goal, and are told in multiples of it."""
    answer = {"versions": {"numpy": "2"}, "seconds": {n: {rows.OURS: [25e-6], rows.FRAME: [5e-3]} for n in ("1", "10")}}
    ours, frame = rows.tabled(answer, FULL).rows
    assert ours[-1] == "met" and frame[5:] == ("200 x", "", "")
    answer["seconds"]["1"][rows.OURS] = [25.1e-6]
    assert rows.tabled(answer, FULL).rows[0][-1] == "NOT met"


@pytest.mark.parametrize(
    ("event", "p50", "p99", "verdict"),
    [
        (events.FEATURES, 0.25e-3, 1e-3, "met"), (events.FEATURES, 0.26e-3, 1e-3, "NOT met"),
        (events.FEATURES, 0.25e-3, 1.01e-3, "NOT met"), (events.SYMBOL, 1e-3, 9.0, "met"),
        (events.SYMBOL, 1.01e-3, 1.02e-3, "NOT met"),
    ],
)  # fmt: skip
def test_a_handler_is_judged_by_median_and_tail(event, p50, p99, verdict):
    """Each kind of request has its own goal; a handler of another make has none."""
    found = {way: Spread(p50, p99, 10) for way in (events.WAYS[0], events.WAYS[2])}
    ours, rival = events.tabled({event: found}, FULL).rows
    assert ours[-1] == verdict and rival[5:] == ("1.00 x", "", "")
    assert events.tabled({event: found}, QUICK).rows[0][-1] == SMOKE


class Fake:
    """A handler that remembers what it was asked."""

    def __init__(self, name, order):
        self.name, self.order = name, order

    def call(self, event, calls):
        """Take one second a call."""
        self.order.append((self.name, calls))
        return [1.0] * calls


def test_handlers_take_turns_after_a_warm_up():
    """Each warms up alone, then every round asks each in turn; only the rounds count."""
    order = []
    ways = (events.WAYS[0], events.WAYS[2])
    found = events.in_turn({way: Fake(way.module, order) for way in ways}, events.FEATURES, QUICK)
    assert order == [("app", 6), ("chalice_frame", 1), *[("app", 30), ("chalice_frame", 5)] * 2]
    assert [found[way].calls for way in ways] == [60, 10]


def loaded(server, seconds, wall):
    """Return a server's load of 10 equal answers on one connection."""
    return web.Loaded(server, {1: load.Load([seconds] * 10, wall=wall)}, 80.0)


@pytest.mark.parametrize(
    ("seconds", "wall", "verdict"), [(2e-3, 10 / 1200, "met"), (2.1e-3, 1e-3, "NOT met"), (1e-3, 0.01, "NOT met")]
)
def test_the_local_server_is_judged_by_latency_and_rate(seconds, wall, verdict):
    """Both must hold; what could not be measured is named with the reason, and nothing else is judged."""
    ours, fast = (loaded(servers.SERVERS[i], seconds, wall) for i in (0, 2))
    section = web.tabled([ours, fast], {"BentoML": "it ended"}, FULL)
    assert [row[-1] for row in section.rows] == [verdict, ""] and section.rows[0][6] == "1.00 x"
    assert section.remark.endswith("Not measured: BentoML: it ended.")


@pytest.mark.parametrize(
    ("ours", "bare", "heavy", "verdicts"),
    [(0.3, 0.2, 1.5, ["", "met", "met"]), (0.31, 0.2, 1.5, ["", "NOT met", "NOT met"])],
)
def test_a_cold_start_is_judged_against_the_heavy_and_the_bare(ours, bare, heavy, verdicts):
    """By medians of the clock: five times as fast as the one, and one and a half times the other at most."""
    starts = {cold.OURS: [ours, 0.0, 9.0], cold.LEAST: [bare], cold.HEAVY: [heavy]}
    section = cold.tabled({start: [cold.Spent(wall, 1.0) for wall in each] for start, each in starts.items()}, {}, FULL)
    assert [row[-1] for row in section.rows] == verdicts
    assert section.rows[0][1:6] == ("3", stats.ms(ours), "0.00 ms", "9,000 ms", "1.00 x")


def test_keepers_are_told_by_start_file_and_packages():
    """Each keeper of the trees has its median start, also in multiples of numpy's, its file and what it takes on disk."""
    taken = {"numpy": [0.1, 0.2, 0.9], "onnxruntime": [0.5], "xgboost": [1.0]}
    files = {"numpy": 500_000, "onnxruntime": 1_000_000, "xgboost": 2_000_000}
    section = keepers.tabled(taken, files, {"numpy": 60.0, "onnxruntime": 130.4, keepers.XGBOOST: 200.0})
    assert section.rows[0] == ("numpy", "3", "200 ms", "1.00 x", "0.50 MB", "60 MB")
    assert section.rows[1] == ("onnxruntime", "1", "500 ms", "2.50 x", "1.00 MB", "130 MB")


def world(folder):
    """Return a world without a store."""
    return World(folder, "http://127.0.0.1:1", None, {"a": 1.0}, 0.01, "key", 1)


def test_rivals_see_the_store_and_the_model_and_no_secret(tmp_path, monkeypatch):
    """A child's environment names the store, the market and the model, and nothing of the caller's own settings."""
    monkeypatch.setenv("CRYPTOVOL_CRYPTOCOMPARE_KEY", "secret")
    environ = world(tmp_path).environ(SAME, PATH="/here")
    assert environ["CRYPTOVOL_MARKET"] == SAME and environ["PATH"] == "/here"
    assert environ["RIVAL_MODEL"] == str(tmp_path / "model.json") and "CRYPTOVOL_CRYPTOCOMPARE_KEY" not in environ


def test_an_answer_of_another_model_is_noticed(tmp_path):
    """An answer may differ in the digits that float32 does not hold, and no further."""
    assert world(tmp_path).agrees(0.0100005) and not world(tmp_path).agrees(0.0101)


# ---------------------------------------------------------------- processes and the page
FAMILY = "import subprocess, sys, time; c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); {}"


def test_a_process_ends_with_all_it_started(tmp_path):
    """A server's workers end with it, by the group it leads and nothing else."""
    command = [sys.executable, "-c", FAMILY.format("print(c.pid, flush=True); time.sleep(60)")]
    with children.running(command, os.environ, tmp_path / "log", stdout=subprocess.PIPE) as child:
        worker = children.read_json(child, tmp_path / "log")
        assert os.getpgid(worker) == child.pid and not children.peak_mb(child) <= 1
    assert child.poll() is not None
    deadline = time.monotonic() + 10
    while _runs(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid):
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_ends_too_early_says_why(tmp_path):
    """Instead of an answer, or of a server that is ready, comes what it printed last."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", "raise SystemExit('no model here')"]
    with children.running(command, os.environ, log, stdout=subprocess.PIPE) as child:
        with pytest.raises(children.FailedError, match="no model here"):
            children.read_json(child, log)
        with pytest.raises(children.FailedError, match="ended with 1"):
            children.wait_until(lambda: False, child, log, 10.0)
    with children.running([sys.executable, "-c", "input()"], os.environ, log, stdout=subprocess.PIPE) as child:
        with pytest.raises(children.FailedError, match="not ready within 0 s"):
            children.wait_until(lambda: False, child, log, 0.0)


def test_a_stuck_process_is_ended(tmp_path):
    """A process that says nothing for too long is killed, and whoever waits for its line is told."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with children.running(command, os.environ, tmp_path / "log", stdout=subprocess.PIPE, seconds=0.1) as child:
        with pytest.raises(children.FailedError, match="it ended"):
            children.read_json(child, tmp_path / "log")


PAGE = "# B\n\nhead\n\n## Install\n\na\n\n## Serving\n\nold\n\n## Serving: gone\n\nold\n\n## Serving times\n\nb\n"


def test_fresh_tables_take_the_place_of_their_part():
    """Old tables of the part go, those of others stay where they are, and doing it twice changes nothing."""
    found = bench_run.replaced(PAGE, "## Serving\n\nnew\n\n## Serving: HTTP\n\nnew\n")
    fresh = "## Serving\n\nnew\n\n## Serving: HTTP\n\nnew"
    assert found == f"# B\n\nhead\n\n## Install\n\na\n\n{fresh}\n\n## Serving times\n\nb\n"
    assert bench_run.replaced(found, fresh) == found


def test_a_new_part_stands_at_the_end():
    """A part that the page does not have yet is added after the others."""
    assert bench_run.replaced("# B\n\n## Install\n\na\n", "## Serving\n\nnew\n").endswith(
        "\n\na\n\n## Serving\n\nnew\n"
    )


@pytest.mark.parametrize(
    "arguments", [("--quick",), ("--only", "job", "--quick"), ("--write",), ("--only", "serving", "--quick", "--write")]
)
def test_small_sizes_are_never_written(arguments, monkeypatch, capsys):
    """What says nothing worth keeping, or is written anyway, is refused as a slip of the caller."""
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    with pytest.raises(SystemExit) as refused:
        bench_run._arguments()
    assert refused.value.code == 2 and "--only" in capsys.readouterr().err
