"""From a Lambda event to the response: ours and the usual handler, each in a process of its own, in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import children
from . import world as worlds
from .sizes import Sizes
from .stats import Row, Section, Spread, judge, ms, rounds_of, spread, times
from .world import OWN, SAME, World

WARM_UP = 0.1  # of the calls, before those that count
FEATURES, SYMBOL = 0, 1  # the events, by their number
GOALS = {FEATURES: (0.25e-3, 1e-3), SYMBOL: (1e-3, float("inf"))}  # p50 and p99 in seconds


@dataclass(frozen=True)
class Way:
    """One handler: its name in the table, its module, where that lies, and the market of the model it serves."""

    name: str
    module: str
    path: str
    market: str = SAME

    @property
    def ours(self) -> bool:
        """Whether it is the one the goals are for."""
        return self.module == "app"


RIVAL_PATH = "bench/rivals:bench"
WAYS = (
    Way("ours, the same trees", "app", "functions/predict:bench/rivals"),
    Way("ours, a bundle as the train stage makes it", "app", "functions/predict:bench/rivals", OWN),
    Way("Chalice, DataFrame, XGBRegressor; no metrics, no log", "chalice_frame", RIVAL_PATH),
    Way("the same with Powertools' Metrics (3) and Logger", "chalice_powertools", RIVAL_PATH),
)


class Handler:
    """A handler's process, warmed up by one answer to each event."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path) -> None:
        self._child = child
        self._log = log
        self.answers: list[float] = children.read_json(child, log)

    def call(self, event: int, calls: int) -> list[float]:
        """Return the seconds of each of some calls."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{event} {calls}\n".encode())
        self._child.stdin.flush()
        taken: list[float] = children.read_json(self._child, self._log)
        return taken


def section(world: World, sizes: Sizes) -> Section:
    """Return the table of the handlers."""
    paths = [world.folder / "features.json", world.folder / "symbol.json"]
    for path, body in zip(paths, ({"features": world.row}, {"symbol": "BTC"}), strict=True):
        path.write_text(json.dumps(worlds.event(body)), encoding="utf-8")
    with ExitStack() as stack:
        handlers = {way: stack.enter_context(_handler(way, world, paths)) for way in WAYS}
        for way, handler in handlers.items():
            if way.market == SAME and not world.agrees(handler.answers[FEATURES]):
                raise children.FailedError(f"{way.name} says {handler.answers}, the model {world.expected}")
        spreads = {event: in_turn(handlers, event, sizes) for event in (FEATURES, SYMBOL)}
    return tabled(spreads, sizes)


@contextmanager
def _handler(way: Way, world: World, events: list[Path]) -> Iterator[Handler]:
    worlds.tell(f"serving: starting {way.name}")
    place = f"{way.module}-{way.market}"
    log, err = world.folder / f"{place}.emf", world.folder / f"{place}.err"
    command = [sys.executable, "bench/rivals/probe.py", way.module, str(log), *map(str, events)]
    environ = world.environ(way.market, PYTHONPATH=way.path, OMP_NUM_THREADS="1")
    with children.running(command, environ, err, stdout=subprocess.PIPE) as child:
        yield Handler(child, err)


def calls_of(way: Way, event: int, sizes: Sizes) -> int:
    """Return how many calls of a handler count."""
    if way.ours:
        return sizes.calls
    return sizes.rival_calls if event == FEATURES else sizes.rival_symbol_calls


def in_turn(handlers: dict[Way, Handler], event: int, sizes: Sizes) -> dict[Way, Spread]:
    """Return what the calls took, the handlers in turn, after a warm-up of each."""
    taken: dict[Way, list[float]] = {way: [] for way in handlers}
    for way, handler in handlers.items():
        handler.call(event, max(int(WARM_UP * calls_of(way, event, sizes)), 1))
    for turn in range(sizes.rounds):
        worlds.tell(f"serving: {'symbol' if event else 'features'}, round {turn + 1} of {sizes.rounds}")
        for way, handler in handlers.items():
            taken[way] += handler.call(event, rounds_of(calls_of(way, event, sizes), sizes.rounds)[turn])
    return {way: spread(each) for way, each in taken.items()}


def tabled(spreads: dict[int, dict[Way, Spread]], sizes: Sizes) -> Section:
    """Return the table of what the handlers took."""
    rows = [_row(way, event, found, sizes) for event, found in spreads.items() for way in found]
    remark = (
        "`app(event, context)` in process, the event an API Gateway one; each handler in a process of its own, in turn "
        f"in {sizes.rounds} rounds after a warm-up of a tenth. Metrics and log lines go to a file. Ours asks for a key, "
        "keeps a rate per key, validates, looks at the store every few seconds, and holds the bars. For `symbol` the "
        "rivals hold as many bars as the features need and compute them by pandas at each call (bench/rolling.py)."
    )
    head = ("asked for", "handler", "calls", "p50", "p99", "p50 over ours", "goal", "")
    return Section("Serving: from a Lambda event to the response", remark, head, rows)


def _row(way: Way, event: int, found: dict[Way, Spread], sizes: Sizes) -> Row:
    each, base = found[way], found[WAYS[0]]
    asked = "`features`" if event == FEATURES else "`symbol`"
    ratio = times(each.p50 / base.p50)
    return asked, way.name, f"{each.calls:,}", ms(each.p50), ms(each.p99), ratio, *_goal(way, event, each, sizes)


def _goal(way: Way, event: int, each: Spread, sizes: Sizes) -> Row:
    if not way.ours:
        return "", ""
    p50, p99 = GOALS[event]
    text = f"p50 at most {1e3 * p50:g} ms" + (f", p99 at most {1e3 * p99:g} ms" if p99 < 1 else "")
    return text, judge(each.p50 <= p50 and each.p99 <= p99, judged=sizes.judged)
