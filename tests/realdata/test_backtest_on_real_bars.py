"""The forecast on real bars: better than every baseline, honest intervals, and no better than honest models can be."""

from pathlib import Path

import pytest

from cryptovol import backtest, evaluation, params
from cryptovol.backtest import Plan
from cryptovol.commands import barfile
from cryptovol.times import parse_instant

DATA = Path("../shared/data").resolve()
SCIENCE = params.load(Path("params.yaml"))
CASES = {
    "btc-usd 24 h": ("btc_usd_cryptocompare_1h.csv.gz", "BTC", "USD", 24),
    "eth-usdt 6 h": ("eth_usdt_binance_1h.csv.gz", "ETH", "USDT", 6),
}

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not DATA.exists(), reason="the real bars are not here"),
]


@pytest.fixture(scope="module", params=list(CASES))
def found(request):
    """Return the evaluation of a year, refitted every twelve weeks, for each case."""
    file, symbol, quote, horizon = CASES[request.param]
    bars = barfile.gated(DATA / file, SCIENCE, symbol=symbol, quote=quote, end="2023-01-01T00:00:00Z")
    start = parse_instant("2022-01-01T00:00:00Z")
    table = backtest.table_from(bars, horizon, SCIENCE, start=start)
    replay = backtest.run(table, SCIENCE, Plan(start, refit_hours=2016))
    return evaluation.evaluate(replay.scored)


def test_forecast_beats_every_baseline_on_the_same_hours(found):
    """QLIKE and RMSE are lower than HAR's, GARCH's, EWMA's and persistence's, and HAR's lead is no accident."""
    own = found["scores"]["model"]
    assert found["rows"] > 8_000 and set(found["dm"]) == {"har", "garch", "ewma", "persistence"}
    for name in found["dm"]:
        assert own["qlike"] < found["scores"][name]["qlike"] and own["rmse"] < found["scores"][name]["rmse"], name
    test = found["dm"]["har"]["qlike"]
    assert test["statistic"] < 0 and test["p"] < 0.001


def test_forecast_is_not_too_good_to_be_true(found):
    """R² on the log stays below what only leaks have reached on real bars."""
    limit = {24: 0.72, 6: 0.62}[found["horizon_hours"]]
    assert 0.35 < found["scores"]["model"]["r2_log"] < limit


def test_intervals_hold_their_levels(found):
    """Each level is held within three points over the year, and 90 % does not fall under 80 % in any thirty days."""
    for level, share in found["coverage"].items():
        assert share == pytest.approx(float(level), abs=0.03), level
    assert found["worst_30d"]["0.9"]["coverage"] >= 0.80
