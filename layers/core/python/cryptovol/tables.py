"""Tables as bytes: columns of equal length, written so that the same values always give the same bytes."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryptovol.errors import BarSchemaError

Table = dict[str, NDArray[Any]]


def sha256(data: bytes) -> str:
    """Return the hex digest."""
    return hashlib.sha256(data).hexdigest()


def encode_json(value: Any) -> bytes:
    """Return JSON with sorted keys and a closing newline: equal values, equal bytes. NaN is refused."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def encode_npz(table: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the columns as an ``.npz``, uncompressed, in the table's own order and without timestamps."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **table)
    return buffer.getvalue()


def decode_npz(data: bytes) -> Table:
    """Return the columns of an ``.npz``; raise `BarSchemaError` if the bytes are not one. Never unpickles."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BarSchemaError(f"not an .npz table ({len(data)} bytes): {error}") from error


def encode_csv(table: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the columns as gzipped CSV with a header; floats in shortest exact form, NaN as an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(_texts(column) for column in table.values()), strict=True))
    return gzip.compress(text.getvalue().encode(), compresslevel=6, mtime=0)


def _texts(column: NDArray[Any]) -> list[str]:
    if column.dtype.kind != "f":
        return [str(value) for value in column.tolist()]
    return ["" if value != value else repr(value) for value in column.tolist()]


def decode_csv(data: bytes, kinds: Mapping[str, str]) -> Table:
    """Return the columns of a gzipped CSV.

    Parameters
    ----------
    kinds
        For each wanted column ``i`` (integer), ``f`` (float, empty is NaN) or ``U`` (text).

    Raises
    ------
    BarSchemaError
        If the bytes are not gzipped CSV, a column is missing, or a field is not a number.
    """
    try:
        rows = list(csv.reader(io.StringIO(gzip.decompress(data).decode())))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BarSchemaError(f"not a gzipped CSV table: {error}") from error
    header = rows[0] if rows else []
    missing = [name for name in kinds if name not in header]
    if missing:
        raise BarSchemaError(f"the table lacks the columns {', '.join(missing)}; it has {', '.join(header) or 'none'}")
    fields = list(zip(*rows[1:], strict=True)) if len(rows) > 1 else [()] * len(header)
    return {name: _column(name, kind, fields[header.index(name)]) for name, kind in kinds.items()}


def _column(name: str, kind: str, fields: tuple[str, ...]) -> NDArray[Any]:
    try:
        if kind == "i":
            return np.array([int(field) for field in fields], dtype=np.int64)
        if kind == "f":
            return np.array([float(field) if field else np.nan for field in fields], dtype=np.float64)
    except ValueError as error:
        raise BarSchemaError(f"column {name}: {error}") from error
    return np.array(fields, dtype=np.str_) if fields else np.empty(0, dtype="<U1")
