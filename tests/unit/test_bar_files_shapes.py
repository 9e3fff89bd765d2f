"""Bar files of other makers: their names, units, orders and oddities, read as they stand, with notes on them."""

from pathlib import Path

import numpy as np
import pytest

from cryptovol import gate
from cryptovol.errors import BarSchemaError
from cryptovol.market import files
from cryptovol.market.files import BarFile
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant, parse_instant

T = parse_instant("2020-12-29T22:00:00Z")


def _load(folder: Path, *lines: str, **given: str) -> BarFile:
    path = folder / "bars.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files.load(path, **given)


def _noted(found: BarFile, part: str) -> bool:
    return any(part in note for note in found.notes)


def test_a_vendor_file_with_banner_newest_first_and_two_units(tmp_path: Path) -> None:
    """CryptoDataDownload: banner, newest first, milliseconds above seconds, two date formats, volumes named by coin."""
    found = _load(
        tmp_path,
        "https://www.CryptoDataDownload.com",
        "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount",
        f"{T + HOUR}000,2020-12-29 23:00:00,BTC/USDT,2,3,1,2.5,10,20,438",
        f"{T}.0,2020-12-29 10-PM,BTC/USDT,1,3,1,2,11,21,NULL",
    )
    assert found.bars.time.tolist() == [T, T + HOUR] and found.bars.volume_base.tolist() == [11, 10]
    assert found.bars.volume_quote.tolist() == [21, 20] and set(found.bars.quote) == {"USDT"}
    assert found.bars.fetched_at.tolist() == [T + HOUR, T + 2 * HOUR]
    assert _noted(found, "1 line above the header skipped") and _noted(found, "newest first: it was read from its end")
    assert _noted(found, "seconds in 1 row, milliseconds in 1 row") and not _noted(found, "disagrees")


def test_a_date_that_disagrees_is_counted_and_the_time_counts(tmp_path: Path) -> None:
    """Where date and unix time differ the unix time is taken, and the first such line is named."""
    rows = [f"{T + i * HOUR},{format_instant(T + i * HOUR - lag)[:19]},1,1,1,1,1" for i, lag in ((0, 0), (1, 4 * HOUR))]
    found = _load(tmp_path, "Unix Timestamp,Date,Open,High,Low,Close,Volume", *rows)
    assert found.bars.time.tolist() == [T, T + HOUR]
    assert _noted(found, "in 1 row the date column disagrees with the time column, which counts: first in line 3")
    assert _noted(found, "2020-12-29T19:00:00Z against 2020-12-29T23:00:00Z")


@pytest.mark.parametrize(("hour", "astray"), [("22", False), ("21", True)])
def test_a_date_and_an_hour_column_are_held_against_the_time(tmp_path: Path, hour: str, astray: bool) -> None:
    """A date beside an hour column is compared to the hour, a date alone to the day."""
    found = _load(tmp_path, "time,date,hour,open,high,close,low,volumefrom", f"{T},2020-12-29,{hour},1,3,2,1,5")
    assert _noted(found, "disagrees") == astray and found.bars.close[0] == 2 and found.bars.low[0] == 1
    assert not _noted(_load(tmp_path, "time,date,open,high,low,close,volume", f"{T},2020-12-29,1,1,1,1,1"), "disagrees")


def test_binance_dumps_are_read_with_and_without_their_header(tmp_path: Path) -> None:
    """The public dumps have twelve columns, milliseconds or microseconds, and often no header."""
    names = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume"
    milli = f"{T}000,1,3,1,2,10,{T + 3599}999,20,438,5,10,0"
    with_header = _load(tmp_path, f"{names},ignore", milli, symbol="BTC", quote="USDT")
    bare = _load(tmp_path, milli, f"{T + HOUR}000000,2,3,1,2,10,{T + 7199}999999,20,438,5,10,0")
    assert with_header.bars.time.tolist() == [T] and bare.bars.time.tolist() == [T, T + HOUR]
    assert with_header.bars.volume_quote.tolist() == [20] and not _noted(with_header, "public dumps")
    assert _noted(bare, "no header: the columns were taken for those of Binance's public dumps")


CAPTURES = (
    f"# capture {T + 2 * HOUR + 5} first.csv",
    "TIME_UNIX,DATE_STR,HOUR_STR,OPEN_PRICE,HIGH_PRICE,CLOSE_PRICE,LOW_PRICE,VOLUME_FROM,VOLUME_TO",
    f"{T + 2 * HOUR},2020-12-30,0,101,103,102,101,1,2",
    f"{T + HOUR},2020-12-29,23,101,103,102,101,20,40",
    f"{T},2020-12-29,22,101,103,102,101,30,60",
    f"# capture {T + 9 * HOUR} second.csv",
    "UNIX_TIMESTAMP,DATE,HOUR_OF_DAY,OPEN,HIGH,CLOSE,LOW,VOLUME_FROM,VOLUME_TO,CREATED_AT",
    f"{T},2020-12-29,22,101,103,102,101,31,60,2020-12-29 23:00:00.000",
    ",,,,,,,1321.7,141905713.92,",
)


