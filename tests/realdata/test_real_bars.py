"""Real bars: the gate and the ingest on what venues really sent, with the faults that are known of it."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import bars as bars_module
from cryptovol import events, gate, history, settings
from cryptovol.adapters.sources import open_source
from cryptovol.bars import Bars
from cryptovol.errors import BarSchemaError
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

# What the files' own description says of them: rows, then findings by rule.
KNOWN = {
    "btc_usd_cryptocompare_1h": (48_023, {"range": 1}),
    "btc_usdt_binance_1h": (77_692, {"zero_volume": 73, "gaps": 63}),
    "eth_usdt_binance_1h": (77_692, {"zero_volume": 75, "gaps": 63}),
}


def _check(bars: Bars, params: Params, as_of: int) -> gate.GateReport:
    pair = (str(bars.symbol[0]), str(bars.quote[0]))
    return gate.check(bars, as_of=as_of, params=params.gate, symbol=pair[0], quote=pair[1])


@pytest.mark.parametrize("name", KNOWN)
def test_normalised_files_pass_the_gate_with_counted_findings(name: str, params: Params) -> None:
    """Years of real bars pass, and exactly the known faults are found; real crashes are not among them."""
    bars = files.read(DATA / f"{name}.csv.gz")
    rows, expected = KNOWN[name]
    report = _check(bars, params, int(bars.time[-1]) + HOUR)
    assert len(bars) == rows and not report.refused, report.reasons
    assert {rule: found for rule, found in report.counts.items() if found} == expected
    crash = (bars.time >= parse_instant("2020-03-12T00:00:00Z")) & (bars.time < parse_instant("2020-03-14T00:00:00Z"))
    assert report.clean[crash].all() and crash.sum() == 48


def test_raw_capture_with_repeated_and_newest_first_rows_is_refused(params: Params, tmp_path: Path) -> None:
    """A download that is newest first, with hours given twice, is refused as it stands, and sound after a merge."""
    raw = gzip.decompress((DATA / "raw/cryptodatadownload_binance_btc_usdt_1h.csv.gz").read_bytes()).decode()
    header, body = raw.split("\n", 2)[1:]
    names = header.replace("unix", "time").replace("Volume BTC", "volumefrom").replace("Volume USDT", "volumeto")
    path = tmp_path / "capture.csv"
    path.write_text(f"{names}\n{body}")
    bars = files.read(path)
    bars = replace(bars, symbol=np.full(len(bars), "BTC"), quote=np.full(len(bars), "USDT"))
    as_of = int(bars.time.max()) + HOUR
    refused = _check(bars, params, as_of)
    assert refused.refused and {reason.split(":")[0] for reason in refused.reasons} >= {"disorder"}
    merged = bars_module.merge(bars_module.empty(), bars.take(slice(None, None, -1))).bars
    report = _check(merged, params, as_of)
    assert not report.refused, report.reasons
    # The very first bar opens at four times the price of the day.
    assert report.rule_of[0] == "log_return" and len(bars) - len(merged) == 2_649


def test_raw_file_without_our_columns_is_named() -> None:
    """A vendor's banner above the header is told as a missing column or a line of another length."""
    with pytest.raises(BarSchemaError, match="cryptodatadownload"):
        files.read(DATA / "raw/cryptodatadownload_gemini_btc_usd_1h.csv.gz")


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
