"""What each baseline would have forecast, hour by hour over history: refit on what was known, forecast, move on."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from cryptovol import baselines
from cryptovol.bars import Floats, Mask
from cryptovol.baselines import HAR_WINDOWS
from cryptovol.baselines import garch as garches
from cryptovol.baselines.recalibration import recalibrate
from cryptovol.errors import NotEnoughBarsError

Progress = Callable[[int, int], None]
Told = Callable[[garches.Fit], None]

_log = logging.getLogger(__name__)


def walk_forward(
    log_return: Floats,
    target: Floats,
    *,
    horizon: int,
    first: int,
    stop: int,
    refit_hours: int,
    coverage: float,
    rows: Mask | None = None,
    garch: bool = True,
    garch_refit_hours: int = 672,
    progress: Progress | None = None,
    told: Told | None = None,
) -> dict[str, Floats]:
    """Return the baselines' forecasts of the grid rows ``[first, stop)``.

    A refit in row `at` sees every return up to `at`, whose bar has just closed, and the targets of rows before
    ``at + 1 - horizon``, which are the known ones. Between refits the parameters stand; every forecast uses the
    returns up to its own row. All fits see the whole past: 48,000 hours with weekly refits take some ten seconds.

    Parameters
    ----------
    log_return
        Shape (n,), hourly grid, oldest first, NaN where missing.
    target
        Shape (n,), volatility per hour over the next `horizon` hours; NaN where unknown.
    horizon
        Hours ahead.
    first, stop
        The grid rows to forecast; the first refit is in row `first`.
    refit_hours
        Hours between two refits of HAR, of GARCH's recalibration and of the past mean.
    coverage
        Least share of a window's hours that must be there.
    rows
        Shape (n,), the rows that may be fitted on, for instance those with all features; every row if not given.
    garch
        Whether GARCH is among them; it needs the arch package.
    garch_refit_hours
        GARCH's own parameters are refitted at the first refit so many hours or more after the last time.
    progress
        Called with the number of refits done and of all.
    told
        Called with the outcome of each GARCH fit; if not given, one that did not converge is logged.

    Returns
    -------
    dict of arrays of shape (stop - first,), per hour
        ``persistence``, ``ewma``, ``har``, ``past_mean`` (mean target known at the refit) and, if asked for, ``garch``
        (recalibrated); NaN where a baseline has no forecast. While no fit has ever converged GARCH has none.

    Raises
    ------
    NotEnoughBarsError
        If too few targets are known in row `first` to fit HAR, or too few returns to fit GARCH.
    ValueError
        If ``[first, stop)`` holds no row or leaves the grid, or `refit_hours` is below 1.
    """
    refits = _refits(first, stop, refit_hours, len(log_return))
    inputs = baselines.har_inputs(log_return[:stop], coverage=coverage)
    fittable = np.isfinite(inputs).all(axis=1) & np.isfinite(target[:stop])
    fittable &= True if rows is None else rows[:stop]
    found = {
        "persistence": baselines.persistence(log_return[:stop], horizon, coverage=coverage)[first:],
        "ewma": baselines.ewma(log_return[:stop])[first:],
        "har": np.full(stop - first, np.nan),
        "past_mean": np.full(stop - first, np.nan),
    }
    walked = GarchWalk(log_return[:stop], target[:stop], fittable, horizon=horizon, refit_hours=garch_refit_hours)
    if garch:
        found["garch"] = np.full(stop - first, np.nan)
    for number, at in enumerate(refits):
        if progress:
            progress(number, len(refits))
        end = min(at + refit_hours, stop)
        here = slice(at - first, end - first)
        known = _known(fittable, at, horizon)
        har = baselines.fit_har(inputs[: at + 1], target[: at + 1], known)
        found["har"][here] = har.predict(inputs[at:end])
        found["past_mean"][here] = float(target[: at + 1][known].mean())
        if garch:
            found["garch"][here] = walked.forecast(at, end, told or _log_failure)[1]
    return found


def _refits(first: int, stop: int, refit_hours: int, n: int) -> range:
    if not 0 <= first < stop <= n:
        raise ValueError(f"rows [{first}, {stop}) are not a part of a grid of {n} hours")
    if refit_hours < 1:
        raise ValueError(f"refit_hours must be at least 1, not {refit_hours}")
    return range(first, stop, refit_hours)


def _known(fittable: Mask, at: int, horizon: int) -> Mask:
    """Return the rows that can be fitted on when bar `at` has just closed, shape (at + 1,)."""
    known = fittable[: at + 1].copy()
    known[max(at + 1 - horizon, 0) :] = False
    least = len(HAR_WINDOWS) + 1
    if known.sum() < least:
        raise NotEnoughBarsError(
            f"the baselines need {least} hours with a known target {horizon} hours ahead, found {int(known.sum())} "
            f"in the first {at + 1} hours. Cure: begin later, or with more history",
            needed=least,
            found=int(known.sum()),
        )
    return known


def _log_failure(fit: garches.Fit) -> None:
    if not fit.converged:
        kept = "the last converged parameters stay in force" if fit.garch else "there is no GARCH forecast yet"
        _log.warning(
            "GARCH did not converge on the first %d hours (%s), %d time(s) in a row: %s",
            fit.stop, fit.message, fit.failures, kept,
        )  # fmt: skip


class GarchWalk:
    """GARCH along a walk: its parameters refitted now and then, its recalibration at every step.

    Parameters
    ----------
    log_return, target
        Shape (n,), as for `walk_forward`.
    fittable
        Shape (n,), the rows the recalibration may be fitted on once their target is known.
    horizon
        Hours ahead.
    refit_hours
        Least hours between two fits of the parameters.
    """

    def __init__(self, log_return: Floats, target: Floats, fittable: Mask, *, horizon: int, refit_hours: int) -> None:
        self._log_return = log_return
        self._target = target
        self._fittable = fittable
        self._horizon = horizon
        self._refit_hours = refit_hours
        self._last: garches.Fit | None = None
        self._raw = np.full(len(log_return), np.nan)

    def forecast(self, at: int, end: int, told: Told = _log_failure) -> tuple[Floats, Floats]:
        """Return the forecasts of rows ``[at, end)`` as GARCH makes them and recalibrated, each of shape (end - at,).

        Parameters
        ----------
        at, end
            Grid rows; `at` must grow from call to call.
        told
            Called with the outcome of a fit, if one is due.

        Raises
        ------
        NotEnoughBarsError
            If too few returns or targets are known in row `at`.
        """
        if self._last is None or at + 1 - self._last.stop >= self._refit_hours:
            self._last = garches.fit(self._log_return, at + 1, last=self._last)
            told(self._last)
            if self._last.garch is not None:
                self._raw = self._last.garch.forecast(self._log_return, self._horizon)
        raw = self._raw[at:end]
        if self._last.garch is None:
            return raw, raw
        known = _known(self._fittable, at, self._horizon)
        line = recalibrate(self._raw[: at + 1], self._target[: at + 1], known)
        return raw, line.apply(raw)
