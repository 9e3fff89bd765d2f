"""What callers get, as types: the published contract is made from them, and tests hold every answer against it.

Answers may gain members later; a reader leaves those it does not know alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from chalicelib.codes import CODES
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from cryptovol.features import FEATURE_NAMES

PerHour = Annotated[float, Meta(ge=0, description="Standard deviation of hourly log returns, per hour.")]
When = Annotated[str, Meta(description="ISO 8601, UTC.", examples=["2025-05-01T00:00:00Z"])]
FeatureName = Annotated[str, Meta(extra_json_schema={"enum": list(FEATURE_NAMES)})]
Share = Annotated[float, Meta(ge=0, le=1)]
Warning_ = Literal["stale_data", "model_expired", "model_trained_later"]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Model(Struct, kw_only=True):
    """The model that made a forecast."""

    name: Annotated[str, Meta(examples=["cryptovol-btc-usd-h24"])]
    version: Annotated[str, Meta(description="In the model registry.")]
    trained_at: Annotated[str, Meta(description="The end of its training data, ISO 8601, UTC.")]
    bundle_sha256: Sha256


class Interval(Struct, kw_only=True):
    """Where the outcome is expected with probability `level`."""

    level: Share
    lower: PerHour
    upper: PerHour


class Drift(Struct, kw_only=True):
    """How far the data has moved from what the model was trained on."""

    ratio: Annotated[Share | None, Meta(description="Share of features that drifted; null where nobody knows yet.")]
    out_of_distribution: Annotated[
        list[FeatureName], Meta(description="This row's features outside the training range.")
    ]


class Baselines(Struct, kw_only=True):
    """What simple rules forecast at the same moment, per hour."""

    persistence: PerHour
    ewma: PerHour
    har: PerHour


if TYPE_CHECKING:
    ByFeature = Struct
else:
    ByFeature = defstruct(
        "ByFeature", [(name, float) for name in FEATURE_NAMES], namespace={"__doc__": "One number for each feature."}
    )


class Contributions(Struct, kw_only=True):
    """What each feature adds to the natural logarithm of `volatility`: `base` and all of them sum to it."""

    unit: Literal["log volatility"]
    base: float
    features: ByFeature


class Prediction(Struct, kw_only=True):
    """One forecast."""

    volatility: PerHour
    volatility_annualized: Annotated[float, Meta(ge=0, description="`volatility` times the square root of 8,760.")]
    interval: Interval
    drift: Drift
    contributions: Contributions | UnsetType = UNSET


class Frame(Struct, kw_only=True):
    """What a forecast stands on."""

    symbol: str
    horizon_hours: Annotated[int, Meta(description="The forecast is of the hours from `as_of` to so many later.")]
    as_of: Annotated[When | None, Meta(description="When the newest bar closed; null where features were sent.")]
    data_age_seconds: Annotated[int | None, Meta(description="From `as_of` to now, or to the `as_of` asked for.")]
    source: Annotated[str, Meta(description="Where the bars came from; `request` where the caller sent them.")]
    model: Model
    baselines: Baselines | None
    warnings: Annotated[list[Warning_], Meta(description="What is wrong with the answer and was allowed.")]
    request_id: str


class Forecast(Frame, kw_only=True):
    """The forecast of one moment."""

    volatility: PerHour
    volatility_annualized: Annotated[float, Meta(ge=0, description="`volatility` times the square root of 8,760.")]
    interval: Interval
    drift: Drift
    contributions: Contributions | UnsetType = UNSET


class Batch(Frame, kw_only=True):
    """The forecasts of many rows of features, in their order."""

    predictions: list[Prediction]


class Covered(Struct, kw_only=True):
    """How often an interval held on the scored hours."""

    level: Share
    covered: Share


class ModelCard(Struct, kw_only=True):
    """What serves, what it was made from, how it scored, and what it must not be used for."""

    name: str
    version: str | None
    bundle_sha256: Sha256
    trained_at: When
    symbol: str
    quote: str
    market: str
    source: str
    horizon_hours: int
    use: dict[str, Any]
    data: dict[str, Any]
    features: dict[str, list[str]]
    model: dict[str, Any]
    scores: dict[str, Any]
    coverage: list[Covered]
    limits: list[str]
    lineage: dict[str, Any]
    decision: Annotated[dict[str, Any], Meta(description="The ledger's entry that made it champion.")]
    header: dict[str, Any]
    levels: Annotated[list[Share], Meta(description="The interval levels that may be asked for.")]
    refused: Annotated[str | None, Meta(description="Why a newer champion does not serve.")]


class SeriesHealth(Struct, kw_only=True):
    """One symbol and horizon: the model and the data that serve, or why none do."""

    symbol: str
    horizon_hours: int
    model: Model | UnsetType = UNSET
    refused: Annotated[str | None, Meta(description="Why a newer champion does not serve.")] | UnsetType = UNSET
    as_of: When | UnsetType = UNSET
    data_age_seconds: int | UnsetType = UNSET
    stale: bool | UnsetType = UNSET
    code: Annotated[str, Meta(extra_json_schema={"enum": sorted(CODES)})] | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class Health(Struct, kw_only=True):
    """Whether forecasts can be served: `ok`, `degraded` (they can, but something is old or refused) or `unready`."""

    status: Literal["ok", "degraded", "unready"]
    market: str
    store: Literal["ok", "unreachable"]
    series: list[SeriesHealth]


class Tested(Struct, kw_only=True):
    """A Diebold-Mariano test of the model against a baseline: below zero the model loses less; `p` is two-sided."""

    statistic: float
    p: Share


class Window(Struct, kw_only=True):
    """The scores of the forecasts that matured in the last `hours`; absent where there are none."""

    hours: int
    rows: int
    qlike: dict[str, float] | UnsetType = UNSET
    rmse: dict[str, float] | UnsetType = UNSET
    bias: Annotated[float, Meta(description="Mean forecast over mean outcome.")] | UnsetType = UNSET
    baseline_bias: dict[str, float] | UnsetType = UNSET
    coverage: Share | UnsetType = UNSET
    dm: (
        Annotated[dict[str, Tested], Meta(description="By baseline, on QLIKE; absent where rows are few.")] | UnsetType
    ) = UNSET


class Drifted(Struct, kw_only=True):
    """The features whose newest rows differ from the training data."""

    ratio: Share
    features: list[FeatureName]
    scores: Annotated[ByFeature, Meta(description="Evidence over its limit: above 1, it drifted.")] | UnsetType = UNSET
    rows: (
        Annotated[
            Literal["served", "stored"],
            Meta(description="What was looked at: forecasts' rows, or the feature table's."),
        ]
        | UnsetType
    ) = UNSET


class Board(Struct, kw_only=True):
    """One horizon's forecasts against what was realized."""

    model: str | None
    served: Annotated[int, Meta(description="Forecasts in the log.")]
    matured: Annotated[int, Meta(description="Those whose hours are over and have bars.")]
    windows: list[Window]
    drift: Drifted | None


