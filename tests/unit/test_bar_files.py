"""Bar files: the formats people have, and one clear message for the others."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from cryptovol.errors import BarSchemaError, ConfigError
from cryptovol.market import files
from cryptovol.market.files import rawtext

HEADER = "time,open,high,low,close,volumefrom,volumeto"
ROW = "1704067200,1.5,2,1,1.75,10,17.5"


def _write(folder: Path, text: str, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz"])
def test_read_gives_the_columns(tmp_path: Path, name: str) -> None:
    """A plain and a gzipped file give the same bars."""
    bars = files.read(_write(tmp_path, f"{HEADER}\n{ROW}\n", name), symbol="BTC", quote="USD")
    assert bars.time.tolist() == [1704067200] and bars.close.tolist() == [1.75] and bars.volume_quote.tolist() == [17.5]
    assert (bars.symbol[0], bars.quote[0], bars.source[0]) == ("BTC", "USD", "replay:bars")


@pytest.mark.parametrize(
    "time",
    ["1704067200", "1704067200000", "1704067200.0", "1704067200000.0", "1704067200000000", "1704067200000000000",
     "2024-01-01 00:00:00+00:00", "2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00Z", "2024-01-01 12-AM"],
)  # fmt: skip
def test_read_takes_times_in_every_unit_and_as_text(tmp_path: Path, time: str) -> None:
    """Seconds to nanoseconds, also written as floats, and ISO 8601 texts give the same second."""
    path = _write(tmp_path, f"{HEADER}\n{ROW.replace('1704067200', time)}\n")
    assert files.read(path).time.tolist() == [1704067200]


def test_read_takes_our_names_for_volumes_and_any_order(tmp_path: Path) -> None:
    """Columns go by name; names may differ in case and may be the ones our own tables use."""
    path = _write(tmp_path, "volume_quote,Close,LOW,high,open,volume_base,time\n17.5,1.75,1,2,1.5,10,1704067200\n")
    bars = files.read(path)
    assert bars.open.tolist() == [1.5] and bars.volume_base.tolist() == [10] and bars.volume_quote.tolist() == [17.5]


@pytest.mark.parametrize(
    ("text", "pair"),
    [("BTC-USD", ("BTC", "USD")), ("eth/usdt", ("ETH", "USDT")), ("BTC", ("BTC", "EUR")), ("", ("X", "EUR"))],
)
def test_read_splits_the_symbol_column(tmp_path: Path, text: str, pair: tuple[str, str]) -> None:
    """A pair in one text is split; what the file does not say comes from the caller."""
    bars = files.read(_write(tmp_path, f"{HEADER},symbol\n{ROW},{text}\n"), symbol="X", quote="EUR")
    assert (bars.symbol[0], bars.quote[0]) == pair


@pytest.mark.parametrize("null", ["", "NULL", "nan", " "])
def test_read_takes_an_absent_number_for_nan(tmp_path: Path, null: str) -> None:
    """An empty field and the usual words for nothing are NaN, which the gate counts."""
    bars = files.read(_write(tmp_path, f"{HEADER}\n1704067200,1.5,2,1,{null},10,{null}\n"))
    assert np.isnan(bars.close[0]) and np.isnan(bars.volume_quote[0]) and bars.open[0] == 1.5


@pytest.mark.parametrize("column", ["time", "open", "high", "low", "close", "volumefrom"])
def test_read_names_the_missing_column_and_the_file(tmp_path: Path, column: str) -> None:
    """A file without one of the columns that make a bar is refused with both names and a cure."""
    header = HEADER.replace(column, "other", 1)
    with pytest.raises(BarSchemaError, match=rf"bars\.csv has no column {column}.*Cure: name the columns"):
        files.read(_write(tmp_path, f"{header}\n{ROW}\n"))


def test_read_without_quote_volume_invents_none(tmp_path: Path) -> None:
    """A file may lack the quote volume: it is NaN in every row, and said to be absent."""
    found = files.load(_write(tmp_path, f"{HEADER.removesuffix(',volumeto')}\n1704067200,1.5,2,1,1.75,10\n"))
    assert np.isnan(found.bars.volume_quote).all() and "no quote volume is given" in found.notes


def test_read_keeps_a_row_without_a_time(tmp_path: Path) -> None:
    """A row of which only the volumes are known is kept, at a time that the gate's schema rule takes out."""
    found = files.load(_write(tmp_path, f"{HEADER}\n{ROW}\n,,,,,10,17.5\n"))
    assert found.bars.time.tolist() == [1704067200, 0] and np.isnan(found.bars.close[1])
    assert found.bars.volume_base.tolist() == [10, 10]
    assert any(note.startswith("1 row without a time, first in line 3") for note in found.notes)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("1704067200,x,2,1,1.75,10,17.5", "line 4: column open holds 'x', not a number"),
        ("yesterday,1.5,2,1,1.75,10,17.5", "line 4: column time holds 'yesterday', not a time"),
        ("1e300,1,1,1,1,1,1", "line 4: column time holds '1e300', not a time of any calendar"),
        ("1704067200,1.5,2", "line 4: 3 fields, but the header has 7"),
        ('1704067200,"1.5\n",2,1,1.75,10,17.5', "a quoted field runs over the end of its line"),
    ],
)
def test_read_names_the_line_and_column_at_fault(tmp_path: Path, bad: str, says: str) -> None:
    """What cannot be read is named by line, column and text, with a cure; blank lines count as lines."""
    with pytest.raises(BarSchemaError, match=f"bars\\.csv, .*{says}.*Cure:"):
        files.read(_write(tmp_path, f"{HEADER}\n\n{ROW}\n{bad}\n"))


def test_read_refuses_a_file_too_large_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to a huge one is refused before it is unpacked."""
    monkeypatch.setattr(rawtext, "MOST_BYTES", 2**20)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"0" * 2**24))
    with pytest.raises(ConfigError, match="larger than 1 MB unpacked"):
        files.read(path)


def test_read_of_no_file_says_so(tmp_path: Path) -> None:
    """A path without a file is a usage error."""
    with pytest.raises(ConfigError, match="there is no bar file"):
        files.read(tmp_path / "absent.csv")
    with pytest.raises(ConfigError, match="cannot read"):
        files.read(tmp_path)


def test_read_refuses_a_cut_gzip_file(tmp_path: Path) -> None:
    """A download that stopped half-way is not taken for a short file."""
    path = _write(tmp_path, f"{HEADER}\n{ROW}\n", "bars.csv.gz")
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(ConfigError, match="cannot read"):
        files.read(path)


@pytest.mark.parametrize(
    ("name", "stem"), [("a.csv.gz", "a"), ("a b.csv", "a-b"), ("..csv", "bars"), ("x.y.csv", "x.y"), ("a.txt", "a.txt")]
)
def test_stem_is_fit_for_a_storage_key(name: str, stem: str) -> None:
    """A file's name loses its endings and everything a key cannot hold."""
    assert files.stem(Path(name)) == stem
