"""How an answer goes over the wire: whole, or not at all, cut short, drop by drop or without an end."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

ENDLESS_BYTES = 64 * 1024 * 1024  # a test without a limit of its own shall end too
BLOCK = b" " * 64 * 1024


@dataclass(frozen=True)
class Reply:
    """An answer as bytes."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Wire(Protocol):
    """The server's end of one connection; `server.Handler` is the real one."""

    connection: socket.socket
    close_connection: bool

    def head(self, reply: Reply, length: int | None) -> None:
        """Send the status line and headers; without a length the body ends with the connection."""

    def push(self, data: bytes) -> None:
        """Send bytes at once."""

    def rest(self, seconds: float) -> bool:
        """Wait, and return whether the server still runs."""


def send_whole(wire: Wire, reply: Reply, pause: float) -> None:
    """Send the answer as it is."""
    wire.head(reply, len(reply.data))
    wire.push(reply.data)


def send_nothing(wire: Wire, reply: Reply, pause: float) -> None:
    """Keep the connection and say nothing until the client or the server hangs up."""
    wire.close_connection = True
    wire.connection.settimeout(None)
    while wire.connection.recv(4096):
        continue


def send_reset(wire: Wire, reply: Reply, pause: float) -> None:
    """Reset the connection: a lingering time of zero makes closing it an RST instead of a FIN."""
    wire.close_connection = True
    wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Streams over the socket keep it open past its own `close`; the descriptor itself must go.
    socket.close(wire.connection.detach())


def send_dripping(wire: Wire, reply: Reply, pause: float) -> None:
    """Send the head at once, and the body byte by byte with a pause of so many seconds before each."""
    wire.head(reply, len(reply.data))
    wire.push(b"")
    for at in range(len(reply.data)):
        if not wire.rest(pause):
            break
        wire.push(reply.data[at : at + 1])


def send_truncated(wire: Wire, reply: Reply, pause: float) -> None:
    """Promise the whole body, send half of it and hang up."""
    wire.close_connection = True
    wire.head(reply, len(reply.data))
    wire.push(reply.data[: len(reply.data) // 2])


def send_endless(wire: Wire, reply: Reply, pause: float) -> None:
    """Send blanks for as long as the client reads, 64 MiB at most, and only then the answer."""
    wire.close_connection = True
    wire.head(reply, None)
    for _ in range(ENDLESS_BYTES // len(BLOCK)):
        wire.push(BLOCK)
    wire.push(reply.data)
