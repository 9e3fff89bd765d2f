"""Complete lines of a growing file, across rotation, truncation and restarts.

A position names the file by device, inode and a digest of its first bytes (inodes are given out again), and how far
it was read. Only whole lines count: what follows the last newline is read again later. A program may go on writing to a
file for a while after it was rotated, so the last few rotated files are looked at too.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from cryptovol.sidecar.state import Portion

CHUNK = 2**20  # bytes a portion is read from; a longer line is no EMF line and is skipped
HEAD = 256
BEHIND = 4  # rotated files that are still looked at
PACKED = {".gz", ".bz2", ".xz", ".zst"}


@dataclass(frozen=True)
class Position:
    """How far which file was read.

    Parameters
    ----------
    device, inode
        The file.
    offset
        Bytes read, up to and including a newline unless `skipping`.
    head_bytes, head
        Length and digest of the file's beginning, to tell it from another one under the same inode.
    skipping
        Whether the rest of an oversized line is still to be thrown away.
    mtime_ns
        When the file had last been written to as it was first read; files that followed it were written later.
    behind
        How far the files before it were read, the newest last.
    """

    device: int
    inode: int
    offset: int = 0
    head_bytes: int = 0
    head: str = ""
    skipping: bool = False
    mtime_ns: int = 0
    behind: tuple[Position, ...] = ()

    @staticmethod
    def parse(text: str) -> Position:
        """Return a stored position."""
        fields = json.loads(text)
        return Position(**{**fields, "behind": tuple(Position(**each) for each in fields.get("behind", ()))})

    def text(self) -> str:
        """Return the position as stored."""
        return json.dumps(asdict(self))


class FileSource:
    """The lines of one log file; `name` identifies it in the state."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"file:{path}"
        self._file: BinaryIO | None = None
        self._old: dict[tuple[int, int], BinaryIO] = {}

    def close(self) -> None:
        """Close the files."""
        for file in [self._file, *self._old.values()]:
            if file is not None:
                file.close()
        self._file, self._old = None, {}

    def poll(self, position_of: Callable[[str], str | None]) -> Iterator[Portion]:
        """Yield portions up to the end the file has now; each must be committed before the next is asked for.

        A file that does not exist yet yields nothing. `OSError` means that it exists and cannot be read.
        """
        before = position_of(self.name)
        while (portion := self._next(before)) is not None:
            yield portion
            before = portion.after

    def _next(self, before: str | None) -> Portion | None:
        known = Position.parse(before) if before else None
        file = self._opened(known)
        if file is None:
            return None
        position = _place(file, known)
        if (late := self._late(before, position)) is not None:
            return late
        file.seek(position.offset)
        data = file.read(CHUNK)
        if b"\n" in data or len(data) == CHUNK:
            return self._portion(before, position, data, file)
        if self._rotated(file):
            return self._turn(before, position, data, file)
        return None if position == known else self._portion(before, position, b"", file)

    def _late(self, before: str | None, position: Position) -> Portion | None:
        """Return what was written to a rotated file after the one that followed it was begun."""
        for at, old in enumerate(position.behind):
            file = self._rotated_file(old)
            if file is None:
                continue
            file.seek(old.offset)
            data = file.read(CHUNK)
            if b"\n" in data or len(data) == CHUNK:
                lines, oversized, moved = _taken(old, data)
                behind = (*position.behind[:at], moved, *position.behind[at + 1 :])
                after = replace(position, behind=behind)
                return Portion(self.name, before, after.text(), lines, oversized, after.offset)
        return None

    def _rotated_file(self, old: Position) -> BinaryIO | None:
        """Return a file that is behind, kept open: packing it removes its name, but not what is written to it."""
        key = (old.device, old.inode)
        if key not in self._old:
            found = self._find(old, self._siblings())
            if found is None:
                return None
            self._old[key] = found
        return self._old[key]

    def _turn(self, before: str | None, position: Position, data: bytes, file: BinaryIO) -> Portion:
        """Go on to the file that followed. A last line that is whole but for its newline is taken along."""
        lines = [data] if data and not position.skipping and _is_json(data) else []
        left = _with_head(file, replace(position, offset=position.offset + len(data) * len(lines), behind=()))
        self._old[left.device, left.inode], self._file = file, None
        behind = (*position.behind, left)
        start = replace(self._successor(file, position), behind=behind[-BEHIND:])
        for gone in behind[:-BEHIND]:
            if (closing := self._old.pop((gone.device, gone.inode), None)) is not None:
                closing.close()
        return Portion(self.name, before, start.text(), lines, bytes_read=0)

    def _portion(self, before: str | None, position: Position, data: bytes, file: BinaryIO) -> Portion:
        lines, oversized, moved = _taken(position, data)
        first = position.mtime_ns or os.fstat(file.fileno()).st_mtime_ns
        after = replace(_with_head(file, moved), mtime_ns=first)
        return Portion(self.name, before, after.text(), lines, oversized, after.offset)

    def _opened(self, known: Position | None) -> BinaryIO | None:
        """Return the file the position names if it can still be found, else the one now under the path."""
        if self._file is None:
            self._file = (self._find(known, [self.path, *self._siblings()]) if known else None) or _open(self.path)
        return self._file

    def _find(self, known: Position, paths: list[Path]) -> BinaryIO | None:
        for path in paths:
            file = _open(path)
            if file is not None and _is_same(file, known):
                return file
            if file is not None:
                file.close()
        return None

    def _siblings(self) -> list[Path]:
        """Return the rotated files beside the path, for instance ``api.log.1``."""
        found = self.path.parent.glob(f"{self.path.name}.*")
        return sorted(path for path in found if path.suffix not in PACKED)

    def _rotated(self, file: BinaryIO) -> bool:
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            return False
        mine = os.fstat(file.fileno())
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino)

    def _successor(self, file: BinaryIO, position: Position) -> Position:
        """Return the start of the file that followed: the oldest rotated one written later, else the path's own."""
        read = {(each.device, each.inode) for each in (position, *position.behind)}
        # A late line makes a rotated file look newer than those that followed it; what it was at first counts too.
        since = min(os.fstat(file.fileno()).st_mtime_ns, position.mtime_ns or sys.maxsize)
        stats = [stat for stat in map(os.stat, self._siblings()) if (stat.st_dev, stat.st_ino) not in read]
        later = [stat for stat in stats if stat.st_mtime_ns >= since]
        now = min(later, key=lambda stat: stat.st_mtime_ns) if later else os.stat(self.path)
        return Position(now.st_dev, now.st_ino)


