"""Tables as bytes: exact, repeatable, and never unpickled."""

import gzip
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import tables
from cryptovol.errors import BarSchemaError

floats = st.floats(allow_nan=True, allow_infinity=False, width=64)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
rows = st.lists(st.tuples(st.integers(-(2**62), 2**62), floats, texts), max_size=20)
KINDS = {"time": "i", "close": "f", "symbol": "U"}


def _table(given_rows: list[tuple[int, float, str]]) -> tables.Table:
    return {
        "time": np.array([row[0] for row in given_rows], dtype=np.int64),
        "close": np.array([row[1] for row in given_rows], dtype=np.float64),
        "symbol": np.array([row[2] for row in given_rows], dtype=np.str_),
    }


@given(rows)
def test_csv_gives_back_the_very_values(given_rows: list[tuple[int, float, str]]) -> None:
    """Integers, floats to the last bit, NaN and texts survive CSV; the same values give the same bytes."""
    table = _table(given_rows)
    data = tables.encode_csv(table)
    found = tables.decode_csv(data, KINDS)
    assert found["time"].tolist() == table["time"].tolist() and found["symbol"].tolist() == table["symbol"].tolist()
    np.testing.assert_array_equal(found["close"], table["close"])
    assert tables.encode_csv(_table(given_rows)) == data


@given(rows)
def test_npz_gives_back_the_very_values(given_rows: list[tuple[int, float, str]]) -> None:
    """The same holds of .npz."""
    data = tables.encode_npz(_table(given_rows))
    found = tables.decode_npz(data)
    assert list(found) == list(KINDS) and tables.encode_npz(found) == data


@given(st.binary(max_size=200))
def test_decoders_refuse_any_other_bytes_with_a_typed_error(data: bytes) -> None:
    """Bytes that are no table raise BarSchemaError and nothing else."""
    for decode in (tables.decode_npz, lambda raw: tables.decode_csv(raw, KINDS)):
        with pytest.raises(BarSchemaError):
            decode(data)


def test_decode_npz_never_unpickles() -> None:
    """An array of objects, which only pickle can read, is refused."""
    buffer = io.BytesIO()
    np.savez(buffer, time=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BarSchemaError):
        tables.decode_npz(buffer.getvalue())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time,close\n1,2\n", "symbol"),
        ("time,close,symbol\n1,x,BTC\n", "close"),
        ("time,close,symbol\n1.5,1,B\n", "time"),
    ],
)
def test_decode_csv_names_the_column_at_fault(text: str, says: str) -> None:
    """A missing column and a field that is no number are named."""
    with pytest.raises(BarSchemaError, match=says):
        tables.decode_csv(gzip.compress(text.encode()), KINDS)


def test_encode_json_refuses_nan_and_sorts() -> None:
    """JSON has no NaN; the order in which a dictionary was filled does not show."""
    assert tables.encode_json({"b": 1, "a": 2}) == tables.encode_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON"):
        tables.encode_json({"a": math.nan})
