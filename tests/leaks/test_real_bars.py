"""The audits on real bars, whose gaps, crashes and flat hours no generator makes."""

from pathlib import Path

import numpy as np
import pytest

from cryptovol import leaks, target
from cryptovol.market import files
from tests.leaks.leaky import LEAKY, honest

DATA = Path("../shared/data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real bars are not here"),
]


@pytest.mark.parametrize("name", ["btc_usd_cryptocompare_1h", "btc_usdt_binance_1h", "eth_usdt_binance_1h"])
def test_audits_pass_honest_tables_of_real_bars_and_no_leaky_one(name: str) -> None:
    """Years of real hours raise no false alarm in any row, and a centred window is still seen."""
    bars = files.read(DATA / f"{name}.csv.gz")
    table = honest(bars)
    for digest in ("0" * 64, "5eed" * 16, "f" * 64):
        leaks.audit_features(honest, bars, table, leaks.sample(table, bars, digest=digest))
    for horizon in (6, 24):
        for coverage in (0.75, 1.0):
            ahead = target.forward(table.log_return, horizon, coverage=coverage)
            leaks.audit_target(table.time, table.log_return, ahead, horizon=horizon, coverage=coverage)
    wrong = LEAKY["centred_window"](bars)
    with pytest.raises(leaks.LeakError):
        leaks.audit_features(LEAKY["centred_window"], bars, wrong, np.array([len(wrong.time) - 100]))
