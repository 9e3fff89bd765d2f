"""Who may call the API: keys by name, kept as sha256 digests, compared in constant time.

A digest of a key of 32 random bytes cannot be turned back, so what stands in settings or in a secret opens nothing.
The digests come from the settings, from a secret that is fetched once and then renewed beside the requests, or both.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping

from cryptovol.errors import ConfigError, TransientError

RENEW_SECONDS = 300.0  # how old a fetched secret may become before it is fetched again
RETRY_SECONDS = 5.0  # between two fetches of a secret that cannot be had
KEY_BYTES = 32
KEY_CHARACTERS = 256  # longest key that is looked at
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAKE = "Cure: make a key with `cryptovol keys new` and use the digest it prints"


def fresh() -> str:
    """Return a new key: 32 random bytes of the operating system, as 43 characters that are safe in a header."""
    return secrets.token_urlsafe(KEY_BYTES)


def digest(key: str) -> str:
    """Return the sha256 of a key as 64 hex digits."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def name(text: str) -> str:
    """Return a key's name if it is one, else raise `ConfigError`."""
    if not _NAME.fullmatch(text):
        raise ConfigError(f"{text[:80]!r} cannot name a key; use up to 64 letters, digits and _ . -")
    return text


def parse(text: str) -> dict[str, str]:
    """Return digests by name from a comma list of ``digest`` or ``name:digest``; a bare one is called ``key-<place>``.

    Raises
    ------
    ConfigError
        If a name is given twice, or a digest is not 64 hex digits. The message repeats no digest: somebody may have
        written the key itself.
    """
    found: dict[str, str] = {}
    for place, part in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        given, colon, value = part.rpartition(":")
        called = name(given.strip()) if colon else f"key-{place}"
        if called in found:
            raise ConfigError(f"CRYPTOVOL_API_KEY_SHA256 names {called} twice; give every key a name of its own")
        found[called] = _checked(value, f"CRYPTOVOL_API_KEY_SHA256, part {place},")
    if text.strip() and not found:
        raise ConfigError(f"CRYPTOVOL_API_KEY_SHA256 is set and holds no digest. {_MAKE}")
    return found


def parse_secret(text: str) -> dict[str, str]:
    """Return digests by name from a secret's text, a JSON object ``{name: sha256}``; an empty one admits nobody.

    Raises
    ------
    ConfigError
        If it is anything else. The message repeats nothing of the secret but the names.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise ConfigError('the secret of API keys is not a JSON object of names and digests, {"name": "<sha256>"}')
    return {name(called): _checked(value, f"the secret's key {called}") for called, value in body.items()}


def _checked(value: object, where: str) -> str:
    text = value.strip().lower() if isinstance(value, str) else ""
    if not _DIGEST.fullmatch(text):
        raise ConfigError(f"{where} is no sha256 of 64 hex digits. {_MAKE}")
    return text


def owner(digests: Mapping[str, str], key: str) -> str | None:
    """Return the name of the key, or None if no digest is its own.

    Every digest is compared, each in constant time, so that the time taken tells nothing about any of them.
    """
    own = digest(key) if len(key) <= KEY_CHARACTERS else ""
    found = [called for called, accepted in digests.items() if hmac.compare_digest(own, accepted)]
    return found[0] if found else None


def beside(work: Callable[[], None]) -> None:
    """Run work in a thread of its own that ends with the process."""
    threading.Thread(target=work, name="keyring", daemon=True).start()


class Keyring:
    """The digests in force. Safe under threads.

    Parameters
    ----------
    fixed
        Digests by name from the settings.
    fetch
        Returns the secret's text, or raises `CryptovolError`; None where no secret is named.
    clock
        Monotonic seconds.
    failed
        Told of every renewal that failed; what is held goes on being accepted.
    run
        Runs a renewal; a test may run it at once.
    """

    def __init__(
        self,
        fixed: Mapping[str, str],
        fetch: Callable[[], str] | None,
        *,
        clock: Callable[[], float],
        failed: Callable[[Exception], None] = lambda error: None,
        run: Callable[[Callable[[], None]], None] = beside,
    ) -> None:
        self._fixed = dict(fixed)
        self._fetch = fetch
        self._clock = clock
        self._failed = failed
        self._run = run
        self._held: dict[str, str] | None = None if fetch else {}
        self._due = 0.0 if fetch is None else clock()
        self._renewing = False
        self._lock = threading.Lock()

    @property
    def required(self) -> bool:
        """Whether a key is asked for: one is set, or a secret is named, even if it cannot be read now."""
        return bool(self._fixed) or self._fetch is not None

    def owner(self, key: str) -> str | None:
        """Return the name of a key, or None if it is none of ours.

        Raises
        ------
        TransientError
            If the secret has never been read and cannot be read now; a fixed key is known all the same.
        """
        known = owner(self._fixed, key)
        if self._fetch is None:
            return known
        return known or owner(self._current(fixed_known=known is not None), key)

    def _current(self, *, fixed_known: bool) -> Mapping[str, str]:
        """Return the secret's digests; start a renewal that is due, and wait only for the very first."""
        with self._lock:
            held, due = self._held, self._clock() >= self._due
            start = due and not self._renewing
            self._renewing = self._renewing or start
            if held is None and start:
                self._renew()  # in the lock: who comes meanwhile waits for the same answer
                held = self._held
                start = False
        if start:
            self._run(self._renew)
        if held is None and not fixed_known:
            raise TransientError("the secret of API keys cannot be read; see the log. Cure: check its name and access")
        return held or {}

    def _renew(self) -> None:
        assert self._fetch is not None
        wait = RETRY_SECONDS
        try:
            self._held = parse_secret(self._fetch())
            wait = RENEW_SECONDS
        except Exception as error:  # whatever it is, the keys that are held stay in force
            self._failed(error)
        finally:
            self._due = self._clock() + wait
            self._renewing = False
