"""An API that asks for keys: two of them, the settings that hold them, and a secret that cannot be had."""

from __future__ import annotations

from typing import NoReturn, Protocol

from cryptovol import keyring
from cryptovol.errors import TransientError

KEYS = {"desk": "key-of-the-desk", "bot": "key-of-the-bot"}
SETTING = ",".join(f"{name}:{keyring.digest(key)}" for name, key in KEYS.items())
KEYED = {"CRYPTOVOL_API_KEY_SHA256": SETTING}


class Reader(Protocol):
    """Fetches a secret's text."""

    def __call__(self) -> str:
        """Return it."""


def away(secret_id: str) -> Reader:
    """Return a reader of a secret that cannot be had."""

    def read() -> NoReturn:
        raise TransientError(f"{secret_id} is away")

    return read
