"""`params.yaml` as a tree of frozen dataclasses: every number that changes a result, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from cryptovol.cost import CostParams
from cryptovol.errors import ConfigError
from cryptovol.tuneparams import TuneParams
from cryptovol.watch import WatchParams


@dataclass(frozen=True)
class ReproParams:
    """The instant `dvc repro` works at, ISO 8601."""

    as_of: str


@dataclass(frozen=True)
class MarketParams:
    """The simulated market."""

    seed: int
    start: str
    gap_share: float


@dataclass(frozen=True)
class SourcesParams:
    """Venues, and the patience with them."""

    order: tuple[str, ...]
    stand_in_quotes: tuple[str, ...] = field(metadata={"may_be_empty": True})
    tries: int
    timeout_seconds: float
    budget_seconds: int
    breaker_failures: int
    breaker_seconds: int


@dataclass(frozen=True)
class IngestParams:
    """How much history is fetched, in what portions, and how much of it is looked at twice."""

    history_hours: int
    page_bars: int
    commit_pages: int
    reread_hours: int
    witness_hours: int


@dataclass(frozen=True)
class GateParams:
    """Limits of the gate; shares are of the batch's rows."""

    null_share: float
    ungiven_hours: int
    range_share: float
    log_return_limit: float
    freshness_hours: int
    gap_share: float
    longest_gap_hours: int
    duplicate_share: float
    disorder_rows: int
    future_rows: int
    foreign_rows: int
    unfinished_rows: int
    settle_hours: int
    frozen_hours: int
    zero_volume_share: float
    outlier_hours: int
    outlier_scales: float
    outlier_share: float
    volume_times: float
    volume_share: float
    disagreement: float
    disagreement_share: float
    repaired_share: float


@dataclass(frozen=True)
class FeaturizeParams:
    """Horizons in hours and how complete a window must be."""

    horizons: tuple[int, ...]
    window_coverage: float
    target_coverage: float


@dataclass(frozen=True)
class ForestParams:
    """Boosted trees on what the ridge leaves over; `trees` is per member."""

    trees: int
    depth: int
    learning_rate: float
    min_child_weight: float
    subsample: float
    colsample: float
    l2: float
    bins: int


@dataclass(frozen=True)
class TrainParams:
    """Folds, ridge, forest and interval levels."""

    seed: int
    threads: int
    window_hours: int
    refit_hours: int
    least_rows: int
    members: int
    ridge: float
    squared_error_weight: float
    half_life_hours: float
    forest: ForestParams
    levels: tuple[float, ...]


@dataclass(frozen=True)
class PromotionParams:
    """When a challenger may replace the champion."""

    dm_level: float
    least_rows: int
    suspect_r2_log: tuple[float, ...]
    shadow_rows: int
    shadow_ties: bool


@dataclass(frozen=True)
class PredictParams:
    """When a forecast is refused, and the default interval."""

    freshness_hours: int
    expiry_hours: int
    level: float


@dataclass(frozen=True)
class ScoreParams:
    """Windows of the scoreboard in hours."""

    windows_hours: tuple[int, ...]


@dataclass(frozen=True)
class Params:
    """The whole of `params.yaml`."""

    symbols: tuple[str, ...]
    quote: str
    repro: ReproParams
    market: MarketParams
    sources: SourcesParams
    ingest: IngestParams
    gate: GateParams
    featurize: FeaturizeParams
    train: TrainParams
    tune: TuneParams
    promotion: PromotionParams
    predict: PredictParams
    score: ScoreParams
    watch: WatchParams
    cost: CostParams


def load(path: Path) -> Params:
    """Return the parameters in a YAML file.

    Raises
    ------
    ConfigError
        If the file is absent or not YAML, or a name is missing, unknown or of the wrong type; the message gives
        the full name, for instance ``gate.null_share``. So it is for numbers that do not fit together.
    """
    import yaml

    try:
        # The same loader in C, where there is one: a seventh of the time, which a cold start waits for.
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise ConfigError(f"cannot read the parameters: {error}. Cure: run from the project folder") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    params: Params = build(Params, raw, "")
    _check(params)
    return params


def _check(params: Params) -> None:
    """Raise `ConfigError` for numbers that do not fit together."""
    limits, horizons = params.promotion.suspect_r2_log, params.featurize.horizons
    if len(limits) != len(horizons):
        raise ConfigError(f"params.yaml: promotion.suspect_r2_log gives {len(limits)} for {len(horizons)} horizons")
    if params.watch.decay_window_hours not in params.score.windows_hours:
        raise ConfigError("params.yaml: watch.decay_window_hours must be one of score.windows_hours")
    known = params.promotion.shadow_rows + max(horizons)
    if known > params.predict.expiry_hours:
        raise ConfigError(
            f"params.yaml: promotion.shadow_rows are known after {known} hours, past predict.expiry_hours:"
            " no shadow could ever be decided on"
        )


def build(cls: type[Any], raw: Any, where: str) -> Any:
    """Return dataclass `cls` filled from a mapping; see `load` for the errors."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"params.yaml: {where or 'the file'} must be a block of names, not {raw!r}")
    hints = get_type_hints(cls)
    known = {each.name: each.metadata for each in fields(cls)}
    for name in raw:
        if name not in known:
            raise ConfigError(f"params.yaml: {_join(where, str(name))} is unknown; known: {', '.join(known)}")
    return cls(
        **{name: _value(hints[name], raw, name, where, "may_be_empty" in more) for name, more in known.items()}
    )  # fmt: skip


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _value(kind: Any, raw: Mapping[str, Any], name: str, where: str, may_be_empty: bool) -> Any:
    full = _join(where, name)
    if name not in raw:
        raise ConfigError(f"params.yaml: {full} is missing")
    value = raw[name]
    if is_dataclass(kind):
        return build(kind, value, full)  # type: ignore[arg-type]
    item = getattr(kind, "__args__", (None,))[0]
    if item is None:
        return _scalar(kind, value, full)
    if not isinstance(value, list) or not (value or may_be_empty):
        raise ConfigError(f"params.yaml: {full} must be a list that is not empty, not {value!r}")
    return tuple(_scalar(item, each, full) for each in value)


def _scalar(kind: type[Any], value: Any, full: str) -> Any:
    accepted = (int, float) if kind is float else kind
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, accepted):
        raise ConfigError(f"params.yaml: {full} must be {kind.__name__}, not {value!r}")
    return kind(value)
