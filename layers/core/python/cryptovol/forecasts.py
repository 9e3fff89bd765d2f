"""What is asked, and how a forecast is put together from a champion and what is known. No effects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cryptovol import tables
from cryptovol.bars import Floats
from cryptovol.bundle import Bundle
from cryptovol.errors import FeatureValueError, NotEnoughBarsError
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.moments import Moment
from cryptovol.serving import Served
from cryptovol.times import format_instant
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
    explain
        Tell each feature's contribution.
    request_id
        Repeated in the answer.
    """

    symbol: str
    horizon: int | None = None
    level: float | None = None
    as_of: int | None = None
    allow_stale: bool = False
    explain: bool = False
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


@dataclass(frozen=True, eq=False)
class Outlook:
    """What a bundle says at one moment, whoever asks and however often.

    Parameters
    ----------
    bundle, values
        The bundle, and the moment's features of shape (36,).
    volatility, annual
        Per hour, and per year.
    ends
        Lower and upper end of the interval by level.
    outside
        Names of the features outside the training range.
    baselines
        See `bundle.Bundle.baselines`.
    features_sha256
        Of the features' bytes.
    """

    bundle: Bundle
    values: Floats
    volatility: float
    annual: float
    ends: Mapping[float, tuple[float, float]]
    outside: Sequence[str]
    baselines: Mapping[str, float]
    features_sha256: str

    @cached_property
    def contributions(self) -> Forecast:
        """What each feature adds; worked out when somebody asks for the first time, for it takes a millisecond."""
        return _contributions(self.bundle, self.values)


def outlook(bundle: Bundle, known: Moment) -> Outlook:
    """Return what a bundle says at a moment.

    Raises
    ------
    NotEnoughBarsError
        If a baseline lacks the hours it needs.
    FeatureValueError
        If the features lie so far out that no finite forecast follows.
    """
    baselines = bundle.baselines(known.log_return)
    if not all(math.isfinite(value) for value in baselines.values()):
        found = int(np.isfinite(known.log_return[-WARMUP:]).sum()) + 1
        raise NotEnoughBarsError(
            f"the baselines beside a forecast need {WARMUP} hours of bars without large gaps, found {found} of them",
            needed=WARMUP, found=found,
        )  # fmt: skip
    values = known.values[None, :]
    found_ends = {}
    for level in bundle.levels:
        volatility, annual, lower, upper = _predicted(bundle, values, level)
        found_ends[level] = (float(lower[0]), float(upper[0]))
    outside = bundle.out_of_distribution(known.values)
    digest = tables.sha256(known.values.tobytes())
    numbers = (float(volatility[0]), float(annual[0]), found_ends)
    return Outlook(bundle, known.values, *numbers, outside, baselines, digest)


def single(ask: Ask, view: View, known: Moment, ahead: Outlook) -> Forecast:
    """Return the forecast at one moment, with the outlook of the view's bundle at it."""
    bundle = view.served.bundle
    lower, upper = ahead.ends[view.level]
    return {
        **_frame(ask, view),
        "volatility": ahead.volatility,
        "volatility_annualized": ahead.annual,
        "interval": {"level": view.level, "lower": lower, "upper": upper},
        "drift": {"ratio": view.drift_ratio, "out_of_distribution": list(ahead.outside)},
        **({"contributions": ahead.contributions} if ask.explain else {}),
        "as_of": format_instant(known.as_of),
        "data_age_seconds": view.now - known.as_of,
        "source": known.source or bundle.header.get("source", ""),
        "baselines": dict(ahead.baselines),
    }


def batch(ask: Ask, view: View, values: Floats) -> Forecast:
    """Return the forecasts from ready features of shape (n, 36), one per row under ``predictions``.

    Raises
    ------
    FeatureValueError
        If a row lies so far out that no finite forecast follows.
    """
    unknown = {"as_of": None, "data_age_seconds": None, "source": CALLER, "baselines": None}
    return {**_frame(ask, view), **unknown, "predictions": _values(ask, view, values)}


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


def _contributions(bundle: Bundle, row: Floats) -> Forecast:
    """Return what each feature of one row, shape (36,), adds to the forecast's logarithm."""
    found = bundle.explain(row)
    added = dict(zip(FEATURE_NAMES, found.contributions.tolist(), strict=True))
    return {"unit": "log volatility", "base": float(found.base), "features": added}


def _values(ask: Ask, view: View, values: Floats) -> list[Forecast]:
    bundle = view.served.bundle
    columns = (column.tolist() for column in _predicted(bundle, values, view.level))
    return [
        {
            "volatility": volatility,
            "volatility_annualized": annual,
            "interval": {"level": view.level, "lower": lower, "upper": upper},
            "drift": {"ratio": view.drift_ratio, "out_of_distribution": bundle.out_of_distribution(row)},
            **({"contributions": _contributions(bundle, row)} if ask.explain else {}),
        }
        for volatility, annual, lower, upper, row in zip(*columns, values, strict=True)
    ]


def _predicted(bundle: Bundle, values: Floats, level: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return volatility per hour and per year and the interval's ends, each of shape (n,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        volatility = bundle.predict(values)
        lower, upper = bundle.interval(volatility, level)
        annual = volatility * math.sqrt(HOURS_PER_YEAR)
    able = np.isfinite(annual) & np.isfinite(upper) & (volatility > 0)
    if not able.all():
        row = int(np.argmin(able))
        raise FeatureValueError(
            f"row {row} of {len(values)} gives {volatility[row]:.3g} per hour, which is no volatility; its features lie too"
            " far outside the training range",
            bundle.out_of_distribution(values[row]),
        )
    return volatility, annual, lower, upper
