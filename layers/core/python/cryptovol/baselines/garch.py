"""GARCH(1,1) with Student-t errors: the field's reference model of volatility.

The fit is the arch package's, imported inside `fit` alone; filter and forecast need numpy only. On hourly crypto
returns the likelihood is often largest at ``alpha + beta = 1``, where the long-run variance is infinite. That is told
(`Garch.stationary`) and not mended: a forecast over a finite horizon exists all the same.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import volatility as vol
from cryptovol.bars import Floats
from cryptovol.errors import NotEnoughBarsError

LEAST_RETURNS = 500  # with fewer, alpha and beta are hardly told apart
TOLERANCE = 1e-6  # of the optimiser, in a persistence
PRECISION = 1e-9  # of the optimiser, in the log likelihood per hour: finer than that its slopes are rounding errors


@dataclass(frozen=True)
class Garch:
    """Fitted parameters, in returns per hour (not in percent).

    The variance of hour t+1, known at the end of hour t, is ``v[t] = omega + alpha (r[t] - mean)² + beta v[t-1]``.

    Parameters
    ----------
    omega
        Constant, return².
    alpha, beta
        Weights of the newest squared error and of the variance before it; never negative, their sum at most 1.
    mean
        Mean hourly log return.
    nu
        Degrees of freedom of the errors; infinite for a flat market, which has none.
    start
        The variance before the first hour, return²: that of the returns fitted on. It fades by ``beta`` per hour.

    References
    ----------
    Bollerslev (1986), Generalized Autoregressive Conditional Heteroskedasticity; Bollerslev (1987), A Conditionally
    Heteroskedastic Time Series Model for Speculative Prices and Rates of Return.
    """

    omega: float
    alpha: float
    beta: float
    mean: float
    nu: float
    start: float

    @property
    def persistence(self) -> float:
        """The share of a shock to the variance that is left an hour later."""
        return self.alpha + self.beta

    @property
    def stationary(self) -> bool:
        """Whether there is a finite long-run variance, ``omega / (1 - persistence)``.

        A persistence so near 1 that the optimiser cannot tell it from 1 counts as 1.
        """
        return self.persistence < 1.0 - TOLERANCE

    def filtered(self, log_return: Floats) -> Floats:
        """Return the conditional variance of the next hour.

        Parameters
        ----------
        log_return
            Shape (n,), hourly grid, oldest first, NaN where missing.

        Returns
        -------
        array of shape (n,), return²
            Row t uses returns up to t and is the variance of hour t+1. Over a missing return the recursion goes on
            with that return's expected square.
        """
        omega, alpha, beta, variance = self.omega, self.alpha, self.beta, self.start
        out = []
        # The loop takes 5 ms for 50,000 hours; a linear filter would have to be cut at every gap.
        for square in ((log_return - self.mean) ** 2).tolist():
            # NaN differs from itself: that hour is missing.
            variance = omega + alpha * (square if square == square else variance) + beta * variance
            out.append(variance)
        return np.array(out, dtype=np.float64)

    def forecast(self, log_return: Floats, horizon: int) -> Floats:
        """Return the volatility per hour over the next `horizon` hours.

        Parameters
        ----------
        log_return
            Shape (n,), hourly grid, oldest first, NaN where missing.
        horizon
            Hours ahead.

        Returns
        -------
        array of shape (n,), per hour, at least `volatility.FLOOR`
            The root of the mean of the `horizon` expected variances; row t uses returns up to t. With p for the
            persistence, hour t+k is expected to have the variance
            ``omega (1 + p + … + p^(k-2)) + p^(k-1) v[t]``: a sum that needs no long-run variance.
        """
        powers = self.persistence ** np.arange(horizon)
        constant = self.omega * float(np.mean(np.cumsum(powers) - powers))
        return np.maximum(np.sqrt(constant + float(powers.mean()) * self.filtered(log_return)), vol.FLOOR)


@dataclass(frozen=True)
class Fit:
    """What came of a fit.

    Parameters
    ----------
    garch
        The parameters in force: this fit's, or the last that converged, or None if none ever has.
    failures
        Fits in a row, this one included, that did not converge; 0 if this one did.
    stop
        How many grid rows the fit was shown.
    message
        The optimiser's own words.
    """

    garch: Garch | None
    failures: int
    stop: int
    message: str

    @property
    def converged(self) -> bool:
        """Whether `garch` is of this very fit."""
        return self.failures == 0


def fit(log_return: Floats, stop: int, *, last: Fit | None = None) -> Fit:
    """Return GARCH fitted by maximum likelihood on the returns before row `stop`.

    Missing hours are left out, so that the returns on either side of a gap count as neighbours; the filter, which
    makes the forecasts, does keep the gap. The optimiser begins at the last converged parameters; if that fails, at
    arch's own choice. If that fails too, the last converged parameters stay in force and the failure is counted.

    Parameters
    ----------
    log_return
        Shape (n,), hourly grid, oldest first, NaN where missing; rows from `stop` on are not looked at.
    stop
        How many rows are known.
    last
        The fit before this one.

    Raises
    ------
    NotEnoughBarsError
        If fewer than `LEAST_RETURNS` of the returns are there.
    """
    known = log_return[:stop][np.isfinite(log_return[:stop])]
    if len(known) < LEAST_RETURNS:
        raise NotEnoughBarsError(
            f"GARCH needs {LEAST_RETURNS} hourly returns, found {len(known)} in the first {stop} hours. "
            "Cure: begin later, or with more history",
            needed=LEAST_RETURNS,
            found=len(known),
        )
    scale = float(known.std())
    if scale < vol.FLOOR:
        flat = Garch(vol.FLOOR**2, 0.0, 0.0, float(known.mean()), math.inf, vol.FLOOR**2)
        return Fit(flat, 0, stop, "the market is flat: a constant variance, without a fit")
    before = last.garch if last else None
    found, message = _maximised(known, scale, before)
    if found is None and before is not None:
        found, message = _maximised(known, scale, None)
    if found is None:
        return Fit(before, 1 + (last.failures if last else 0), stop, message)
    return Fit(found, 0, stop, message)


def _maximised(known: Floats, scale: float, before: Garch | None) -> tuple[Garch | None, str]:
    """Return the likeliest parameters, or None where the optimiser did not converge, and what it said."""
    from arch.univariate import GARCH, ConstantMean, StudentsT

    # Returns of unit variance: the optimiser's steps and tolerances are absolute.
    model = ConstantMean(known / scale, volatility=GARCH(p=1, q=1), distribution=StudentsT(), rescale=False)
    with warnings.catch_warnings():
        # What they warn of is asked for below; and arch changes the filters of the whole process, undone here.
        warnings.simplefilter("ignore")
        options = {"ftol": PRECISION * len(known)}
        found = model.fit(disp="off", show_warning=False, starting_values=_start(before, scale), options=options)
    mean, omega, alpha, beta, nu = (float(value) for value in found.params)
    message = f"{found.optimization_result.message} (code {found.convergence_flag})"
    if found.convergence_flag or not np.isfinite([mean, omega, alpha, beta, nu, found.loglikelihood]).all():
        return None, message
    # On returns that hardly ever move, the optimiser may run off and still call it a success.
    if abs(mean - float(known.mean()) / scale) > 1.0:
        return None, f"the mean found, {mean * scale:.3g}, is further than {scale:.3g} from the returns'"
    # The optimiser may overstep its bounds by a rounding error.
    alpha, beta = max(alpha, 0.0), max(beta, 0.0)
    over = max(alpha + beta, 1.0)
    square = scale * scale
    return Garch(max(omega, 0.0) * square, alpha / over, beta / over, mean * scale, nu, square), message


def _start(before: Garch | None, scale: float) -> Any:
    """Return where the optimiser begins, inside its bounds; None leaves it to arch, as after a flat market."""
    if before is None or before.persistence == 0.0:
        return None
    inward = min(1.0, 0.999 / before.persistence)
    omega = float(np.clip(before.omega / scale**2, 1e-6, 5.0))
    alpha, beta = before.alpha * inward, before.beta * inward
    return np.array([before.mean / scale, omega, alpha, beta, float(np.clip(before.nu, 2.1, 400.0))])
