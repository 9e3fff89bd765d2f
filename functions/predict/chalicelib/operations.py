"""What each route takes and gives, for the published contract; the types themselves are in `schemas` and `answers`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chalicelib import answers, schemas
from chalicelib.history import History
from msgspec import Struct

from cryptovol.features import FEATURE_NAMES

Kind = type[Struct]
JSON, TEXT, HTML = "application/json", "text/plain", "text/html"
ALWAYS = (415, 500, 503)  # 415 because the framework looks at Content-Type even where there is no body
ASKED = (401, 403, 429)  # of routes that ask for a key
CACHED = ("ETag", "Cache-Control")


@dataclass(frozen=True)
class Operation:
    """One method of one route.

    Parameters
    ----------
    path, method, summary
        For instance ``/model``, ``get``.
    content
        Media type → the types of the answer, any of which it may be; none where it is plain text.
    errors
        The statuses of its problem documents.
    about
        More words.
    query, body
        The types of options in the address and of the body.
    public
        Whether no key is asked for.
    headers
        Of the answer; with an ``ETag`` the route may answer 304.
    unready
        The type of a 503 that is an answer and no problem, or None.
    examples, answer
        Bodies by name, and what one of them may be answered with.
    """

    path: str
    method: str
    summary: str
    content: dict[str, tuple[Kind, ...]]
    errors: tuple[int, ...]
    about: str = ""
    query: Kind | None = None
    body: tuple[Kind, ...] = ()
    public: bool = False
    headers: tuple[str, ...] = ()
    unready: Kind | None = None
    examples: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)


_FORECASTS = (answers.Forecast, answers.Batch)
_ROW = {
    name: -5.3 if name.startswith(("rv", "gk", "ewma", "parkinson")) and name != "gk_cv_24" else 0.0
    for name in FEATURE_NAMES
}

_FORECAST = {
    "symbol": "BTC", "horizon_hours": 24, "as_of": "2024-02-03T08:00:00Z", "data_age_seconds": 600, "source": "coinbase",
    "volatility": 0.00441643, "volatility_annualized": 0.413356,
    "interval": {"level": 0.9, "lower": 0.00266097, "upper": 0.00858752},
    "baselines": {"persistence": 0.00305055, "ewma": 0.00348965, "har": 0.00424848},
    "drift": {"ratio": 0.0278, "out_of_distribution": ["gk_1"]},
    "model": {
        "name": "cryptovol-btc-usd-h24", "version": "7", "trained_at": "2024-02-03T06:00:00Z",
        "bundle_sha256": "4fd51cbec56adcf5b99fbf6dd66d1888b6e7e85ebaeeb3735b9a8f2ce9e3d799",
    },
    "warnings": [], "request_id": "8d72e417-4cbe-44f6-9252-495172ed763e",
}  # fmt: skip

OPERATIONS = (
    Operation(
        "/predict", "post", "Forecast from a symbol, the caller's bars, or ready features",
        {JSON: _FORECASTS}, (400, *ASKED, 404, 411, 413, 422, *ALWAYS),
        about="`instances` gives a batch, everything else one forecast. The limit is 1,000,000 bytes a body.",
        body=(schemas.OfSymbol, schemas.OfBars, schemas.OfFeatures, schemas.OfInstances),
        examples={
            "symbol": {"symbol": "BTC"},
            "options": {"symbol": "BTC", "horizon_hours": 6, "level": 0.5, "explain": True},
            "features": {"features": _ROW},
            "instances": {"instances": [_ROW, _ROW], "horizon_hours": 24},
        },
        answer=_FORECAST,
    ),
    Operation(
        "/forecast/{symbol}", "get", "Forecast from stored bars, cacheable",
        {JSON: (answers.Forecast,)}, (*ASKED, 404, 422, *ALWAYS),
        about="The same numbers as `POST /predict` with the same symbol and options.",
        query=schemas.Options, headers=CACHED, answer=_FORECAST,
    ),
    Operation(
        "/history/{symbol}", "get", "Forecasts of past hours beside what came",
        {JSON: (History,)}, (*ASKED, 404, 422, *ALWAYS), query=schemas.HistoryQuery, headers=CACHED,
    ),
    Operation(
        "/scoreboard/{symbol}", "get", "Scores of served forecasts against baselines",
        {JSON: (answers.Scoreboard,)}, (*ASKED, 404, 422, *ALWAYS),
    ),
    Operation(
        "/model", "get", "The card of the model that serves, for programs or, as Markdown, for people",
        {JSON: (answers.ModelCard,), "text/markdown": ()}, (*ASKED, 404, 422, *ALWAYS), query=schemas.CardQuery,
        headers=("Vary",),
    ),
    Operation(
        "/health", "get", "Whether forecasts can be served, and how old model and data are",
        {JSON: (answers.Health,)}, ALWAYS, public=True, unready=answers.Health,
        about="Old data alone is no 503: another instance would have no newer, and a caller may allow it.",
    ),
    Operation(
        "/metrics", "get", "The metrics sidecar's committed series, as Prometheus text",
        {TEXT: (), "application/openmetrics-text": ()}, (404, *ALWAYS), public=True,
    ),
    Operation("/openapi.json", "get", "This document", {JSON: ()}, ALWAYS, public=True),
    Operation(
        "/", "get", "A page to look at, or the routes as JSON",
        {HTML: (), JSON: (answers.Index,)}, ALWAYS, public=True, headers=(*CACHED, "Vary"),
    ),
)  # fmt: skip
