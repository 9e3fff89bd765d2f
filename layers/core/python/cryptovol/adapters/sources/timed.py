"""Answers over HTTP that end in time, however slowly a server sends them."""

from __future__ import annotations

import http.client
import io
import math
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter

CHUNK = 64 * 1024


class Deadline:
    """When the answer under way has to be there.

    It knows nothing of the transport. `urllib3` keeps a pool's connections in a global registry until the pool is
    collected (``weakref.finalize``); a connection that leads back to its transport would keep its own pool, and its
    socket, for ever.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ends = math.inf

    def begin(self, seconds: float) -> None:
        """Give the answer that is asked for now so many seconds."""
        self._ends = self._monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, less than 0 when they are over."""
        return self._ends - self._monotonic()


class TimedAdapter(HTTPAdapter):
    """Connections whose answers end in time: a timeout of `requests` begins anew at every byte.

    Parameters
    ----------
    deadline
        Of the answer under way.
    """

    def __init__(self, deadline: Deadline) -> None:
        class Answer(http.client.HTTPResponse):
            def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
                super().__init__(sock, *args, **kwargs)
                self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, deadline), CHUNK)

        self._answer = Answer
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the connection pool `requests` asks for, its connections reading through `_TimedReader`."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        kind: Any = pool.ConnectionCls
        if getattr(kind, "response_class", None) is not self._answer:
            pool.ConnectionCls = type(kind.__name__, (kind,), {"response_class": self._answer})
        return pool


class _TimedReader(io.RawIOBase):
    """A socket's bytes; each read waits no longer than the socket's timeout and than the whole answer may take."""

    def __init__(self, raw: io.RawIOBase, sock: Any, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._timeout = math.inf if sock.gettimeout() is None else sock.gettimeout()
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline.left()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(min(self._timeout, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
