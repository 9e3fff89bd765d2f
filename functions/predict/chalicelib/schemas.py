"""What callers may send, as types: requests are checked by them, and the published contract is made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from cryptovol.features import FEATURE_NAMES

BODY_BYTES = 1_000_000
INSTANCES = 1000
BARS = 10_000
DAYS = 30
LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, the last one that ISO 8601 can write

Symbol = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9]{1,12}$", description="A coin, in any case.", examples=["BTC"]),
]
Seconds = Annotated[int, Meta(ge=0, le=LAST_SECOND)]
Text = Annotated[str, Meta(min_length=1, max_length=64)]
Instant = Annotated[
    Seconds | Text,
    Meta(description="Unix seconds, or ISO 8601; without an offset it is UTC.", examples=["2025-05-01T00:00:00Z"]),
]
Horizon = Annotated[int, Meta(ge=1, le=8760, description="Hours ahead; 24 unless given.", examples=[24])]
Level = Annotated[
    float, Meta(gt=0, lt=1, description="Share of outcomes the interval is made to hold; 0.9 unless given.")
]
Flag = Annotated[bool, Meta(description="False unless given.")]
Price = Annotated[float, Meta(description="In quote currency.")]
Feature = Annotated[float, Meta(description="As `docs/features.md` defines it; finite.")]


class Options(Struct, kw_only=True, forbid_unknown_fields=True):
    """How a forecast is asked for."""

    horizon_hours: Horizon | None = None
    level: Level | None = None
    as_of: Instant | None = None
    allow_stale: Flag = False
    explain: Flag = False


class CardQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose model card is asked for."""

    symbol: Symbol | None = None
    horizon_hours: Horizon | None = None


class HistoryQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which stretch of a symbol's history is asked for."""

    horizon_hours: Horizon | None = None
    days: Annotated[int, Meta(ge=1, le=DAYS, description="Newest days; all 30 unless given.")] | None = None


class SymbolQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """A coin named in the address."""

    symbol: Symbol


if TYPE_CHECKING:
    Features = Struct
else:
    Features = defstruct(
        "Features",
        [(name, Feature) for name in FEATURE_NAMES],
        forbid_unknown_fields=True,
        namespace={"__doc__": "The model's 36 features at one moment, by name."},
    )


class Bar(Struct, kw_only=True, forbid_unknown_fields=True):
    """One closed hour of one market."""

    time: Annotated[Seconds | Text, Meta(description="When the hour OPENS: unix seconds or ISO 8601.")]
    open: Price
    high: Price
    low: Price
    close: Price
    volume_base: Annotated[float, Meta(description="Traded amount in coins.")]
    volume_quote: Annotated[float, Meta(description="Traded amount in quote currency.")] | UnsetType = UNSET


class OfSymbol(Options, tag=False):
    """A forecast from stored bars."""

    symbol: Symbol


class OfBars(Options, tag=False):
    """A forecast from the caller's own bars."""

    symbol: Symbol
    bars: Annotated[
        list[Bar], Meta(min_length=1, max_length=BARS, description="Oldest first, at least the newest 721 hours.")
    ]


class OfFeatures(Options, tag=False):
    """A forecast from ready features; of the first symbol served unless one is named."""

    features: Features
    symbol: Symbol | None = None


class OfInstances(Options, tag=False):
    """Forecasts from many rows of ready features; of the first symbol served unless one is named."""

    instances: Annotated[list[Features], Meta(min_length=1, max_length=INSTANCES)]
    symbol: Symbol | None = None


Body = OfSymbol | OfBars | OfFeatures | OfInstances
# Which body it is, by the member that only this one has.
BODIES: dict[str, type[Any]] = {"bars": OfBars, "features": OfFeatures, "instances": OfInstances, "symbol": OfSymbol}
