"""How much the serving benchmarks measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts of every part.

    Parameters
    ----------
    hours
        Of the made-up history both models are trained on and forecasts are asked for.
    trees, depth
        Of the model that all serve.
    turns
        Single calls of each way through the forest.
    calls
        Events answered by our handler.
    rival_calls, rival_symbol_calls
        Events answered by each rival; fewer, because one takes milliseconds.
    rounds
        In which the handlers take turns.
    requests, rival_requests
        Over HTTP, per number of connections.
    connections
        Kept open at once.
    load_seconds
        At most, per server and number of connections.
    starts, slow_starts
        New processes per way, and of those that take many seconds.
    judged
        Whether these are the sizes the goals were set for.
    """

    hours: int = 12_000
    trees: int = 300
    depth: int = 6
    turns: int = 1000
    calls: int = 6000
    rival_calls: int = 1500
    rival_symbol_calls: int = 400
    rounds: int = 6
    requests: int = 4000
    rival_requests: int = 1500
    connections: tuple[int, ...] = (1, 16)
    load_seconds: float = 20.0
    starts: int = 7
    slow_starts: int = 3
    judged: bool = True


FULL = Sizes()
QUICK = Sizes(
    hours=5_600, trees=20, turns=20, calls=60, rival_calls=10, rival_symbol_calls=4, rounds=2, requests=60,
    rival_requests=40, load_seconds=5.0, starts=1, slow_starts=1, judged=False,
)  # fmt: skip
