"""A simulated market whose nature changes at one hour: what the detector has to see. Planted, and said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.bars import Bars, Floats
from cryptovol.market import simulated
from cryptovol.params import MarketParams

REBOUND = 0.6  # share of each hour's move that the next hour takes back
SWING = 1.8  # times wider than before is what an hour reaches beyond its open and close
TURNOVER = 3.0  # times more is traded
TOLD = (
    f"the market turns choppy: each hour takes back {REBOUND:.0%} of the move before it, hours reach {SWING:g} times as far "
    f"beyond their open and close, and {TURNOVER:g} times as much is traded"
)


def path(params: MarketParams, symbol: str, *, until: int, change: int) -> Bars:
    """Return the simulated market's bars up to `until`, those that open at or after `change` made choppy.

    Parameters
    ----------
    until, change
        Unix seconds.
    """
    return choppy(simulated.path(params, symbol, until=until), change)


def choppy(bars: Bars, change: int) -> Bars:
    """Return the bars with those from `change` on made choppy; the earlier ones are the same bit for bit.

    Moves, reaches and volumes of the bars given are kept as the raw material, so that the new market has the old one's
    clusters and seasons; prices stay continuous.
    """
    first = int(np.searchsorted(bars.time, change))
    if first in (0, len(bars)):
        return bars
    log = {name: np.log(getattr(bars, name)) for name in ("open", "high", "low", "close")}
    close = _closes(log["close"], first)
    opens = np.r_[close[first - 1], close[first:-1]]
    top, bottom = np.maximum(log["open"], log["close"])[first:], np.minimum(log["open"], log["close"])[first:]
    high = np.maximum(opens, close[first:]) + SWING * (log["high"][first:] - top)
    low = np.minimum(opens, close[first:]) - SWING * (bottom - log["low"][first:])
    new = np.round(np.exp(np.c_[opens, high, low, close[first:]]), 2)
    prices = np.vstack([np.c_[bars.open, bars.high, bars.low, bars.close][:first], new])
    times = np.r_[np.ones(first), np.full(len(bars) - first, TURNOVER)]
    volume = bars.volume_base * times
    made = bars_module.make(
        bars.time, prices, volume_base=volume, volume_quote=volume * prices.mean(axis=1),
        symbol=str(bars.symbol[0]), quote=str(bars.quote[0]), source=str(bars.source[0]), fetched_at=0,
    )  # fmt: skip
    return replace(made, fetched_at=bars.fetched_at)


def _closes(close: Floats, first: int) -> Floats:
    """Return the log closes, those from `first` on of an AR(1) with the old moves for its shocks."""
    moves, made = np.diff(close)[first - 1 :], close.copy()
    before = 0.0
    for i, move in enumerate(moves):
        before = float(move) - REBOUND * before
        made[first + i] = made[first + i - 1] + before
    return made
