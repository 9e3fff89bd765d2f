"""Benchmarks of the forecast: features beside pandas, a retrain, a search, a backtest, and the answer for one row.

The goals were set before anything was measured; each is said to be met or not as measured, on the machine of the run.
Bars are made up: what is timed does not depend on whose they are. Progress goes to stderr, for the run takes minutes.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cryptovol import features, forest, keys, model, spec, target, training
from cryptovol import params as params_module
from cryptovol.adapters.files import FileStore
from cryptovol.bars import Bars
from cryptovol.params import Params, TrainParams
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant, parse_instant
from cryptovol.training import TrainingTable
from cryptovol.tuneparams import TuneParams
from cryptovol.tuning import blocks, journal, search, space

Row = tuple[str, ...]
START = parse_instant("2019-07-01T00:00:00Z")  # of the made-up history
HORIZONS = (6, 24)
WEEK = 168
GOAL_BARS = 100_000  # at which speed and memory of the features are judged
LINEAR = 1.25  # time per bar at the most bars over that at `GOAL_BARS`, up to which it counts as linear


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Parameters
    ----------
    bars, turns
        Of the feature tables, and how often each is built by ours and by pandas in turn.
    hours
        Of the history trained, tuned and backtested on.
    refits
        Weekly ones of the backtest: its last so many weeks.
    trials, folds, test_hours
        Of the search.
    rounds
        Of the fits with one thread and with two.
    rows
        Answered one by one.
    trees
        Of a member, of which there are then two; 0 for the model of params.yaml.
    judged
        Whether these are the sizes the goals were set for.
    """

    bars: tuple[int, ...] = (10_000, GOAL_BARS, 1_000_000)
    turns: tuple[int, ...] = (15, 11, 3)
    hours: int = 48_000
    refits: int = 180
    trials: int = 50
    folds: int = 0
    test_hours: int = 0
    rounds: int = 3
    rows: int = 200
    trees: int = 0
    judged: bool = True

    def train(self, params: Params) -> TrainParams:
        """Return the training block, with few trees on one thread in a smoke test."""
        shape = params.train.forest
        small = replace(params.train, threads=1, members=2, forest=replace(shape, trees=self.trees))
        return small if self.trees else params.train

    def tune(self, params: Params) -> TuneParams:
        """Return the tuning block."""
        tune = replace(params.tune, trials=self.trials)
        return replace(tune, folds=self.folds, test_hours=self.test_hours) if self.folds else tune


