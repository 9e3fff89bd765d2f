"""The bars of a file as the pipeline would have let them through: read, cut at an instant, passed by the gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryptovol import gate
from cryptovol.bars import Bars
from cryptovol.errors import GateRefusedError
from cryptovol.market import files
from cryptovol.params import Params
from cryptovol.times import HOUR, parse_instant


def gated(path: Path, science: Params, *, symbol: str, quote: str, end: str | None = None) -> Bars:
    """Return the file's bars that pass the gate, oldest first.

    Parameters
    ----------
    path
        See `market.files.load` for what it may hold, and for the errors of a file that cannot be read.
    symbol, quote
        The pair the bars must be of, and are where the file does not say.
    end
        ISO 8601: no bar that closes later is used. All are, if it is None.

    Raises
    ------
    GateRefusedError
        If the gate refuses them; carries its reasons.
    """
    bars = files.read(path, symbol=symbol, quote=quote)
    last = parse_instant(end) if end else int(np.max(bars.time, initial=0)) + HOUR
    bars = bars.closed_by(last)
    report = gate.check(
        bars, as_of=last, params=science.gate, symbol=symbol, quote=quote,
        stand_in_quotes=science.sources.stand_in_quotes,
    )  # fmt: skip
    if report.refused:
        raise GateRefusedError(
            f"the gate refused {path}: {'; '.join(report.reasons)}. Cure: `cryptovol validate --bars {path}` "
            "writes the whole report; the limits are in params.yaml",
            report.reasons, findings=report.counts, refused_by=report.refused_by,
        )  # fmt: skip
    return bars.take(report.clean)
