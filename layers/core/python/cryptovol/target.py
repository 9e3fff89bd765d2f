"""What is forecast: the realized volatility of the next `horizon` hours."""

from __future__ import annotations

import numpy as np

from cryptovol import volatility
from cryptovol.bars import Floats


def forward(log_return: Floats, horizon: int, *, coverage: float) -> Floats:
    """Return the standard deviation of the next `horizon` hourly log returns.

    Parameters
    ----------
    log_return
        Shape (n,), hourly grid, oldest first, NaN where missing.
    horizon
        Hours ahead.
    coverage
        Least share of those hours that must have a return.

    Returns
    -------
    array of shape (n,), per hour, not annualised
        Row t uses returns t+1 … t+horizon and is known once bar t+horizon has closed; the newest `horizon` rows
        are NaN.

    Raises
    ------
    ValueError
        If `horizon` is below 2: one return has no standard deviation.
    """
    if horizon < 2:
        raise ValueError(f"horizon must be at least 2 hours, not {horizon}")
    out = np.full(len(log_return), np.nan)
    realized = volatility.realized_volatility(log_return, horizon, coverage=coverage)
    out[:-horizon] = realized[horizon:]
    return out