FULL = Sizes()
QUICK = Sizes(
    bars=(1_000, 2_000, 4_000), turns=(2, 2, 1), hours=5_600, refits=1, trials=2, folds=2, test_hours=200, rounds=1,
    rows=5, trees=5, judged=False,
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """One table of the report under its title and a remark."""

    title: str
    remark: str
    head: Row
    rows: Sequence[Row]


@dataclass(frozen=True)
class Spent:
    """Seconds of one piece of work: by the clock, and of all its threads together."""

    wall: float
    cpu: float


def sections(sizes: Sizes) -> Iterator[Section]:
    """Yield the tables, each as soon as it is measured."""
    yield from _features(sizes)
    yield _one_row(sizes)
    yield _threads(sizes)
    yield _jobs(sizes)


def _tell(text: str) -> None:
    print(f"bench {time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def _spent(work: Callable[[], object]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _in_turn(works: dict[str, Callable[[], object]], turns: int) -> dict[str, Spent]:
    """Return the medians of works done in turn, after one round of warm-up."""
    taken: dict[str, list[Spent]] = {name: [] for name in works}
    for turn in range(turns + 1):
        for name, work in works.items():
            spent = _spent(work)
            if turn:
                taken[name].append(spent)
    return {
        name: Spent(statistics.median(s.wall for s in all_), statistics.median(s.cpu for s in all_))
        for name, all_ in taken.items()
    }


def _judge(sizes: Sizes, met: bool) -> str:
    return ("met" if met else "NOT met") if sizes.judged else "not judged: smoke test"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


# ---------------------------------------------------------------- features
@dataclass(frozen=True)
class Built:
    """What the feature tables of so many bars took; peaks in megabytes."""

    bars: int
    ours: Spent
    pandas: Spent
    peaks: dict[str, float]

    @property
    def ratio(self) -> float:
        """CPU seconds of pandas over ours."""
        return self.pandas.cpu / self.ours.cpu


def _features(sizes: Sizes) -> Iterator[Section]:
    found = [_built(n, turns) for n, turns in zip(sizes.bars, sizes.turns, strict=True)]
    yield Section(
        "Forecast: 36 features, ours beside pandas' rolling windows",
        "Medians, built in turn in one process. pandas: bench/rolling.py. Peak: most that tracemalloc saw allocated at "
        "once beside the bars, the table itself included, in a run of its own.",
        (
            "bars",
            "ours, wall",
            "ours, CPU",
            "pandas, wall",
            "pandas, CPU",
            "pandas / ours, CPU",
            "peak, ours",
            "pandas",
        ),
        [_built_row(each) for each in found],
    )
    yield Section("Forecast: goals of the features", "", ("goal", "measured", ""), _feature_goals(sizes, found))


def _built(n: int, turns: int) -> Built:
    import rolling

    _tell(f"features of {n:,} bars, ours and pandas in turn, turns: {turns}")
    bars = make_bars(n)
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: features.build(bars, coverage=0.75), "pandas": lambda: rolling.build(bars, coverage=0.75),
    }  # fmt: skip
    spent = _in_turn(works, turns)
    return Built(n, spent["ours"], spent["pandas"], {name: _peak(work) for name, work in works.items()})


def _peak(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _built_row(built: Built) -> Row:
    return (
        f"{built.bars:,}", _ms(built.ours.wall), _ms(built.ours.cpu), _ms(built.pandas.wall), _ms(built.pandas.cpu),
        f"{built.ratio:.1f}", f"{built.peaks['ours']:.0f} MB", f"{built.peaks['pandas']:.0f} MB",
    )  # fmt: skip


def _feature_goals(sizes: Sizes, found: list[Built]) -> list[Row]:
    usual, most = found[-2:]
    each = [1e9 * built.ours.cpu / built.bars for built in (usual, most)]
    growth = each[1] / each[0]
    return [
        (f"at least 15 x as fast as pandas, {usual.bars:,} bars", f"{usual.ratio:.1f} x", _judge(sizes, usual.ratio >= 15)),
        (
            f"under 60 MB extra at the peak, {usual.bars:,} bars", f"{usual.peaks['ours']:.0f} MB",
            _judge(sizes, usual.peaks["ours"] < 60),
        ),
        (
            f"still linear at {most.bars:,} bars (per bar at most {LINEAR} x)",
            f"{each[0]:.0f} ns a bar, then {each[1]:.0f} ns: {growth:.2f} x", _judge(sizes, growth <= LINEAR),
        ),
    ]  # fmt: skip


# ---------------------------------------------------------------- one row, one fit
@cache
def _bars(hours: int) -> Bars:
    return make_bars(hours, start=START)


@cache
def _params() -> Params:
    return params_module.load(Path("params.yaml"))


@cache
def _table(hours: int, horizon: int) -> TrainingTable:
    block = _params().featurize
    built = features.build(_bars(hours), coverage=block.window_coverage)
    ahead = target.forward(built.log_return, horizon, coverage=block.target_coverage)
    return TrainingTable(built.time, built.values, built.log_return, ahead, horizon, block.window_coverage)


def _one_row(sizes: Sizes) -> Section:
    """Return the time of one row's answer by the served arrays and by the same trees in XGBoost on one thread."""
    import xgboost

    train, table = sizes.train(_params()), _table(sizes.hours, 24)
    rows = np.flatnonzero(table.labelled())[-20_000:]
    _tell(f"one row: a model and its trees fitted on {len(rows):,} rows")
    whole = model.fit(table.values[rows], table.target[rows], train, horizon=24)
    z = whole.standardise(table.values[rows])
    shape = replace(train.forest, trees=train.forest.trees * train.members)
    data = xgboost.QuantileDMatrix(z.astype(np.float32), label=np.log(table.target[rows]), max_bin=shape.bins)
    booster = model.train_booster(data, shape, seed=train.seed, threads=train.threads)
    trees = forest.from_xgboost(bytes(booster.save_raw("json")))
    booster.set_param({"nthread": 1})
    one, wide, narrow = table.values[rows[-1:]], z[-1:], z[-1:].astype(np.float32)
    np.testing.assert_allclose(trees.predict(wide), booster.inplace_predict(narrow), rtol=1e-5)
    works: dict[str, Callable[[], object]] = {
        "the whole model": lambda: whole.predict(one), "numpy arrays": lambda: trees.predict(wide),
        "XGBoost, in place": lambda: booster.inplace_predict(narrow),
        "XGBoost, by DMatrix": lambda: booster.predict(xgboost.DMatrix(narrow)),
    }  # fmt: skip
    return _row_section(_in_turn(works, sizes.rows), f"{shape.trees} trees, depth {shape.depth}")


def _row_section(spent: dict[str, Spent], trees: str) -> Section:
    ours = spent["numpy arrays"].wall
    rows: list[Row] = []
    for name, each in spent.items():
        what = f"Model.predict: ridge, {trees}, level" if name == "the whole model" else f"{trees}: {name}"
        rows.append((what, f"{1e6 * each.wall:.0f} us", f"{each.wall / ours:.1f}"))
    remark = "Medians of single calls in turn, one row each, one thread. In place is XGBoost's fastest way."
    return Section("Forecast: one row", remark, ("what", "wall", "over the arrays'"), rows)


def _threads(sizes: Sizes) -> Section:
    """Return the time of one fit with one thread and with two."""
    train, table = sizes.train(_params()), _table(sizes.hours, 24)
    rows = np.flatnonzero(table.labelled())
    values, ahead = table.values[rows], table.target[rows]
    _tell(f"one fit on {len(rows):,} rows, 1 thread and 2 in turn, rounds: {sizes.rounds}")
    works: dict[str, Callable[[], object]] = {
        str(threads): lambda threads=threads: model.fit(values, ahead, replace(train, threads=threads), horizon=24)
        for threads in (1, 2)
    }
    spent = _in_turn(works, sizes.rounds)
    found = [(n, f"{s.wall:.2f} s", f"{s.cpu:.2f} s", f"{spent['1'].wall / s.wall:.2f} x") for n, s in spent.items()]
    remark = (
        f"model.fit on {len(rows):,} rows, medians in turn; {os.cpu_count()} cores, shared with whatever else runs."
    )
    return Section("Forecast: XGBoost threads", remark, ("threads", "wall", "CPU", "as fast as with 1, wall"), found)


# ---------------------------------------------------------------- retrain, search, backtest
def _jobs(sizes: Sizes) -> Section:
    weeks, years = sizes.refits, sizes.hours / 8766
    threads = sizes.train(_params()).threads
    remark = (
        f"{sizes.hours:,} made-up hourly bars ({years:.1f} years), each job once. XGBoost threads of retrain and search: "
        f"{threads}. The backtest is `cryptovol backtest` in a process of its own, which also writes its page."
    )
    found = [*_retrain(sizes), *_search(sizes), _backtest(sizes, weeks)]
    return Section(
        "Forecast: retrain, search, backtest",
        remark,
        ("what", "wall", "CPU", "peak memory", "goal", "as measured"),
        found,
    )


def _retrain(sizes: Sizes) -> Iterator[Row]:
    """Yield the bundle of each horizon, its 90-day walk included, and both together."""
    wall = cpu = 0.0
    train = sizes.train(_params())
    for horizon in HORIZONS:
        table = _table(sizes.hours, horizon)
        header = {
            "name": "bench", "symbol": "BTC", "quote": "USD", "market": "simulated", "source": "made-up",
            "trained_at": format_instant(int(table.time[-1]) + HOUR), "spec": spec.current(table.coverage),
        }  # fmt: skip
        _tell(f"retrain, {horizon} h")
        spent = _spent(lambda table=table, header=header: training.build_bundle(table, train, header=header))
        wall, cpu = wall + spent.wall, cpu + spent.cpu
        yield f"retrain, {horizon} h, no tuning", f"{spent.wall:.1f} s", f"{spent.cpu:.1f} s", "", "", ""
    verdict = _judge(sizes, wall < 20)
    yield "retrain, both horizons", f"{wall:.1f} s", f"{cpu:.1f} s", "", "under 20 s", verdict


def _search(sizes: Sizes) -> Iterator[Row]:
    """Yield the search of each horizon, its study kept in a folder."""
    train, tune = sizes.train(_params()), sizes.tune(_params())
    for horizon in HORIZONS:
        table = _table(sizes.hours, horizon)
        plan = blocks.plan(table, train, tune)

        def progress(done: int, total: int, best: float, horizon: int = horizon) -> None:
            _tell(f"search, {horizon} h: trial {done} of {total}, best QLIKE {best:.4f}")

        with tempfile.TemporaryDirectory(prefix="cryptovol-bench-") as folder:
            log = keys.tuning_log("simulated", "btc-usd", horizon, study="bench")
            study = journal.StoredStudy(FileStore(Path(folder)), log, "bench")
            started, cpu = time.perf_counter(), time.process_time()
            trials = search.run(
                study, plan, train, tune, starts=[space.values_of(train)], seconds=float("inf"), progress=progress
            )
            wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        whole = sum(trial.complete for trial in trials)
        what = f"search, {horizon} h, {len(trials)} trials ({len(trials) - whole} cut short)"
        yield what, f"{wall:.0f} s", f"{cpu:.0f} s", "", "under 4 min", _judge(sizes, wall < 240)


def _backtest(sizes: Sizes, weeks: int) -> Row:
    """Return the row of `cryptovol backtest` as a person would call it, in a process of its own."""
    bars = _bars(sizes.hours)
    start = format_instant(int(bars.time[-1]) + HOUR - HOUR * WEEK * weeks)
    _tell(f"backtest, 24 h, from {start}, {weeks} refits")
    with tempfile.TemporaryDirectory(prefix="cryptovol-bench-") as folder:
        _write(bars, Path(folder, "bars.csv.gz"))
        command = [
            sys.executable, "-m", "cryptovol", "backtest", "--bars", f"{folder}/bars.csv.gz", "--horizon", "24",
            "--start", start, "--refit-hours", str(WEEK), "--out", f"{folder}/predictions.csv", "--json",
        ]  # fmt: skip
        started = time.perf_counter()
        usage = _run(command, Path(folder, "stdout"))
        wall = time.perf_counter() - started
        json.loads(Path(folder, "stdout").read_text(encoding="utf-8"))
        made = len(Path(folder, "predictions.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert made >= WEEK * (weeks - 1), f"only {made} forecasts"
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    what = f"backtest, 24 h, {weeks} weekly refits, {made:,} forecasts"
    cpu = usage.ru_utime + usage.ru_stime
    return what, f"{wall:.0f} s", f"{cpu:.0f} s", f"{peak:.0f} MB", "under 6 min", _judge(sizes, wall < 360)


def _run(command: list[str], stdout: Path) -> Any:
    """Run a command to its end and return what it used; its own, where `getrusage` would mix in earlier children."""
    with stdout.open("wb") as file:
        child = subprocess.Popen(command, stdout=file)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return usage


def _write(bars: Bars, path: Path) -> None:
    names = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
    lines = zip(*(getattr(bars, name).tolist() for name in names), strict=True)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        file.write("time,open,high,low,close,volumefrom,volumeto\n")
        file.writelines(",".join(map(repr, line)) + "\n" for line in lines)
