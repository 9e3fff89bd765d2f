"""A proxy on loopback between a client and an S3 server, with the faults that lie between them."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Literal

Mode = Literal["pass", "slow", "hang", "cut", "half", "slowdown", "page"]

SLOW_SECONDS = 0.4
ANSWERS = {
    "slowdown": (
        b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
    ),
    "page": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        b"<html><body>Please sign in to this network.</body></html>",
    ),
}


class Proxy:
    """Passes bytes both ways, or does to each new request what `mode` says; a new mode cuts what is open.

    ``slow``: each answer waits; ``hang``: no answer comes; ``cut``: the connection ends; ``half``: the answer ends in
    the middle; ``slowdown``: S3's own throttling; ``page``: another server answers.

    Parameters
    ----------
    host, port
        Of the server behind it.
    """

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._mode: Mode = "pass"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def become(self, mode: Mode) -> None:
        """Behave in another way from now on."""
        self._mode = mode
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Cut what is open and accept no more."""
        self.become("cut")
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        with client, suppress(OSError):
            first = client.recv(65_536)
            mode = self._mode
            if first and mode in ANSWERS:
                head, body = ANSWERS[mode]
                client.sendall(head % len(body) + body)
            elif first and mode == "hang":
                client.recv(1)
            elif first and mode != "cut":
                self._pass(client, first, mode)
        with self._lock:
            self._open.discard(client)

    def _pass(self, client: socket.socket, first: bytes, mode: Mode) -> None:
        with socket.create_connection(self._behind, timeout=30) as server:
            server.sendall(first)
            back = threading.Thread(target=self._back, args=(server, client, mode), daemon=True)
            back.start()
            while data := client.recv(65_536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join(30)

    def _back(self, server: socket.socket, client: socket.socket, mode: Mode) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if mode == "slow":
                    time.sleep(SLOW_SECONDS)
                client.sendall(data[: -len(data) // 3] if mode == "half" else data)
                if mode == "half":
                    client.shutdown(socket.SHUT_RDWR)
