"""Real bars: the gate and the ingest on what venues really sent, with the faults that are known of it."""

from pathlib import Path

import numpy as np
import pytest

from cryptovol import events, gate, history, settings
from cryptovol.adapters.sources import open_source
from cryptovol.market import files
from cryptovol.params import Params
from cryptovol.stages import ingest, validate
from cryptovol.testing import MemoryStore
from cryptovol.times import HOUR, parse_instant

DATA = Path("../shared/data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real bars are not here"),
]

NORMALISED = ("btc_usd_cryptocompare_1h", "btc_usdt_binance_1h", "eth_usdt_binance_1h")


@pytest.mark.parametrize("name", NORMALISED)
def test_the_gate_lets_a_real_crash_through(name: str, params: Params) -> None:
    """No hour of the two days in March 2020 on which the price halved is taken out."""
    bars = files.read(DATA / f"{name}.csv.gz")
    as_of, pair = int(bars.time[-1]) + HOUR, (str(bars.symbol[0]), str(bars.quote[0]))
    report = gate.check(bars, as_of=as_of, params=params.gate, symbol=pair[0], quote=pair[1])
    crash = (bars.time >= parse_instant("2020-03-12T00:00:00Z")) & (bars.time < parse_instant("2020-03-14T00:00:00Z"))
    assert not report.refused and report.clean[crash].all() and crash.sum() == 48


def test_three_real_years_go_through_ingest_and_validate(params: Params) -> None:
    """Three years are fetched through the client, gated, and equal the file; the next six hours fetch six bars."""
    path = DATA / "btc_usd_cryptocompare_1h.csv.gz"
    now = parse_instant("2025-06-01T00:00:00Z")
    source = open_source(settings.load({"CRYPTOVOL_SOURCE": f"replay:{path}"}), params, clock=lambda: now)
    store = MemoryStore()
    own = {"symbol": "BTC", "quote": "USD", "run_id": "real"}
    event = events.parse({**own, "as_of": "2025-05-01T00:00:00Z"})
    first = ingest.run(event, store=store, source=source, clock=lambda: now, params=params)
    assert first["rows_new"] == params.ingest.history_hours and first["market"] == "replay-btc_usd_cryptocompare_1h"
    clean = validate.run(events.parse(first), store=store, params=params)
    state = history.load_manifest(store, clean["clean_key"])
    assert state is not None
    table, whole = history.read(store, state), files.read(path)
    part = whole.take(np.isin(whole.time, table["time"]))
    np.testing.assert_array_equal(table["close"], part.close)
    np.testing.assert_array_equal(table["volume_base"], part.volume_base)
    later = events.parse({**own, "as_of": "2025-05-01T06:00:00Z"})
    assert ingest.run(later, store=store, source=source, clock=lambda: now, params=params)["rows_fetched"] == 6
