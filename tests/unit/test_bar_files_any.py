"""Bar files, whatever is in them: bars or a typed error, and everything written is read again."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptovol import gate, tables
from cryptovol.bars import COLUMNS, NUMBERS, Bars
from cryptovol.bars import TEXTS as TEXT_COLUMNS
from cryptovol.errors import CryptovolError
from cryptovol.gate import report as gate_report
from cryptovol.market import files
from cryptovol.market.files import BarFile
from cryptovol.params import Params
from cryptovol.times import HOUR

HEADERS = (
    "time,open,high,low,close,volumefrom,volumeto",
    "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount",
    "TIME_UNIX,DATE_STR,HOUR_STR,OPEN_PRICE,HIGH_PRICE,CLOSE_PRICE,LOW_PRICE,VOLUME_FROM,VOLUME_TO",
    "rule,opens,time,open,high,low,close,volume_base,volume_quote,symbol,quote,source,fetched_at",
)
TEXTS = (
    "", "0", "NULL", "nan", "inf", "-1", "1e300", "1e17", "1704067200", "1704067200000.0", "2024-01-01", "12-AM", "x",
    "2024-01-01 00:00:00", "2017-08-17 04-AM", "BTC/USDT", "BTCUSD", "-1e11", "99999999999999999999", "٣",
)  # fmt: skip
FIELDS = st.one_of(
    st.sampled_from(TEXTS), st.integers(-(10**19), 10**19).map(str), st.floats().map(repr), st.text(max_size=6)
)
LINES = st.one_of(
    st.sampled_from(HEADERS),
    st.integers(0, 10**12).map(lambda at: f"# capture {at} name.csv"),
    st.lists(FIELDS, min_size=6, max_size=13).map(",".join),
)
TABLES = st.sampled_from(HEADERS).flatmap(
    lambda header: st.lists(
        st.lists(FIELDS, min_size=header.count(",") + 1, max_size=header.count(",") + 1).map(",".join), max_size=6
    ).map(lambda rows: "\n".join([header, *rows]))
)
ANY = st.one_of(
    st.binary(max_size=120),
    st.text(max_size=120).map(str.encode),
    st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines).encode()),
    TABLES.map(str.encode),
    TABLES.map(lambda text: gzip.compress(text.encode(), mtime=0)),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY)
def test_any_bytes_give_bars_or_a_typed_error(tmp_path: Path, params: Params, data: bytes) -> None:
    """Whatever the bytes, the outcome is bars, which the gate can judge and show, or one of our errors."""
    path = tmp_path / "any.csv"
    path.write_bytes(data)
    try:
        found = files.load(path, symbol="BTC", quote="USD")
    except CryptovolError as error:
        assert "any.csv" in str(error)
        return
    report = gate.check(found.bars, as_of=2**30, params=params.gate, symbol="BTC", quote="USD")
    assert report.rows == len(found.bars) and gate_report.as_html(report, found.bars)
    assert all(found.notes) and set(found.bars.columns()) == set(COLUMNS)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*"0123456789", "x", ",", "\n", '"']), max_size=40).map("".join))
def test_no_row_is_dropped_silently(tmp_path: Path, text: str) -> None:
    """What follows the header is as many bars as it has lines that are not blank, or an error."""
    path = tmp_path / "any.csv"
    path.write_text(f"{HEADERS[0]}\n{text}\n1704067200,1,1,1,1,1,1\n", encoding="utf-8")
    try:
        found = files.read(path)
    except CryptovolError:
        return
    assert len(found) == sum(bool(line) for line in text.split("\n")) + 1


NAMES = (["BTC", "ETH"], ["USD", "USDT"], ["kraken", "repair:binance"])


@st.composite
def _bars(draw: st.DrawFn) -> Bars:
    """Return bars of any numbers and of several pairs and sources, oldest first, some hours more than once."""
    n = draw(st.integers(1, 12))
    columns: dict[str, Any] = {name: draw(st.lists(st.floats(), min_size=n, max_size=n)) for name in NUMBERS}
    for name, known in zip(TEXT_COLUMNS, NAMES, strict=True):
        columns[name] = draw(st.lists(st.sampled_from(known), min_size=n, max_size=n))
    time = HOUR * np.array(sorted(draw(st.lists(st.integers(400_000, 800_000), min_size=n, max_size=n))))
    late = np.array(draw(st.lists(st.integers(1, 10**6), min_size=n, max_size=n)))
    return Bars(time=time, fetched_at=time + late, **{name: np.array(column) for name, column in columns.items()})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_bars())
def test_what_the_store_writes_is_read_again(tmp_path: Path, bars: Bars) -> None:
    """A table of raw bars as the store keeps it gives back every column bit for bit; NaN stays NaN."""
    path = tmp_path / "part.csv.gz"
    path.write_bytes(tables.encode_csv(bars.columns()))
    found: BarFile = files.load(path)
    for name, column in bars.columns().items():
        np.testing.assert_array_equal(getattr(found.bars, name), column)
    assert not any("fetched" in note or "pair" in note for note in found.notes)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_bars())
def test_a_quarantine_file_is_read_again(tmp_path: Path, params: Params, bars: Bars) -> None:
    """The rows that a gate took out can be given to the gate again."""
    report = gate.check(bars, as_of=0, params=params.gate, symbol="BTC", quote="USD")
    path = tmp_path / "quarantine.csv"
    path.write_bytes(gate_report.as_csv(report, bars))
    found = files.read(path)
    assert len(found) == len(bars) and found.time.tolist() == bars.time.tolist()
