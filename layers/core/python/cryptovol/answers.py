"""What is kept of forecasts that were given away: the scoring log's entry, and the record of each answer."""

from __future__ import annotations

from collections.abc import Sequence

from cryptovol import tables
from cryptovol.bars import Floats
from cryptovol.features import FEATURE_NAMES
from cryptovol.forecasts import Ask, Forecast, Outlook, View, single
from cryptovol.moments import Moment
from cryptovol.serving import Served
from cryptovol.times import format_instant


def entry(served: Served, known: Moment, ahead: Outlook, *, symbol: str, level: float, served_at: int) -> Forecast:
    """Return a log entry: all that scoring, drift and lineage need, the same whoever asked for it."""
    bundle = served.bundle
    body = single(Ask(symbol), View(served, known.as_of, level, (), None), known, ahead)
    for name in ("request_id", "data_age_seconds", "drift", "warnings"):
        del body[name]
    return {
        **body,
        "quote": bundle.header["quote"],
        "market": bundle.header["market"],
        "intervals": {str(level): list(ends) for level, ends in ahead.ends.items()},
        "features": dict(zip(FEATURE_NAMES, known.values.tolist(), strict=True)),
        "features_sha256": ahead.features_sha256,
        "served_at": format_instant(served_at),
    }


def record(body: Forecast, hashes: Sequence[str], *, market: str, served_at: int) -> Forecast:
    """Return what is kept of an answer.

    Parameters
    ----------
    body
        The answer.
    hashes
        sha256 of each prediction's features, in the answer's order.
    served_at
        Unix seconds.
    """
    predictions = body.get("predictions") or (body,)
    kept = [
        (digest, one["volatility"], one["interval"]["lower"], one["interval"]["upper"])
        for digest, one in zip(hashes, predictions, strict=True)
    ]
    model = body["model"]
    return {
        "request_id": body["request_id"],
        "served_at": format_instant(served_at),
        "market": market,
        "symbol": body["symbol"],
        "horizon_hours": body["horizon_hours"],
        "as_of": body["as_of"],
        "source": body["source"],
        "model": model["name"],
        "version": model["version"],
        "bundle_sha256": model["bundle_sha256"],
        "level": predictions[0]["interval"]["level"],
        "warnings": body["warnings"],
        "predictions": kept,
    }


def row_hashes(values: Floats) -> list[str]:
    """Return the sha256 of each row's bytes, from features of shape (n, 36)."""
    return [tables.sha256(row.tobytes()) for row in values]