def _taken(position: Position, data: bytes) -> tuple[list[bytes], int, Position]:
    """Return the whole lines of what was read at a position, how many were left out, and the position after them."""
    end = data.rfind(b"\n") + 1
    lines = data[:end].split(b"\n")[:-1]
    oversized = 0
    if position.skipping and lines:
        lines = lines[1:]
    if not end and len(data) == CHUNK:
        oversized = int(not position.skipping)
    taken = end or (len(data) if len(data) == CHUNK else 0)
    skipping = taken != end if taken else position.skipping
    return lines, oversized, replace(position, offset=position.offset + taken, skipping=skipping)


def _is_json(data: bytes) -> bool:
    """Return whether bytes are a JSON text; no beginning of a longer object is one."""
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        return None


def _is_same(file: BinaryIO, known: Position) -> bool:
    stat = os.fstat(file.fileno())
    if (stat.st_dev, stat.st_ino) != (known.device, known.inode) or stat.st_size < known.offset:
        return False
    return _digest(file, known.head_bytes) == known.head or not known.head_bytes


def _place(file: BinaryIO, known: Position | None) -> Position:
    """Return where to read on: the known position, or the start of a file that is new, truncated or replaced."""
    if known is not None and _is_same(file, known):
        return known
    stat = os.fstat(file.fileno())
    return Position(stat.st_dev, stat.st_ino, behind=known.behind if known else ())


def _digest(file: BinaryIO, length: int) -> str:
    return hashlib.sha256(os.pread(file.fileno(), length, 0)).hexdigest()[:32]


def _with_head(file: BinaryIO, position: Position) -> Position:
    length = min(HEAD, position.offset)
    if length == position.head_bytes:
        return position
    return replace(position, head_bytes=length, head=_digest(file, length))
