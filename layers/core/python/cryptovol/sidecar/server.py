"""The sidecar's process: one thread reads and commits, others answer scrapes from what is committed."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from cryptovol.errors import ConfigError, SourceUnavailableError, StoreUnavailableError
from cryptovol.sidecar import exposition
from cryptovol.sidecar.state import Portion, State


class Source(Protocol):
    """Where lines come from. Real ones: `tail.FileSource` and `logs.LogsSource`."""

    name: str

    def poll(self, position_of: Callable[[str], str | None]) -> Iterator[Portion]:
        """Yield portions up to the present end; each is committed before the next is asked for."""

    def close(self) -> None:
        """Give back what is open."""


class Sidecar:
    """Reads sources into a state file.

    Parameters
    ----------
    path
        The state file.
    sources
        Each line must have exactly one of them.
    clock_ms
        Returns unix milliseconds.

    Raises
    ------
    ConfigError
        If a source is named twice.
    """

    def __init__(self, path: Path, sources: Sequence[Source], *, clock_ms: Callable[[], int]) -> None:
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ConfigError(f"a source is named twice, its lines would count twice: {', '.join(sorted(names))}")
        self.path = path
        self.ready = threading.Event()
        self.faults: dict[str, str] = {}
        self._sources = sources
        self._clock_ms = clock_ms
        self._stop = threading.Event()

    def stop(self) -> None:
        """Let `run` return after the portion in hand."""
        self._stop.set()

    def run(self, interval: float) -> None:
        """Read and commit until stopped, looking for new lines every `interval` seconds.

        Raises
        ------
        ConfigError, ConflictError
            If the state file is not one, or another sidecar writes to it.
        """
        with ExitStack() as stack:
            state = stack.enter_context(closing(State(self.path)))
            for source in self._sources:
                stack.callback(source.close)
            while not self._stop.is_set():
                self.step(state)
                self._stop.wait(interval)

    def step(self, state: State) -> None:
        """Read every source to its end once; then the sidecar is ready to be scraped.

        A state that starts from nothing must first hold every source's past: a scrape in the middle of it would
        make all that follows look like new events.
        """
        for source in self._sources:
            try:
                for portion in source.poll(state.position):
                    state.apply(portion, self._clock_ms())
                    if self._stop.is_set():
                        return
            except (OSError, SourceUnavailableError, StoreUnavailableError) as error:
                self._fault(source.name, str(error))
            else:
                self.faults.pop(source.name, None)
        if not self.faults or state.resumed:
            self.ready.set()

    def _fault(self, name: str, text: str) -> None:
        if self.faults.get(name) != text:
            print(f"cryptovol sidecar: {name}: {text}; trying again", file=sys.stderr, flush=True)
        self.faults[name] = text


class _Handler(BaseHTTPRequestHandler):
    sidecar: Sidecar
    timeout = 30

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/health":
            ready = self.sidecar.ready.is_set()
            body = {"status": "ok" if ready else "loading", "faults": self.sidecar.faults}
            self._answer(200 if ready else 503, json.dumps(body).encode(), "application/json")
        else:
            self._answer(404, b"the metrics are at /metrics\n", "text/plain; charset=utf-8")

    def _metrics(self) -> None:
        if not self.sidecar.ready.is_set():
            self._answer(503, b"still reading what was written before the start\n", "text/plain; charset=utf-8")
            return
        try:
            body, content_type = exposition.render(self.sidecar.path, self.headers.get("Accept", ""))
        except StoreUnavailableError as error:
            self._answer(503, f"{error}\n".encode(), "text/plain; charset=utf-8")
        else:
            self._answer(200, body, content_type)

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: a scrape every ten seconds is no event."""


@contextmanager
def serving(sidecar: Sidecar, host: str, port: int) -> Iterator[str]:
    """Serve scrapes while the block runs; give the base URL, with the port the system chose if `port` is 0.

    Raises
    ------
    ConfigError
        If the port is taken.
    """
    handler = type("Handler", (_Handler,), {"sidecar": sidecar})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise ConfigError(f"cannot serve on {host}:{port}: {error.strerror}; choose another --port, or 0") from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="scrapes", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
