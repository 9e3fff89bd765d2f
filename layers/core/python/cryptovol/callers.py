"""What a caller sends to be forecast from, checked: bars of its own, and rows of ready features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cryptovol.bars import PRICES, Bars, Floats
from cryptovol.errors import BarSchemaError, FeatureMismatchError, FeatureValueError
from cryptovol.features import FEATURE_NAMES
from cryptovol.times import HOUR

_NAMES = frozenset(FEATURE_NAMES)


def check_bars(bars: Bars, now: int, *, symbol: str, log_return_limit: float) -> None:
    """Raise `BarSchemaError` unless a caller's bars are closed hours of one market in order, with prices that can be.

    Parameters
    ----------
    now
        Unix seconds; a bar that closes later is not closed.
    symbol
        The coin asked for.
    log_return_limit
        The gate's: a larger move in an hour, either way, is another market's price or none.
    """
    prices = np.column_stack([getattr(bars, name) for name in PRICES])
    numbers = np.column_stack([prices, bars.volume_base])
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = np.abs(np.diff(np.log(bars.close), prepend=np.nan))
    jumps = (moves > log_return_limit) & (np.diff(bars.time, prepend=0) == HOUR)
    faults = {
        f"the bar is not of {symbol}": bars.symbol != symbol,
        "a price or the volume is not a finite number": ~np.isfinite(numbers).all(axis=1),
        "time is not on a full hour": bars.time % HOUR != 0,
        "time is not after the bar before": np.r_[False, np.diff(bars.time) <= 0],
        "the bar is not closed yet": bars.time + HOUR > now,
        "a price is not above 0": ~(prices > 0).all(axis=1),
        "open or close is outside [low, high]": (prices.max(axis=1) > bars.high) | (prices.min(axis=1) < bars.low),
        "volume is below 0": bars.volume_base < 0,
        f"the log price moves by more than {log_return_limit:g} in an hour; is a bar of another market among them?": jumps,
    }
    for fault, rows in faults.items():
        if rows.any():
            raise BarSchemaError(f"bars[{int(np.argmax(rows))}]: {fault} ({int(rows.sum())} of {len(bars)} bars)")


def as_row(features: Mapping[str, float]) -> Floats:
    """Return one row of features, shape (36,), in the model's order.

    Raises
    ------
    FeatureMismatchError
        For other names than the model's.
    FeatureValueError
        If a value is not a finite number.
    """
    if features.keys() != _NAMES:
        missing = [name for name in FEATURE_NAMES if name not in features]
        unexpected = [name for name in features if name not in _NAMES]
        raise FeatureMismatchError(
            f"a row needs the {len(FEATURE_NAMES)} features by name: {len(missing)} missing, {len(unexpected)} unknown",
            missing=missing,
            unexpected=unexpected,
        )
    row = np.array([features[name] for name in FEATURE_NAMES], dtype=np.float64)
    if not np.isfinite(row).all():
        without = [FEATURE_NAMES[j] for j in np.flatnonzero(~np.isfinite(row))]
        raise FeatureValueError(f"a row needs a finite number for each feature; {', '.join(without)} has none", without)
    return row
