"""The 36 features once more, hour by hour in plain Python from their definitions: slow, and nothing shared with ours."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cryptovol.bars import Bars
from cryptovol.times import HOUR

NAN = math.nan
FLOOR = 1e-6
WEEK = 168
Series = list[float]


def damped(x: float) -> float:
    """Return a number that grows like a root far from zero."""
    return x / math.sqrt(1 + abs(x))


def log_root(variance: float) -> float:
    """Return the logarithm of the root of a variance, floored; NaN stays NaN."""
    return NAN if math.isnan(variance) else math.log(max(math.sqrt(variance), FLOOR))


class Twin:
    """Features of any row of bars that may have gaps.

    Parameters
    ----------
    bars
        Oldest first.
    coverage
        Least share of a window's hours.
    """

    def __init__(self, bars: Bars, *, coverage: float) -> None:
        self.coverage = coverage
        self.time = [int(t) for t in range(int(bars.time[0]), int(bars.time[-1]) + HOUR, HOUR)]
        by_time = {int(t): i for i, t in enumerate(bars.time)}
        at = [by_time.get(t, -1) for t in self.time]

        def laid(name: str) -> Series:
            column = getattr(bars, name)
            return [NAN if i < 0 else float(column[i]) for i in at]

        self.open, self.high, self.low, self.close = (laid(name) for name in ("open", "high", "low", "close"))
        self.volume = laid("volume_base")
        self.price = [math.log(c) for c in self.close]
        self.r = [NAN] + [b - a for a, b in zip(self.price[:-1], self.price[1:], strict=True)]
        self.squares = [x * x for x in self.r]
        span = [math.log(h / low) for h, low in zip(self.high, self.low, strict=True)]
        body = [math.log(c / o) for c, o in zip(self.close, self.open, strict=True)]
        raw = [0.5 * s * s - (2 * math.log(2) - 1) * b * b for s, b in zip(span, body, strict=True)]
        self.gk = [x if math.isnan(x) else max(x, 0.0) for x in raw]
        self.parkinson = [s * s / (4 * math.log(2)) for s in span]

    def window(self, x: Series, hours: int, at: int) -> Series:
        """Return the hours of the window that ends at a row, the newest last, those that are there."""
        return [v for v in x[at + 1 - hours : at + 1] if not math.isnan(v)]

    def mean(self, x: Series, hours: int, at: int) -> float:
        """Return the mean of the hours that are there, or NaN below the coverage."""
        found = self.window(x, hours, at)
        return math.fsum(found) / len(found) if len(found) >= max(1, math.ceil(self.coverage * hours)) else NAN

    def decayed(self, x: Series, decay: float, at: int) -> float:
        """Return the mean of the last 256 hours that are there, each with the weight of its age."""
        pairs = [(x[at - age], decay**age) for age in range(256) if not math.isnan(x[at - age])]
        return math.fsum(v * w for v, w in pairs) / math.fsum(w for _, w in pairs) if pairs else NAN

    def largest(self, x: Series, hours: int, at: int) -> float:
        """Return the largest of the hours that are there."""
        return max(self.window(x, hours, at))

    def spread(self, at: int) -> float:
        """Return the deviation of the day's hourly volatilities over their mean, as log(1 + it)."""
        day = [math.sqrt(v) for v in self.window(self.gk, 24, at)]
        if len(day) < math.ceil(self.coverage * 24):
            return NAN
        mean = max(math.fsum(day) / len(day), FLOOR)
        return math.log1p(math.sqrt(math.fsum((d - math.fsum(day) / len(day)) ** 2 for d in day) / len(day)) / mean)

    def same_hours(self, hours: int, at: int) -> float:
        """Return the mean log volatility of the coming hours, as they were one to four weeks ago, where known."""
        weeks = [log_root(self.mean(self.gk, hours, at + hours - WEEK * k)) for k in (1, 2, 3, 4)]
        there = [level for level in weeks if not math.isnan(level)]
        return sum(there) / len(there) if there else NAN

    def seasons(self, at: int) -> dict[str, float]:
        """Return the waves of the day and of the week, which begins on a Thursday as the epoch did."""
        known, out = self.time[at] + HOUR, {}
        for name, length, harmonics in (("day", 24, (1, 2)), ("week", WEEK, (1, 2, 3))):
            for k in harmonics:
                phase = 2 * math.pi * k * (known % (length * HOUR)) / (length * HOUR)
                out[f"{name}_sin_{k}"], out[f"{name}_cos_{k}"] = math.sin(phase), math.cos(phase)
        return out

    def row(self, at: int) -> dict[str, float]:
        """Return the 36 features of a row by name, NaN in an hour without a bar."""
        found = {name: made(self, at) for name, made in DEFINITIONS.items()} | self.seasons(at)
        return found if not math.isnan(self.close[at]) else dict.fromkeys(found, NAN)


