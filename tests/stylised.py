"""Stylised facts of hourly returns as numbers, and the bands in which real bars lie.

The facts are those of Cont (2001), "Empirical properties of asset returns: stylized facts and statistical issues",
Quantitative Finance 1, as far as hourly bars show them; `docs/simulated-market.md` has the measured values.
"""

from __future__ import annotations

import numpy as np

from cryptovol.bars import Bars, Floats, Ints
from cryptovol.times import HOUR

# Fact: the least and the most that counts as having it. All real stretches of three years lie inside, a Gaussian walk
# outside (for `autocorrelation` a walk with momentum, for `range_scale` bars without a path inside the hour).
BANDS = {
    "excess_kurtosis": (5.0, 150.0),
    "tail_index": (2.0, 5.0),
    "kurtosis_lost_in_a_day": (2.0, 150.0),
    "autocorrelation": (0.0, 0.085),
    "clustering_1h": (0.15, 0.40),
    "clustering_24h": (0.08, 0.30),
    "clustering_168h": (0.03, 0.20),
    "clustering_week": (0.03, 0.20),
    "clustering_fades": (0.03, 0.30),
    "day_season": (1.2, 2.0),
    "week_season": (1.1, 1.8),
    "leverage": (-0.045, -0.005),
    "volume": (0.45, 0.92),
    "range_scale": (0.75, 1.15),
    "range_foresight": (0.02, 0.20),
}
COINS_BAND = (0.5, 0.95)


def facts(bars: Bars) -> dict[str, float]:
    """Return every fact of `BANDS` for one coin's bars, sorted and unique in time; hours without a bar are gaps."""
    place = (bars.time - bars.time[0]) // HOUR
    price = np.full(int(place[-1]) + 1, np.nan)
    price[place] = np.log(bars.close)
    returns = np.diff(price)
    hours = bars.time[0] + HOUR * np.arange(1, len(price))
    return {**tails(returns, price), **dependence(returns), **seasons(returns, hours), **widths(bars, returns, place)}


def tails(returns: Floats, price: Floats) -> dict[str, float]:
    """Return excess kurtosis, Hill's tail index of the largest hundredth, and how much kurtosis a day takes away."""
    hourly, daily = _finite(returns), _finite(np.diff(price[::24]))
    size = np.sort(np.abs(hourly))[::-1]
    k = len(size) // 100
    return {
        "excess_kurtosis": _excess(hourly),
        "tail_index": float(1 / np.mean(np.log(size[:k] / size[k]))),
        "kurtosis_lost_in_a_day": _excess(hourly) - _excess(daily),
    }


def dependence(returns: Floats) -> dict[str, float]:
    """Return how returns, and their sizes, go with earlier ones.

    `autocorrelation` is the largest in size at lags of 1 to 24 hours. Of sizes there are the autocorrelations at an
    hour, a day and a week, their mean over the week, and what is lost from an hour to a week. `leverage` is the
    correlation of a return with the sizes of the 24 after it, on average.
    """
    size = np.abs(returns)
    week = [_correlation(size[:-lag], size[lag:]) for lag in range(1, 169)]
    return {
        "autocorrelation": max(abs(_correlation(returns[:-lag], returns[lag:])) for lag in range(1, 25)),
        "clustering_1h": week[0],
        "clustering_24h": week[23],
        "clustering_168h": week[167],
        "clustering_week": float(np.mean(week)),
        "clustering_fades": week[0] - week[167],
        "leverage": float(np.mean([_correlation(returns[:-lag], size[lag:]) for lag in range(1, 25)])),
    }


def seasons(returns: Floats, hours: Ints) -> dict[str, float]:
    """Return mean size of 14 to 17 h UTC over 3 to 6 h, and of weekdays over weekends."""
    size, hour, weekday = np.abs(returns), hours // HOUR % 24, (hours // (24 * HOUR) + 3) % 7
    busy, calm = np.isin(hour, (14, 15, 16)), np.isin(hour, (3, 4, 5))
    return {
        "day_season": float(np.nanmean(size[busy]) / np.nanmean(size[calm])),
        "week_season": float(np.nanmean(size[weekday < 5]) / np.nanmean(size[weekday >= 5])),
    }


def widths(bars: Bars, returns: Floats, place: Ints) -> dict[str, float]:
    """Return what high, low and volume add.

    `volume` is its correlation with the range, both in logarithms. `range_scale` is Parkinson's estimate over the
    standard deviation of returns. `range_foresight` is by how much the range goes better with the size of the next
    hour's return than the size of the return itself does.
    """
    width = np.log(bars.high / bars.low)
    traded = (width > 0) & (bars.volume_base > 0)
    grid = np.full(len(returns) + 1, np.nan)
    grid[place] = width
    size = np.abs(returns)
    return {
        "volume": _correlation(np.log(width[traded]), np.log(bars.volume_base[traded])),
        "range_scale": float(np.sqrt(np.mean(width**2) / (4 * np.log(2))) / np.nanstd(returns)),
        "range_foresight": _correlation(grid[1:-1], size[1:]) - _correlation(size[:-1], size[1:]),
    }


def coins_together(one: Bars, other: Bars) -> float:
    """Return the correlation of two coins' hourly returns over the hours that both have."""
    both = np.intersect1d(one.time, other.time)
    a, b = (np.diff(np.log(bars.close[np.isin(bars.time, both)])) for bars in (one, other))
    return _correlation(a, b)


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _excess(values: Floats) -> float:
    centred = values - values.mean()
    return float(np.mean(centred**4) / np.mean(centred**2) ** 2 - 3)


def _correlation(a: Floats, b: Floats) -> float:
    there = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[there], b[there])[0, 1])
