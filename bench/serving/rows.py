"""Every way through the trees, one row and ten: measured by a rival's program in the rivals' environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from . import world as worlds
from .sizes import Sizes
from .stats import Row, Section, Spread, judge, spread, times, us
from .world import World

OURS, FRAME = "numpy walk (ours)", "XGBRegressor on a DataFrame"
TITLE = "Serving: through the trees"
HEAD = ("way", "1 row, p50", "p99", "10 rows, p50", "p99", "over the numpy walk's, 1 row", "goal", "")
GOAL = 25e-6  # seconds for one row through the numpy walk


def section(world: World, sizes: Sizes) -> Section:
    """Return the table of the ways."""
    worlds.tell(f"serving: ways through the trees, {sizes.turns} calls each of 1 and of 10 rows")
    if not worlds.RIVALS.exists():
        return Section(TITLE, f"Not measured: {worlds.RIVALS} is not there; `make bench` makes it.", HEAD, [])
    command = [str(worlds.RIVALS), "bench/rivals/forest_rows.py", str(world.model), str(world.files), str(sizes.turns)]
    path = {"PYTHONPATH": str(Path("layers/core/python").resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=world.environ(**path), stdout=subprocess.PIPE, check=True, timeout=180)
    return tabled(json.loads(done.stdout.decode().splitlines()[-1]), sizes)


def tabled(answer: dict[str, Any], sizes: Sizes) -> Section:
    """Return the table of what the rival's program measured."""
    spreads = {n: {name: spread(taken) for name, taken in ways.items()} for n, ways in answer["seconds"].items()}
    versions = ", ".join(f"{name} {number}" for name, number in answer["versions"].items())
    rows = [_row(name, spreads["1"], spreads["10"], sizes) for name in spreads["1"]]
    calls = spreads["1"][OURS].calls
    remark = (
        f"{calls:,} calls each, in turn in blocks in one process, one thread. The same {sizes.trees} trees of depth "
        f"{sizes.depth} on every line but the last, which is a bundle as the train stage makes it (300 trees of depth 4, "
        f"ridge and level). {versions}."
    )
    return Section(TITLE, remark, HEAD, rows)


def _row(name: str, one: dict[str, Spread], ten: dict[str, Spread], sizes: Sizes) -> Row:
    goal = ("at most 25 us", judge(one[name].p50 <= GOAL, judged=sizes.judged)) if name == OURS else ("", "")
    ratio = times(one[name].p50 / one[OURS].p50)
    return name, us(one[name].p50), us(one[name].p99), us(ten[name].p50), us(ten[name].p99), ratio, *goal
