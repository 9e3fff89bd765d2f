"""The hour's own forecast, of each horizon: logged whoever asks, so that every hour has one to be scored."""

from __future__ import annotations

from dataclasses import replace

from cryptovol import shadow
from cryptovol.errors import DataError, ModelError
from cryptovol.events import Result, StageEvent
from cryptovol.forecasts import Ask
from cryptovol.held import at_once
from cryptovol.params import Params
from cryptovol.ports import Clock, Meter, Store
from cryptovol.stages.predict import Forecaster
from cryptovol.times import HOUR


def run(event: StageEvent, *, store: Store, params: Params, clock: Clock, meter: Meter) -> Result:
    """Make the event's forecasts by the path that serves callers, which writes the scoring log.

    An hour that has one already keeps it. What cannot be forecast is told and fails nothing: the hours before it are
    to be scored all the same. An event older than `predict.freshness_hours` gets none: it would be a look back.

    Returns
    -------
    dict
        The event's fields, ``forecasts`` (by horizon ``logged`` or why not, an error's code or a warning), ``shadows``
        (where the champion's is logged: of the challenger beside it, ``logged``, ``none`` or an error's code) and
        ``rows_forecast``, how many are in the log.

    Raises
    ------
    StoreUnavailableError
        If the store is away.
    """
    now = max(clock(), event.as_of)
    forecaster = Forecaster(
        store, market=event.need("market"), params=replace(params, quote=event.quote), clock=lambda: now, meter=meter,
        start=at_once,
    )  # fmt: skip
    late = now - event.as_of > HOUR * params.predict.freshness_hours
    found = {
        str(horizon): "too_late" if late else _logged(forecaster, event, horizon) for horizon in forecaster.horizons
    }
    shadows = {
        horizon: _shadowed(forecaster, event, int(horizon), store=store, params=params, now=now)
        for horizon, told in found.items() if told == "logged"
    }  # fmt: skip
    logged = sum(told == "logged" for told in found.values())
    return event.result(forecasts=found, shadows=shadows, rows_forecast=logged)


def _shadowed(
    forecaster: Forecaster, event: StageEvent, horizon: int, *, store: Store, params: Params, now: int
) -> str:
    """Return ``logged``, ``none`` where no challenger shadows the champion, or why its forecast could not be."""
    known = forecaster.moment(Ask(event.symbol, horizon=horizon, as_of=event.as_of))
    level, market = params.predict.level, event.need("market")
    try:
        there = shadow.log(
            store, market, event.pair, horizon, known=known, symbol=event.symbol, level=level, now=now
        )  # fmt: skip
    except (DataError, ModelError) as error:
        return error.code
    return "logged" if there else "none"


def _logged(forecaster: Forecaster, event: StageEvent, horizon: int) -> str:
    """Return ``logged``, or why a forecast could not be."""
    ask = Ask(event.symbol, horizon=horizon, as_of=event.as_of, request_id=event.run_id)
    try:
        body = forecaster.stored(ask)
    except (DataError, ModelError) as error:
        return error.code
    return "model_trained_later" if "model_trained_later" in body["warnings"] else "logged"
