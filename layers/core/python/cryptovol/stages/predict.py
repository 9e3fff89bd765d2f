"""A champion and what is known → a forecast with its interval, baselines and doubts; the first of an hour is logged.

A forecast on stored bars is in the scoring log, or on its way there and safe, before it is given away: once per hour
and model, written when it was first asked for. A look back with a model that was trained later is no forecast: it is
answered, marked and not scored. Every answer's record goes to the journal before the answer leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cryptovol import answers, keys, tables
from cryptovol.bars import Bars
from cryptovol.bundle import Bundle
from cryptovol.callers import as_row, check_bars
from cryptovol.errors import ConfigError, ModelExpiredError, ModelNotFoundError, StaleDataError, UnknownSymbolError
from cryptovol.forecasts import CALLER, Ask, Forecast, Outlook, View, batch, outlook, single
from cryptovol.held import Start, in_background
from cryptovol.moments import Moment, Moments, moment
from cryptovol.params import Params
from cryptovol.ports import Clock, Journal, Meter, Store
from cryptovol.reach import Reach
from cryptovol.serving import Champions, DriftRatios, Served
from cryptovol.times import HOUR, format_instant, parse_instant

LOGGED = 4096  # log entries remembered as written
OUTLOOKS = 256  # of a moment and a bundle, kept


class Forecaster:
    """Answers asks about one market. Safe under threads.

    Parameters
    ----------
    journal
        Keeps the record of each answer; without one there are no records, and the scoring log is written at once.
    start
        How looks at the store are run beside the requests; see `held.Held`.

    Raises, in all its answers
    --------------------------
    ConfigError
        If symbol, horizon or level is none that is served.
    UnknownSymbolError, ModelNotFoundError
        If the pair has no champion: because nobody trains it, or not yet.
    BundleRefusedError, ModelExpiredError, StoreUnavailableError
        If the champion cannot or must not serve.
    """

    def __init__(
        self, store: Store, *, market: str, params: Params, clock: Clock, meter: Meter,
        journal: Journal | None = None, start: Start = in_background,
    ) -> None:  # fmt: skip
        self._store = store
        self._market = market
        self._params = params
        self._clock = clock
        self._meter = meter
        self._journal = journal
        self._reach = reach = Reach(meter)
        self._champions = Champions(store, market, clock, reach=reach, start=start)
        coverage = params.featurize.window_coverage
        self._moments = Moments(store, market, coverage=coverage, clock=clock, told=reach.told, start=start)
        self._drift = DriftRatios(store, market, clock, reach=reach, start=start)
        self._logged: dict[str, None] = {}
        self._outlooks: dict[tuple[Moment, Bundle], Outlook] = {}

    def close(self) -> None:
        """Bring records to the store in the little time that an ending process has; none is lost without it."""
        if self._journal is not None:
            self._journal.close()

    @property
    def store_fault(self) -> str:
        """Why the store did not answer when it was last asked, or an empty text; asks nothing itself."""
        return self._reach.fault

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
        if ask.symbol in self._params.symbols:  # at a cold start bars and bundle are read side by side
            self._moments.prepare(ask.symbol, self._params.quote)
            self._drift.prepare(keys.series(ask.symbol, self._params.quote))
        served = self.served(ask)
        known = self.moment(ask)
        view = self._view(ask, served, known)
        ahead = self._outlook(served.bundle, known)
        body = single(ask, view, known, ahead)
        if "model_trained_later" not in view.warnings:
            self._log(ask, served, known, ahead)
        self._give(served, body, [ahead.features_sha256])
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
        view, ahead = self._view(ask, served), outlook(served.bundle, known)
        body = single(ask, view, known, ahead)
        self._give(served, body, [ahead.features_sha256])
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
        self._give(served, body, answers.row_hashes(values))
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

    def _outlook(self, bundle: Bundle, known: Moment) -> Outlook:
        """Return what a bundle says at a moment, worked out once."""
        found = self._outlooks.get((known, bundle))
        if found is None:
            found = outlook(bundle, known)
            while len(self._outlooks) >= OUTLOOKS:
                self._outlooks.pop(next(iter(self._outlooks)), None)
            self._outlooks[known, bundle] = found
        return found

    def _log(self, ask: Ask, served: Served, known: Moment, ahead: Outlook) -> None:
        """Have the forecast in the scoring log unless it is there: by the journal, or written before it is given away."""
        pair, as_of = keys.series(ask.symbol, self._params.quote), format_instant(known.as_of)
        sha256, horizon = served.bundle.sha256, served.bundle.horizon
        key = keys.prediction(self._market, pair, horizon, as_of=as_of, bundle_sha256=sha256)
        if key in self._logged:
            return
        level = self._params.predict.level
        body = answers.entry(served, known, ahead, symbol=ask.symbol, level=level, served_at=self._clock())
        if self._journal is None or not self._journal.entry(key, body):
            self._store.put_new(key, tables.encode_json(body))
        if len(self._logged) >= LOGGED:
            self._logged.clear()
        self._logged[key] = None

    def _give(self, served: Served, body: Forecast, hashes: Sequence[str]) -> None:
        """Count what is about to be given away, and keep its record."""
        for prediction in body.get("predictions", (body,)):
            self._meter.add("model_predictions", prediction["volatility"], {"model": served.champion.name})
            for feature in prediction["drift"]["out_of_distribution"]:
                self._meter.add("feature_ood_total", 1, {"feature": feature, "reason": "range"})
        if self._journal is not None:
            self._journal.record(answers.record(body, hashes, market=self._market, served_at=self._clock()))
