"""The model card: what a model is for, what it was made from, how good it is and where it is not.

Made from the bundle's header and scores and from the ledger's decision, and from nothing else: no clock, no store. The
same model and decision give the same card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cryptovol.features import FAMILIES

Card = dict[str, Any]
LOWER, HIGHER, NEAR_ONE = ("rmse", "mae", "qlike"), ("r2", "r2_log"), ("bias",)
INTENDED = (
    "Forecast how strongly the price will move over the next hours: the standard deviation of hourly log returns, with"
    " an interval.",
    "Serve as one input to position sizes, margins and option prices, beside the baselines that come with each answer.",
)
NOT_INTENDED = (
    "The direction of the price: it says nothing about it.",
    "Another pair, quote currency, horizon or market than the one named here.",
    "Bars that are not hourly, not closed, or did not pass the gate.",
    "The only safeguard against loss: it has not seen every kind of crisis.",
)
LIMITS = (
    "The scores are of refits on earlier bars, each forecasting hours it had not seen. The model that serves is fitted on"
    " all bars up to its training and has no score of its own.",
    "Intervals are calibrated on the scored hours as a whole; in a sudden crisis they cover less often.",
    "Neighbouring hours share most of their target, so the scored rows are fewer independent trials than they look.",
)


def build(
    header: Mapping[str, Any],
    scores: Mapping[str, Any],
    *,
    bundle_sha256: str,
    lineage: Mapping[str, Any],
    decision: Mapping[str, Any] | None = None,
    version: str = "",
) -> Card:
    """Return the card as plain values.

    Parameters
    ----------
    header, scores, bundle_sha256
        Of the bundle; what an older bundle does not tell is left out of the card.
    lineage
        Digests and names of what the model was made from and recorded under; empty ones are left out.
    decision
        The ledger's entry: ``decision, outcome, reason, entry, as_of, numbers``; None where there is none yet.
    version
        In the registry; empty where it has none yet.
    """
    told = decision or {}
    return {
        "name": header["name"],
        "version": version or None,
        "bundle_sha256": bundle_sha256,
        "trained_at": header["trained_at"],
        "symbol": header["symbol"],
        "quote": header["quote"],
        "market": header["market"],
        "source": header.get("source", header["market"]),
        "horizon_hours": header["horizon"],
        "use": {"intended": list(INTENDED), "not_intended": list(NOT_INTENDED)},
        "data": dict(header.get("data", {})),
        "features": _families(header["spec"]["names"]),
        "model": _model(header),
        "scores": _scores(scores),
        "coverage": _coverage(scores),
        "limits": [*LIMITS, *_own_limits(header, scores)],
        "lineage": {name: lineage[name] for name in sorted(lineage) if lineage[name]},
        "decision": {n: told[n] for n in ("decision", "outcome", "reason", "entry", "as_of", "numbers") if n in told},
    }


def _families(names: Sequence[str]) -> dict[str, list[str]]:
    known = {family: [name for name in names if name in members] for family, members in FAMILIES.items()}
    other = [name for name in names if not any(name in members for members in FAMILIES.values())]
    return {**known, **({"other": other} if other else {})}


def _model(header: Mapping[str, Any]) -> dict[str, Any]:
    kind = (
        "the mean of several pairs of a ridge regression of the logarithm of volatility and boosted trees on what it"
        " leaves over, each fitted without one stretch of the past, and a factor by level that leads back from logarithms"
    )
    study = header.get("tuning_study")
    return {"kind": kind, **({"tuning_study": study} if study else {})}


def _scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return the errors of the model and of every baseline on the same rows, and where the model is the worse."""
    own, baselines = scores.get("model", {}), scores.get("baselines", {})
    return {
        **{name: scores[name] for name in ("rows", "first", "last") if name in scores},
        "errors": {"model": dict(own), **{name: dict(errors) for name, errors in sorted(baselines.items())}},
        "loses": [
            {"to": name, "error": error, "model": own[error], "baseline": errors[error]}
            for name, errors in sorted(baselines.items())
            for error in (*LOWER, *HIGHER, *NEAR_ONE)
            if error in own and error in errors and _worse(error, own[error], errors[error])
        ],
        "tests": {name: dict(test) for name, test in sorted(scores.items()) if _is_test(test)},
        "left_out": dict(scores.get("left_out", {})),
    }


def _worse(error: str, own: float, other: float) -> bool:
    if error in NEAR_ONE:
        return abs(own - 1.0) > abs(other - 1.0)
    return own > other if error in LOWER else own < other


def _is_test(value: Any) -> bool:
    return isinstance(value, Mapping) and {"statistic", "p"} <= set(value)


def _coverage(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each interval level with the share of scored hours that lay inside, narrowest first."""
    measured = {float(level): share for level, share in scores.get("coverage", {}).items()}
    return [{"level": level, "covered": measured[level]} for level in sorted(measured)]


def _own_limits(header: Mapping[str, Any], scores: Mapping[str, Any]) -> list[str]:
    market = header["market"]
    limits = []
    if market == "simulated":
        limits.append("Trained on made-up bars of the simulated market: it says nothing about any real price.")
    elif market != "live":
        limits.append(f"Trained on the bars of {market}: it serves that market alone, never live bars.")
    for name, why in sorted(scores.get("left_out", {}).items()):
        limits.append(f"Not compared with {name}: {why}")
    if not scores.get("baselines"):
        limits.append("No scores of baselines are on record.")
    return limits
