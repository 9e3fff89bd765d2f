"""The arithmetic of the serving benchmarks: percentiles, verdicts, texts. No effects."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One table of the report under its title and a remark; as `bench/run.py` prints them."""

    title: str
    remark: str
    head: Row
    rows: Sequence[Row]


@dataclass(frozen=True)
class Spread:
    """What some calls took, in seconds: median, 99th percentile, how many they were."""

    p50: float
    p99: float
    calls: int


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed: the nearest rank, never a mean.

    Raises
    ------
    ValueError
        If there are no values, or `share` is not above 0 and at most 1.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    # Rounded first: 0.07 * 100 is 7.000000000000001 in floating point, and its ceiling one rank too high.
    return sorted(values)[math.ceil(round(share * len(values), 9)) - 1]


def spread(seconds: Sequence[float]) -> Spread:
    """Return median and 99th percentile of what calls took."""
    return Spread(percentile(seconds, 0.5), percentile(seconds, 0.99), len(seconds))


def rounds_of(calls: int, rounds: int) -> list[int]:
    """Return how many calls each round makes, as equal as can be, so that together they are `calls`; none is empty."""
    rounds = min(rounds, calls)
    return [calls // rounds + (turn < calls % rounds) for turn in range(rounds)]


def judge(met: bool, *, judged: bool) -> str:
    """Return the verdict on a goal; small sizes are not judged."""
    return ("met" if met else "NOT met") if judged else "not judged: smoke test"


def us(seconds: float) -> str:
    """Return a time in microseconds."""
    return f"{1e6 * seconds:,.1f} us" if seconds < 1e-4 else f"{1e6 * seconds:,.0f} us"


def ms(seconds: float) -> str:
    """Return a time in milliseconds."""
    return f"{1e3 * seconds:.2f} ms" if seconds < 0.1 else f"{1e3 * seconds:,.0f} ms"


def times(ratio: float) -> str:
    """Return how often as much."""
    return f"{ratio:.2f} x" if ratio < 10 else f"{ratio:,.0f} x"


def median(values: Sequence[float]) -> float:
    """Return the median, the mean of the middle two of an even number."""
    return statistics.median(values)


def left_out(names: dict[str, str]) -> str:
    """Return a sentence on what was not measured and why; empty if all was."""
    told = "; ".join(f"{name}: {why}" for name, why in names.items())
    return f"Not measured: {told}." if told else ""
