"""Who keeps the trees: numpy arrays, ONNX Runtime or XGBoost, by the start of a process and by size."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from . import children
from . import world as worlds
from .sizes import Sizes
from .stats import Row, Section, median, ms, times
from .world import World

TITLE = "Serving: who keeps the trees"
HEAD = ("keeper", "starts", "new process to first prediction", "over numpy's", "the trees' file", "packages on disk")
XGBOOST = "xgboost" if sys.platform == "darwin" else "xgboost-cpu"  # macOS has one build only
# Keeper, its package, its file of the trees.
KEEPERS = (
    ("numpy", "numpy", "forest.npz"), ("onnxruntime", "onnxruntime", "model.onnx"), ("xgboost", XGBOOST, "model.json"),
)  # fmt: skip
SECONDS = 60.0


def section(world: World, sizes: Sizes) -> Section:
    """Return the table of the keepers; `rows.section` has written their files."""
    if not worlds.RIVALS.exists():
        return Section(TITLE, f"Not measured: {worlds.RIVALS} is not there; `make bench` makes it.", HEAD, [])
    taken: dict[str, list[float]] = {keeper: [] for keeper, _, _ in KEEPERS}
    for turn in range(sizes.starts + 1):
        worlds.tell(f"serving: who keeps the trees, round {turn} of {sizes.starts}")
        for keeper in taken:
            seconds = _once(keeper, world)
            if turn:
                taken[keeper].append(seconds)
    command = [str(worlds.RIVALS), "bench/rivals/sizes.py", *(package for _, package, _ in KEEPERS)]
    done = subprocess.run(command, env=world.environ(), stdout=subprocess.PIPE, check=True, timeout=120)
    files = {keeper: (world.folder / file).stat().st_size for keeper, _, file in KEEPERS}
    return tabled(taken, files, json.loads(done.stdout))


def _once(keeper: str, world: World) -> float:
    log = world.folder / f"keeper-{keeper}.log"
    command = [str(worlds.RIVALS), "bench/rivals/forest_first.py", keeper, str(world.folder)]
    environ = world.environ(PYTHONPATH=str(Path("layers/core/python").resolve()))
    started = time.perf_counter()
    with children.running(command, environ, log, stdout=subprocess.PIPE, seconds=SECONDS) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        seconds = time.perf_counter() - started
    if not line.startswith(b"first "):
        raise children.FailedError(f"{keeper} predicts nothing: {children.tail(log)}")
    return seconds


def tabled(taken: dict[str, list[float]], files: dict[str, int], packages: dict[str, float]) -> Section:
    """Return the table of starts in seconds, files in bytes and packages in megabytes."""
    medians = {keeper: median(each) for keeper, each in taken.items()}
    rows: list[Row] = []
    for keeper, package, _ in KEEPERS:
        own = medians[keeper]
        rows.append((
            keeper, str(len(taken[keeper])), ms(own), times(own / medians["numpy"]), f"{files[keeper] / 1e6:.2f} MB",
            f"{packages[package]:.0f} MB",
        ))  # fmt: skip
    remark = (
        "The same trees from a local file, a new process each, in turn, medians; neither store nor Chalice. numpy is "
        "cryptovol.forest. Packages: each with all it requires, without bytecode."
    )
    return Section(TITLE, remark, HEAD, rows)
