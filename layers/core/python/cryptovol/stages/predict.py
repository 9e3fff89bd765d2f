"""A champion and what is known → a forecast with its interval, baselines and doubts; the first of an hour is logged.

A forecast on stored bars is in the prediction log before it is given away: a reader of the log sees every one of
them, once per hour and model, written when it was first asked for. A look back with a model that was trained later
is no forecast: it is answered, marked and not logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cryptovol import keys, tables
from cryptovol.bars import Bars
from cryptovol.errors import ConfigError, ModelExpiredError, ModelNotFoundError, StaleDataError, UnknownSymbolError
from cryptovol.forecasts import CALLER, Ask, Forecast, View, as_row, batch, check_bars, entry, single
from cryptovol.params import Params
from cryptovol.ports import Clock, Meter, Store
from cryptovol.serving import Champions, DriftRatios, Moment, Moments, Served, moment
from cryptovol.times import HOUR, format_instant, parse_instant

LOGGED = 4096  # log entries remembered as written


class Forecaster:
    """Answers asks about one market. Safe under threads.

    Raises, in all its answers
    --------------------------
    ConfigError
        If symbol, horizon or level is none that is served.
    UnknownSymbolError, ModelNotFoundError
        If the pair has no champion: because nobody trains it, or not yet.
    BundleRefusedError, ModelExpiredError, StoreUnavailableError
        If the champion cannot or must not serve.
    """

    def __init__(self, store: Store, *, market: str, params: Params, clock: Clock, meter: Meter) -> None:
        self._store = store
        self._market = market
        self._params = params
        self._clock = clock
        self._meter = meter
        self._champions = Champions(store, market, clock)
        self._moments = Moments(store, market, coverage=params.featurize.window_coverage, clock=clock)
        self._drift = DriftRatios(store, market, clock)
        self._logged: dict[str, None] = {}

    @property
    def horizons(self) -> tuple[int, ...]:
        """Hours ahead that are forecast; the last is the default."""
        return self._params.featurize.horizons

    def stored(self, ask: Ask) -> Forecast:
        """Return the forecast from stored bars.

        Raises
        ------
        NotEnoughBarsError, StaleDataError
            If the stored bars do not carry a forecast.
        """
        served = self.served(ask)
        known = self.moment(ask)
        view = self._view(ask, served, known)
        body = single(ask, view, known)
        if "model_trained_later" not in view.warnings:
            self._log(ask, served, known)
        self._count(served, [body])
        return body

    def of_bars(self, ask: Ask, bars: Bars) -> Forecast:
        """Return the forecast from the caller's own bars, oldest first; their age is told and not judged.

        Raises
        ------
        BarSchemaError, NotEnoughBarsError
            If they are no closed bars of the symbol, or too few.
        """
        served = self.served(ask)
        limit = self._params.gate.log_return_limit
        check_bars(bars, self._now(ask), symbol=ask.symbol, log_return_limit=limit)
        known = moment(bars, coverage=self._params.featurize.window_coverage, source=CALLER)
        body = single(ask, self._view(ask, served), known)
        self._count(served, [body])
        return body

    def of_features(self, ask: Ask, rows: Sequence[Mapping[str, float]]) -> Forecast:
        """Return forecasts from ready features, one per row under ``predictions``.

        Raises
        ------
        FeatureMismatchError, FeatureValueError
            If a row's names are not the model's, or a value is no number or too far out for a finite forecast.
        """
        served = self.served(ask)
        values = np.array([as_row(row) for row in rows], dtype=np.float64)
        body = batch(ask, self._view(ask, served), values)
        self._count(served, body["predictions"])
        return body

    def served(self, ask: Ask) -> Served:
        """Return the champion that answers an ask, without judging its age."""
        horizon = self.horizons[-1] if ask.horizon is None else ask.horizon
        if horizon not in self.horizons:
            raise ConfigError(f"horizon_hours {horizon} is not served; use one of {', '.join(map(str, self.horizons))}")
        try:
            served = self._champions.get(keys.series(ask.symbol, self._params.quote), horizon)
        except ModelNotFoundError as error:
            if ask.symbol in self._params.symbols:
                raise
            raise UnknownSymbolError(f"{ask.symbol} is not forecast here: {error}") from error
        level = self._level(ask)
        if level not in served.bundle.levels:
            known = ", ".join(map(str, served.bundle.levels))
            raise ConfigError(f"level {level} has no calibrated interval; use one of {known}")
        return served

    def moment(self, ask: Ask) -> Moment:
        """Return what is known at the instant an ask looks from, without judging its age."""
        return self._moments.at(ask.symbol, self._params.quote, self._now(ask))

    def _now(self, ask: Ask) -> int:
        now = self._clock()
        if ask.as_of is not None and ask.as_of > now:
            raise ConfigError(f"as_of {format_instant(ask.as_of)} is in the future; now it is {format_instant(now)}")
        return now if ask.as_of is None else ask.as_of

    def _model_marks(self, served: Served, ask: Ask) -> list[str]:
        """Return what is wrong with the model's age; raise instead unless the caller allows it."""
        trained, now = parse_instant(served.champion.trained_at), self._now(ask)
        if ask.as_of is not None and trained > ask.as_of:
            return ["model_trained_later"]
        limit = self._params.predict.expiry_hours
        if now - trained <= limit * HOUR:
            return []
        if not ask.allow_stale:
            raise ModelExpiredError(
                f"the champion {served.champion.name} was trained {(now - trained) // HOUR} hours ago, the limit is"
                f" {limit}; train, or ask with allow_stale"
            )
        return ["model_expired"]

    def _data_marks(self, known: Moment, ask: Ask, now: int) -> list[str]:
        limit = self._params.predict.freshness_hours
        if now - known.as_of <= limit * HOUR:
            return []
        if not ask.allow_stale:
            raise StaleDataError(
                f"the newest bar of {ask.symbol} closed {format_instant(known.as_of)}, {(now - known.as_of) // HOUR}"
                f" hours ago, the limit is {limit}; ingest, or ask with allow_stale"
            )
        return ["stale_data"]

    def _view(self, ask: Ask, served: Served, known: Moment | None = None) -> View:
        """Return from where the ask is answered; raise where age forbids it. `known` is judged if given."""
        now = self._now(ask)
        warnings = self._model_marks(served, ask) + ([] if known is None else self._data_marks(known, ask, now))
        pair = keys.series(ask.symbol, self._params.quote)
        ratio = self._drift.ratio(pair, served.bundle.horizon, served.champion.name)
        return View(served, now, self._level(ask), tuple(warnings), ratio)

    def _level(self, ask: Ask) -> float:
        return self._params.predict.level if ask.level is None else ask.level

    def _log(self, ask: Ask, served: Served, known: Moment) -> None:
        """Write the forecast into the prediction log unless it is there; only then may it be given away."""
        pair, as_of = keys.series(ask.symbol, self._params.quote), format_instant(known.as_of)
        sha256, horizon = served.bundle.sha256, served.bundle.horizon
        key = keys.prediction(self._market, pair, horizon, as_of=as_of, bundle_sha256=sha256)
        if key in self._logged:
            return
        view = View(served, known.as_of, self._params.predict.level, (), None)
        body = entry(ask, view, known, served_at=self._clock())
        self._store.put_new(key, tables.encode_json(body))
        if len(self._logged) >= LOGGED:
            self._logged.clear()
        self._logged[key] = None

    def _count(self, served: Served, predictions: Sequence[Forecast]) -> None:
        for prediction in predictions:
            self._meter.add("model_predictions", prediction["volatility"], {"model": served.champion.name})
            for feature in prediction["drift"]["out_of_distribution"]:
                self._meter.add("feature_ood_total", 1, {"feature": feature, "reason": "range"})
