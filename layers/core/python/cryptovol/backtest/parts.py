"""Finished pieces of a long computation, kept as files so that a stopped run goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptovol import codehash, tables
from cryptovol.errors import BarSchemaError
from cryptovol.params import Params
from cryptovol.tables import Table
from cryptovol.training import TrainingTable


def identity(table: TrainingTable, params: Params, plan: Any) -> str:
    """Return the digest of all that the pieces depend on: bars, parameters, plan and code."""
    data = tables.encode_npz({"time": table.time, "values": table.values, "log_return": table.log_return})
    depends = {
        "table": tables.sha256(data), "horizon": table.horizon, "coverage": table.coverage, "plan": asdict(plan),
        "train": asdict(params.train), "featurize": asdict(params.featurize), "code": codehash.model_code_sha256(),
    }  # fmt: skip
    return tables.sha256(json.dumps(depends, sort_keys=True).encode())


class Parts:
    """Pieces in a folder, in a subfolder of their identity's name: those of other data or code are never taken.

    Parameters
    ----------
    folder
        Made if it is not there.
    identity
        See `identity`.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._own = folder / identity[:16]
        self._folder = folder
        self._own.mkdir(parents=True, exist_ok=True)

    def of(self, name: str, make: Callable[[], Table]) -> Table:
        """Return the piece of that name: as it was kept, or made now and kept; a damaged one is made again."""
        path = self._own / f"{name}.npz"
        try:
            return tables.decode_npz(path.read_bytes())
        except (FileNotFoundError, BarSchemaError):
            pass
        made = make()
        partial = path.with_suffix(".partial")
        partial.write_bytes(tables.encode_npz(made))
        partial.replace(path)
        return made

    def finished(self) -> int:
        """Return how many pieces are kept."""
        return len(list(self._own.glob("*.npz")))

    def remove(self) -> None:
        """Remove all pieces, of other identities too."""
        shutil.rmtree(self._folder, ignore_errors=True)


class NoParts(Parts):
    """Keeps nothing."""

    def __init__(self) -> None:
        """Need no folder."""

    def of(self, name: str, make: Callable[[], Table]) -> Table:
        """Return the piece, made now."""
        del name
        return make()
