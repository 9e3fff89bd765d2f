"""Records of answers on their way from a spool to the store, beside the requests.

A file is shipped whole: its lines, packed into one object per market and day under a key made of their sha256, then the
file is removed. Whatever ends in between, the next try sends the same bytes under the same key; so each record is in
the store once. What an earlier process left, killed or stopped, is shipped like one's own.
"""

from __future__ import annotations

import atexit
import gzip
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from cryptovol import keys, tables
from cryptovol.adapters.spool import SUFFIX, Spool, lock
from cryptovol.errors import CryptovolError, TransientError
from cryptovol.ports import Meter, Store

SHIP_SECONDS = 10.0  # a record waits no longer, where the store answers
SOON_SECONDS = 0.2  # for what else an order to ship at once should take along
CLOSE_SECONDS = 5.0  # an ending process tries no longer; the next one goes on


class Shipper:
    """Takes closed files of a spool to the store, in one daemon thread per process.

    Parameters
    ----------
    spool
        Its `wake` and `last` are set to this shipper's.
    store
        Where records and log entries go.
    meter
        Hears how much is waiting.
    """

    def __init__(self, spool: Spool, store: Store, meter: Meter) -> None:
        self._spool = spool
        self._store = store
        self._meter = meter
        self._one = threading.Lock()
        self._process = 0
        self._due = threading.Event()
        self._soon = threading.Event()
        self._over = threading.Event()
        spool.wake, spool.last = self.wake, self.close

    def start(self) -> None:
        """Ship what earlier processes left, and go on when there is more; at exit, ship the rest."""
        self.wake(True)
        atexit.register(self.close)

    def wake(self, soon: bool) -> None:
        """Ship within `SHIP_SECONDS`, or soon; the thread is started where there is none, as after a fork."""
        self._due.set()
        if soon:
            self._soon.set()
        if self._process != os.getpid():
            with self._one:
                if self._process != os.getpid():
                    self._process = os.getpid()
                    threading.Thread(target=self._run, name="cryptovol-shipper", daemon=True).start()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait, for so long at most, until all is shipped; nothing is lost by not waiting."""
        if self._process == os.getpid():
            self._over.clear()
            self.wake(True)
            self._over.wait(seconds)

    def ship(self) -> bool:
        """Ship every file that nobody writes, then the spool's own; return whether none is left."""
        done = self._sweep()
        if done:  # else it may as well grow: a store that is away must not leave a file every few seconds
            self._spool.close_file()
            done = self._sweep()
        self._spool.waiting = _size(self._spool.folder)
        self._meter.add("answers_pending_bytes", self._spool.waiting)
        return done

    def _run(self) -> None:
        while True:
            self._due.wait()
            if self._soon.wait(SHIP_SECONDS):
                time.sleep(SOON_SECONDS)
            self._due.clear()
            self._soon.clear()
            try:
                shipped = self.ship()
            except Exception:  # whatever it is, the records are safe where they are and the next try may succeed
                shipped = False
            if not shipped:
                self._due.set()
            if not self._due.is_set():
                self._over.set()

    def _sweep(self) -> bool:
        """Ship the closed files, oldest first; return False, and leave the rest, where the store does not answer."""
        for path in sorted(self._spool.folder.glob(f"*{SUFFIX}")):
            try:
                self._ship_file(path)
            except TransientError:
                return False
            except (CryptovolError, LookupError, TypeError):
                path.rename(path.with_suffix(".unread"))  # not from here; must not hold up what is
            except OSError:
                continue  # gone, or not to be read: shipped by another process, or another user's
        return True

    def _ship_file(self, path: Path) -> None:
        with path.open("rb") as file:
            if lock(file.fileno()):
                self._send(file.read())
                path.unlink()

    def _send(self, data: bytes) -> None:
        batches: dict[tuple[str, str], list[bytes]] = {}
        for line in data.split(b"\n"):
            found = _parsed(line)
            if "entry" in found:
                self._store.put_new(str(found["entry"]), tables.encode_json(found["body"]))
            elif "answer" in found:
                answer = found["answer"]
                name = (str(answer["market"]), str(answer["served_at"])[:10])
                batches.setdefault(name, []).append(msgspec.json.encode(answer))
        for (market, date), lines in batches.items():
            body = b"\n".join(lines) + b"\n"
            key = keys.served(market, date, sha256=tables.sha256(body))
            self._store.put_new(key, gzip.compress(body, compresslevel=6, mtime=0))


def _parsed(line: bytes) -> dict[str, Any]:
    """Return what a line says; nothing for the torn line of a process killed while it wrote: its answer never left."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def _size(folder: Path) -> int:
    """Return the bytes of records that wait in a folder."""
    total = 0
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
