"""GARCH on real bars: the figures that the field's reference model has on them, found again."""

from pathlib import Path

import numpy as np
import pytest

from cryptovol import baselines, features, scores, target
from cryptovol.baselines.walk import GarchWalk
from cryptovol.market import files
from cryptovol.times import parse_instant

DATA = Path("../shared/data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real bars are not here"),
]


@pytest.fixture(scope="module")
def table(params):
    """Return the features of five and a half years of BTC."""
    bars = files.read(DATA / "btc_usd_cryptocompare_1h.csv.gz")
    return features.build(bars, coverage=params.featurize.window_coverage)


# QLIKE measured by other code, with another choice of level correction; persistence has no choice.
@pytest.mark.parametrize(
    ("horizon", "rows", "persistence", "raw", "recalibrated"),
    [(24, 30_479, 0.8846, 0.4474, 0.4244), (6, 30_497, 2.0246, 0.7704, 0.7917)],
)
def test_garch_reproduces_its_anchors(table, horizon, rows, persistence, raw, recalibrated):
    """After two years of training only, refitted half-yearly and recalibrated weekly, its QLIKE is the known one."""
    log_return, whole = table.log_return, table.complete()
    realized = target.forward(log_return, horizon, coverage=1.0)
    first, stop = 17_520, len(log_return)
    walk = GarchWalk(log_return, realized, whole & np.isfinite(realized), horizon=horizon, refit_hours=26 * 168)
    fits = []
    parts = [walk.forecast(at, min(at + 168, stop), fits.append) for at in range(first, stop, 168)]
    scored = np.isfinite(realized) & whole & (table.time >= parse_instant("2021-11-19T11:00:00Z"))
    assert scored[first:].sum() == rows == scored.sum() and [fit.converged for fit in fits] == [True] * 7
    made = {
        "persistence": baselines.persistence(log_return, horizon, coverage=0.75)[first:],
        "raw": np.concatenate([part[0] for part in parts]),
        "recalibrated": np.concatenate([part[1] for part in parts]),
    }
    known = scored[first:]
    found = {n: float(scores.qlike(realized[first:][known], p[known]).mean()) for n, p in made.items()}
    assert found["persistence"] == pytest.approx(persistence, abs=5e-5)
    assert found["raw"] == pytest.approx(raw, abs=0.01)
    assert found["recalibrated"] == pytest.approx(recalibrated, abs=0.02)
