"""What is asked, and how a forecast is put together from a champion and what is known. No effects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import tables
from cryptovol.bars import PRICES, Bars, Floats
from cryptovol.errors import BarSchemaError, FeatureMismatchError, FeatureValueError, NotEnoughBarsError
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.serving import Moment, Served
from cryptovol.times import HOUR, format_instant
from cryptovol.volatility import HOURS_PER_YEAR

Forecast = dict[str, Any]
CALLER = "request"  # the source of bars and features that the caller sent


@dataclass(frozen=True)
class Ask:
    """What a caller wants to know.

    Parameters
    ----------
    symbol
        For instance ``BTC``.
    horizon, level
        Hours ahead and interval level; None is the default of `params.yaml`.
    as_of
        Unix seconds to look from instead of now.
    allow_stale
        Answer, and say so, where old bars or an old model would be refused.
    request_id
        Repeated in the answer.
    """

    symbol: str
    horizon: int | None = None
    level: float | None = None
    as_of: int | None = None
    allow_stale: bool = False
    request_id: str = ""


@dataclass(frozen=True)
class View:
    """From where an ask is answered.

    Parameters
    ----------
    served
        The champion.
    now
        Unix seconds the ages are counted from.
    level
        Of the interval.
    warnings
        What is wrong with the answer and allowed: ``stale_data, model_expired, model_trained_later``.
    drift_ratio
        Share of drifted features, or None if nobody knows.
    """

    served: Served
    now: int
    level: float
    warnings: tuple[str, ...]
    drift_ratio: float | None


def single(ask: Ask, view: View, known: Moment) -> Forecast:
    """Return the forecast at one moment.

    Raises
    ------
    NotEnoughBarsError
        If a baseline lacks the hours it needs.
    FeatureValueError
        If the features lie so far out that no finite forecast follows.
    """
    values = known.values[None, :]
    baselines = view.served.bundle.baselines(known.log_return)
    if not all(math.isfinite(value) for value in baselines.values()):
        found = int(np.isfinite(known.log_return[-WARMUP:]).sum()) + 1
        raise NotEnoughBarsError(
            f"the baselines beside a forecast need {WARMUP} hours of bars without large gaps, found {found} of them",
            needed=WARMUP, found=found,
        )  # fmt: skip
    return {
        **_frame(ask, view),
        **_values(view, values)[0],
        "as_of": format_instant(known.as_of),
        "data_age_seconds": view.now - known.as_of,
        "source": known.source or view.served.bundle.header.get("source", ""),
        "baselines": baselines,
    }


def batch(ask: Ask, view: View, values: Floats) -> Forecast:
    """Return the forecasts from ready features of shape (n, 36), one per row under ``predictions``.

    Raises
    ------
    FeatureValueError
        If a row lies so far out that no finite forecast follows.
    """
    unknown = {"as_of": None, "data_age_seconds": None, "source": CALLER, "baselines": None}
    return {**_frame(ask, view), **unknown, "predictions": _values(view, values)}


def entry(ask: Ask, view: View, known: Moment, *, served_at: int) -> Forecast:
    """Return a log entry: all that scoring, drift and lineage need, the same whoever asked for it."""
    body = single(ask, view, known)
    for name in ("request_id", "data_age_seconds", "drift", "warnings"):
        del body[name]
    bundle = view.served.bundle
    volatility = np.array([body["volatility"]])
    ends = {str(level): bundle.interval(volatility, level) for level in bundle.levels}
    return {
        **body,
        "quote": bundle.header["quote"],
        "market": bundle.header["market"],
        "intervals": {level: [float(lower[0]), float(upper[0])] for level, (lower, upper) in ends.items()},
        "features": dict(zip(FEATURE_NAMES, known.values.tolist(), strict=True)),
        "features_sha256": tables.sha256(known.values.tobytes()),
        "served_at": format_instant(served_at),
    }


def _frame(ask: Ask, view: View) -> Forecast:
    champion = view.served.champion
    return {
        "symbol": ask.symbol,
        "horizon_hours": view.served.bundle.horizon,
        "model": {
            "name": champion.name,
            "version": champion.version,
            "trained_at": champion.trained_at,
            "bundle_sha256": view.served.bundle.sha256,
        },
        "warnings": list(view.warnings),
        "request_id": ask.request_id,
    }


def _values(view: View, values: Floats) -> list[Forecast]:
    bundle = view.served.bundle
    with np.errstate(over="ignore", invalid="ignore"):
        volatility = bundle.predict(values)
        lower, upper = bundle.interval(volatility, view.level)
        annual = volatility * math.sqrt(HOURS_PER_YEAR)
    able = np.isfinite(annual) & np.isfinite(upper) & (volatility > 0)
    if not able.all():
        row = int(np.argmin(able))
        raise FeatureValueError(
            f"row {row} of {len(values)} gives {volatility[row]:.3g} per hour, which is no volatility; its features lie too"
            " far outside the training range",
            bundle.out_of_distribution(values[row]),
        )
    return [
        {
            "volatility": float(predicted),
            "volatility_annualized": float(year),
            "interval": {"level": view.level, "lower": float(low), "upper": float(high)},
            "drift": {"ratio": view.drift_ratio, "out_of_distribution": bundle.out_of_distribution(row)},
        }
        for predicted, year, low, high, row in zip(volatility, annual, lower, upper, values, strict=True)
    ]


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
    missing = [name for name in FEATURE_NAMES if name not in features]
    unexpected = [name for name in features if name not in FEATURE_NAMES]
    if missing or unexpected:
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