def test_captures_keep_their_own_headers_and_fetch_times(tmp_path: Path, params: Params) -> None:
    """Each block is a table fetched when its mark says, so that the gate finds the hour still forming."""
    found = _load(tmp_path, *CAPTURES, symbol="BTC", quote="USD")
    bars = found.bars
    assert bars.time.tolist() == [T, T + HOUR, T + 2 * HOUR, T, 0] and bars.volume_base[4] == 1321.7
    assert bars.fetched_at.tolist() == [T + 2 * HOUR + 5] * 3 + [T + 9 * HOUR] * 2
    report = gate.check(bars, as_of=T + 9 * HOUR, params=params.gate, symbol="BTC", quote="USD")
    assert report.rule_of.tolist() == ["", "", "unfinished", "disorder", "schema"]
    assert _noted(found, "2 captures in one file, under 2 headers") and _noted(found, "1 capture newest first")
    assert _noted(found, "1 hour given more than once, first 2020-12-29T22:00:00Z")
    assert _noted(found, "the numbers differ in 1, the prices in 0")
    assert _noted(found, "1 hour read before the end, 1 of them never again")
    assert not _noted(found, "does not say when")


def test_an_error_in_a_later_capture_names_its_line(tmp_path: Path) -> None:
    """Lines are counted over the whole file, not from the mark."""
    with pytest.raises(BarSchemaError, match="line 8: column HIGH holds 'x'"):
        _load(tmp_path, *CAPTURES[:7], f"{T},2020-12-29,22,1,x,2,1,31,60,")


def test_order_is_a_format_only_if_the_whole_file_keeps_it(tmp_path: Path) -> None:
    """A file newest first but for a row in twenty is turned round; a shuffled one is left as it stands."""
    header, hours = "time,open,high,low,close,volume", [*range(40, 20, -1), 60, *range(20, 0, -1)]
    turned = _load(tmp_path, header, *(f"{T + h * HOUR},1,1,1,1,1" for h in hours))
    assert ((turned.bars.time - T) // HOUR).tolist() == hours[::-1] and _noted(turned, "newest first")
    mixed = np.random.default_rng(1).permutation(40).tolist()
    left = _load(tmp_path, header, *(f"{T + h * HOUR},1,1,1,1,1" for h in mixed))
    assert ((left.bars.time - T) // HOUR).tolist() == mixed and not _noted(left, "newest first")


@pytest.mark.parametrize(
    ("text", "pair"),
    [("BTCUSD", ("BTC", "USD")), ("BTCUSDT", ("BTC", "USDT")), ("eth:eur", ("ETH", "EUR")), ("USDT", ("USDT", "USD")),
     ("PYUSD", ("PYUSD", "USD")), ("ETHBTC", ("ETHBTC", "USD"))],
)  # fmt: skip
def test_a_symbol_without_a_separator_is_split_at_a_known_currency(
    tmp_path: Path, text: str, pair: tuple[str, str]
) -> None:
    """A pair written together is split at a currency that prices are given in, and a coin's own name is not."""
    found = _load(tmp_path, "time,symbol,open,high,low,close,volume", f"{T},{text},1,1,1,1,1", symbol="X", quote="USD")
    assert (found.bars.symbol[0], found.bars.quote[0]) == pair


def test_the_expected_pair_settles_what_a_joined_symbol_means(tmp_path: Path) -> None:
    """A text that is the two expected names in one is that pair, whatever else it could be."""
    lines = ("time,symbol,open,high,low,close,volume", f"{T},ETHBTC,1,1,1,1,1")
    found = _load(tmp_path, *lines, symbol="ETH", quote="BTC")
    assert (found.bars.symbol[0], found.bars.quote[0]) == ("ETH", "BTC") and not _noted(found, "pair")


def test_volume_columns_name_the_pair_in_either_order(tmp_path: Path) -> None:
    """Volumes named by currency say which is which, and of what pair the file is."""
    found = _load(tmp_path, "date,open,high,low,close,Volume USD,Volume ETH", "2020-12-29 22:00:00,1,1,1,1,20,10")
    assert (found.bars.symbol[0], found.bars.quote[0], found.bars.time[0]) == ("ETH", "USD", T)
    assert found.bars.volume_base[0] == 10 and found.bars.volume_quote[0] == 20


def test_comments_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    """A comment is passed over wherever it stands, and lines keep their numbers."""
    lines = ("\ufeff# made by hand", "time,open,high,low,close,volume", f"{T},1,1,1,1,1", "# noon", "x,1,1,1,1,1")
    with pytest.raises(BarSchemaError, match="line 5"):
        _load(tmp_path, *lines)
    assert len(_load(tmp_path, *lines[:4]).bars) == 1