def week(twin: Twin, at: int) -> float:
    """Return the past week's volatility per hour."""
    mean = twin.mean(twin.squares, WEEK, at)
    return NAN if math.isnan(mean) else max(math.sqrt(mean), FLOOR)


def moved(twin: Twin, hours: int, at: int) -> float:
    """Return the return over some hours, in units of what the past week's volatility lets expect of them."""
    return twin.mean(twin.r, hours, at) * hours / (week(twin, at) * math.sqrt(hours))


def fallen(twin: Twin, hours: int, at: int) -> float:
    """Return the same of the falls alone."""
    falls = [min(x, 0.0) if not math.isnan(x) else NAN for x in twin.r]
    return twin.mean(falls, hours, at) * hours / (week(twin, at) * math.sqrt(hours))


def distance(twin: Twin, level: float, hours: int, at: int) -> float:
    """Return how far the log price lies above a level, in units of the past week's volatility over some hours."""
    return damped((twin.price[at] - level) / (week(twin, at) * math.sqrt(hours)))


def macd(twin: Twin, at: int) -> float:
    """Return the fast exponential mean of the log price over the slow one."""
    fast, slow = twin.decayed(twin.price, 1 - 2 / 13, at), twin.decayed(twin.price, 1 - 2 / 27, at)
    return damped((fast - slow) / (week(twin, at) * math.sqrt(26)))


def rsi(twin: Twin, at: int) -> float:
    """Return rises less falls over their sum; 0 where nothing moved."""
    moves = twin.window(twin.r, 14, at)
    if len(moves) < math.ceil(twin.coverage * 14):
        return NAN
    size = math.fsum(abs(m) for m in moves)
    return math.fsum(moves) / size if size else 0.0


def volume(twin: Twin, at: int) -> float:
    """Return the hour's volume over the month's mean as a logarithm; 0 where nothing was traded."""
    usual = twin.mean(twin.volume, 720, at)
    return math.log(max(twin.volume[at] / usual, 1e-3)) if usual > 0 or math.isnan(usual) else 0.0


def largest(twin: Twin, at: int) -> float:
    """Return the day's largest move over the past week's volatility, as a logarithm."""
    return math.log(max(twin.largest([abs(x) for x in twin.r], 24, at), FLOOR) / week(twin, at))


def _rv(hours: int) -> Callable[[Twin, int], float]:
    return lambda t, at: log_root(t.mean(t.squares, hours, at))


def _gk(hours: int) -> Callable[[Twin, int], float]:
    return lambda t, at: log_root(t.mean(t.gk, hours, at))


DEFINITIONS: dict[str, Callable[[Twin, int], float]] = {
    "return_24": lambda t, at: damped(moved(t, 24, at)),
    "sma_distance_24": lambda t, at: distance(t, t.mean(t.price, 24, at), 24, at),
    "sma_distance_168": lambda t, at: distance(t, t.mean(t.price, WEEK, at), WEEK, at),
    "macd_12_26": macd,
    "drawdown_168": lambda t, at: distance(t, t.largest(t.price, WEEK, at), WEEK, at),
    **{f"rv_{hours}": _rv(hours) for hours in (6, 24, 168, 720)},
    "ewma_94": lambda t, at: log_root(t.decayed(t.squares, 0.94, at)),
    **{f"gk_{hours}": _gk(hours) for hours in (1, 3, 24, 336, 720)},
    "gk_ewma_97": lambda t, at: log_root(t.decayed(t.gk, 0.97, at)),
    "parkinson_24": lambda t, at: log_root(t.mean(t.parkinson, 24, at)),
    "gk_cv_24": Twin.spread,
    "largest_24": largest,
    "gk_same_6": lambda t, at: t.same_hours(6, at),
    "gk_same_24": lambda t, at: t.same_hours(24, at),
    "rsi_14": rsi,
    "move_3": lambda t, at: damped(abs(moved(t, 3, at))),
    "move_24": lambda t, at: damped(abs(moved(t, 24, at))),
    "downside_3": lambda t, at: damped(fallen(t, 3, at)),
    "volume_1": volume,
}


def rows(bars: Bars, at: list[int], names: tuple[str, ...], *, coverage: float) -> np.ndarray:
    """Return the features of some rows, shape (rows, features), in the order of `names`."""
    twin = Twin(bars, coverage=coverage)
    found = [twin.row(row) for row in at]
    return np.array([[each[name] for name in names] for each in found])
