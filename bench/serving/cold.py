"""Cold starts: from a new process to its first forecast, the model fetched from the store included."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from . import children, servers
from . import world as worlds
from .sizes import Sizes
from .stats import Row, Section, judge, left_out, median, ms, times
from .world import OWN, SAME, World

SECONDS = 60.0  # after which a start counts as failed
FASTER, BARE = 5.0, 1.5  # as fast as the heavy one at least, and as slow as the bare one at most


@dataclass(frozen=True)
class Start:
    """One way to start.

    Parameters
    ----------
    name
        In the table.
    command
        After the interpreter; ``{event}`` and ``{largest}`` are filled in.
    path
        `PYTHONPATH`.
    market
        Of the model that ours serves.
    slow
        Whether it takes many seconds, and so is started less often.
    forecasts
        Whether what it prints at last is the model's forecast.
    """

    name: str
    command: tuple[str, ...]
    path: str = "bench/rivals"
    market: str = SAME
    slow: bool = False
    forecasts: bool = True


@dataclass(frozen=True)
class Spent:
    """Seconds of one start: by the clock, and of the process's own CPU."""

    wall: float
    cpu: float


_FIRST = "bench/rivals/first.py"
OURS = Start("ours, the same trees", (_FIRST, "app", "{event}"), "functions/predict")
HEAVY = Start("Chalice, pandas, scikit-learn, xgboost", (_FIRST, "chalice_frame", "{event}"))
LEAST = Start(
    "bare: imports numpy, Chalice and the S3 client, fetches the bundle's largest object",
    ("bench/rivals/bare.py", "{largest}"), forecasts=False,
)  # fmt: skip
STARTS = (
    OURS,
    Start("ours, a bundle as the train stage makes it", OURS.command, OURS.path, OWN, forecasts=False),
    LEAST,
    HEAVY,
    Start("the same with Powertools", (_FIRST, "chalice_powertools", "{event}")),
    Start("mlflow pyfunc", ("bench/rivals/mlflow_first.py", "{event}"), slow=True),
    Start("`python -c pass`", ("-c", "print(0)"), forecasts=False),
)


def section(world: World, sizes: Sizes) -> Section:
    """Return the table of the starts; a rival that cannot start is named with the reason."""
    event = world.folder / "event.json"
    event.write_text(json.dumps(worlds.event({"features": world.row})), encoding="utf-8")
    _store_mlflow(world)
    taken: dict[Start, list[Spent]] = {start: [] for start in STARTS}
    missing: dict[str, str] = {}
    for turn in range(sizes.starts + 1):
        worlds.tell(f"serving: cold starts, round {turn} of {sizes.starts}")
        for start in STARTS:
            if start.name in missing or (start.slow and turn > sizes.slow_starts):
                continue
            try:
                spent = _once(start, world, str(event))
            except (children.FailedError, OSError) as error:
                if start in (OURS, LEAST, HEAVY):
                    raise
                missing[start.name] = str(error)[:300]
                continue
            # The first round warms the caches of files, as those of a machine that started others before are.
            if turn:
                taken[start].append(spent)
    return tabled({start: each for start, each in taken.items() if each}, missing, sizes)


def _store_mlflow(world: World) -> None:
    """Put MLflow's own folder of the model into the store."""
    folder = servers.saved_for_mlflow(world)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        world.store.put(f"rivals/mlflow/{path.relative_to(folder).as_posix()}", path.read_bytes())


def _once(start: Start, world: World, event: str) -> Spent:
    """Return what a new process took until the line that says its first forecast."""
    log = world.folder / "cold.log"
    words = [word.format(event=event, largest=world.largest) for word in start.command]
    environ = world.environ(start.market, PYTHONPATH=start.path)
    cpu, begun = _children_cpu(), time.perf_counter()
    with children.running([sys.executable, *words], environ, log, stdout=subprocess.PIPE, seconds=SECONDS) as child:
        assert child.stdout is not None
        # Log lines come first, on the same stream.
        last = next((line for line in child.stdout if line.startswith((b"first forecast ", b"fetched ", b"0"))), b"")
        wall = time.perf_counter() - begun
    if not last:
        raise children.FailedError(f"no forecast: {children.tail(log)}")
    if start.forecasts and not world.agrees(float(last.split()[-1])):
        raise children.FailedError(f"{start.name} says {last!r}, the model {world.expected}")
    return Spent(wall, _children_cpu() - cpu)


def _children_cpu() -> float:
    """Return the CPU seconds of all processes that have been started and waited for; the store has not been yet."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tabled(taken: dict[Start, Sequence[Spent]], missing: dict[str, str], sizes: Sizes) -> Section:
    """Return the table of what the starts took."""
    medians = {
        start: Spent(median([s.wall for s in each]), median([s.cpu for s in each])) for start, each in taken.items()
    }
    rows = [_row(start, [s.wall for s in taken[start]], medians, sizes) for start in medians]
    remark = (
        "Wall time of a new process until its first forecast for ready features is read, in turn; the same interpreter and "
        "packages, bytecode compiled, files in the page cache. Ours reads the champion, every file of its bundle with its "
        "sha256, and the newest scoreboard; the rivals read one file and check nothing. The store is MiniStack on the "
        "same cores. CPU: of the process alone, the store's not counted; it suffers less from what else runs. Not "
        "measured: a Lambda's own start, the download of its code, TLS."
    )
    head = (
        "way", "starts", "median", "fastest", "slowest", "over ours", "CPU, median", "over ours", "goal, by the clock", "",
    )  # fmt: skip
    return Section("Serving: cold start", " ".join(filter(None, [remark, left_out(missing)])), head, rows)


def _row(start: Start, walls: Sequence[float], medians: dict[Start, Spent], sizes: Sizes) -> Row:
    own, ours = medians[start], medians[OURS]
    goal: Row = ("", "")
    if start is HEAVY:
        goal = f"at least {FASTER:g} x ours", judge(own.wall / ours.wall >= FASTER, judged=sizes.judged)
    elif start is LEAST:
        goal = f"ours at most {BARE:g} x this", judge(ours.wall <= BARE * own.wall, judged=sizes.judged)
    return (
        start.name, str(len(walls)), ms(own.wall), ms(min(walls)), ms(max(walls)), times(own.wall / ours.wall),
        ms(own.cpu), times(own.cpu / ours.cpu), *goal,
    )  # fmt: skip
