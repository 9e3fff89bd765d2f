"""The forecasts every forecast here is held against, on the same rows: persistence, EWMA(0.94), HAR, GARCH(1,1).

The first three are here and need numpy alone, so a function may serve them. GARCH is in `baselines.garch`, and all of
them replayed over history in `baselines.walk`; fitting GARCH needs the arch package and is never done in a function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryptovol import volatility as vol
from cryptovol.bars import Floats, Mask

HAR_WINDOWS = (6, 24, 168, 720)  # hours: a quarter day, a day, a week, a month


def persistence(log_return: Floats, horizon: int, *, coverage: float) -> Floats:
    """Return the volatility of the last `horizon` hours as forecast of the next, shape (n,), per hour."""
    past = vol.realized_volatility(log_return, horizon, coverage=coverage)
    return np.where(np.isfinite(past), np.maximum(past, vol.FLOOR), np.nan)


def ewma(log_return: Floats) -> Floats:
    """Return the EWMA(0.94) of squared returns as forecast, shape (n,), per hour."""
    return np.maximum(vol.ewma(log_return), vol.FLOOR)


def har_inputs(log_return: Floats, *, coverage: float) -> Floats:
    """Return HAR's regressors, shape (n, 4): log volatility over 6, 24, 168 and 720 hours."""
    columns = [vol.log_floor(vol.root_mean_square(log_return, w, coverage=coverage)) for w in HAR_WINDOWS]
    return np.column_stack(columns)


@dataclass(frozen=True)
class Har:
    """The heterogeneous autoregression on logarithms.

    Parameters
    ----------
    coefficients
        Intercept and one weight per window of `HAR_WINDOWS`.
    correction
        Factor from the exponential of the mean log back to the mean level.

    References
    ----------
    Corsi (2009), A Simple Approximate Long-Memory Model of Realized Volatility.
    """

    coefficients: tuple[float, ...]
    correction: float

    def predict(self, inputs: Floats) -> Floats:
        """Return the forecast per hour, shape (n,), from `har_inputs` of shape (n, 4)."""
        weights = np.asarray(self.coefficients[1:])
        level: Floats = np.exp(self.coefficients[0] + (inputs * weights).sum(axis=1)) * self.correction
        return level


def fit_har(inputs: Floats, target: Floats, rows: Mask) -> Har:
    """Return HAR fitted by least squares on the logarithm of the target.

    Parameters
    ----------
    inputs
        Shape (n, 4), see `har_inputs`.
    target
        Shape (n,), volatility per hour.
    rows
        Shape (n,), the rows to fit on; all of them must be complete.
    """
    x = np.column_stack([np.ones(int(rows.sum())), inputs[rows]])
    y = vol.log_floor(target[rows])
    coefficients, *_ = np.linalg.lstsq(x, y, rcond=None)
    fitted = np.exp(x @ coefficients)
    correction = float(np.mean(np.maximum(target[rows], vol.FLOOR)) / np.mean(fitted))
    return Har(tuple(float(c) for c in coefficients), correction)