class Scoreboard(Struct, kw_only=True):
    """Served forecasts against what was realized and against baselines."""

    as_of: When
    market: str
    series: Annotated[str, Meta(examples=["btc-usd"])]
    horizons: Annotated[dict[str, Board], Meta(description="By horizon in hours.")]


class Index(Struct, kw_only=True):
    """The routes."""

    name: str
    version: str
    routes: dict[str, list[str]]


class ProblemDocument(Struct, kw_only=True, rename={"type_": "type"}):
    """An RFC 9457 problem document; `code` is stable, `docs/errors.md` lists them all."""

    type_: Annotated[str, Meta(pattern="^urn:cryptovol:problem:[a-z_]+$")]
    title: str
    status: int
    detail: Annotated[str, Meta(max_length=500)]
    code: Annotated[str, Meta(extra_json_schema={"enum": sorted(CODES)})]
    request_id: str
    field: Annotated[str, Meta(description="The member or option that is wrong.")] | UnsetType = UNSET
    missing: Annotated[list[FeatureName], Meta(description="Features the row lacks.")] | UnsetType = UNSET
    unexpected: Annotated[list[str], Meta(max_length=50, description="Names no feature has.")] | UnsetType = UNSET
    features: list[FeatureName] | UnsetType = UNSET
    needed: Annotated[int, Meta(description="Hours of bars.")] | UnsetType = UNSET
    found: Annotated[int, Meta(description="Hours of bars.")] | UnsetType = UNSET
