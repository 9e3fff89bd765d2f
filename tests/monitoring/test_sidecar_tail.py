"""Following a file: whole lines once, whatever happens to the file and to the reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol.sidecar import tail
from cryptovol.sidecar.tail import FileSource


class Reader:
    """A source whose positions a test keeps, so that it can restart the source or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position: str | None = None
        self.oversized = 0
        self._source = FileSource(path)

    def poll(self) -> list[bytes]:
        """Return the lines that came since."""
        found: list[bytes] = []
        for portion in self._source.poll(lambda _: self.position):
            assert portion.before == self.position
            self.position = portion.after
            self.oversized += portion.oversized
            found += portion.lines
        return found

    def restart(self) -> None:
        """Forget the open file, as a new process would."""
        self._source.close()
        self._source = FileSource(self.path)

    def close(self) -> None:
        """Close the file."""
        self._source.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Return a reader of a file that does not exist yet."""
    made = Reader(tmp_path / "api.log")
    yield made
    made.close()


def append(path: Path, text: bytes) -> None:
    """Write at a file's end."""
    with path.open("ab") as file:
        file.write(text)


def test_absent_file_yields_nothing_until_it_is_there(reader: Reader) -> None:
    """A log that nobody has written yet is no fault."""
    assert reader.poll() == []
    append(reader.path, b"a\n")
    assert reader.poll() == [b"a"]


def test_line_counts_only_when_its_newline_is_there(reader: Reader) -> None:
    """Half a line waits for its other half, across a restart too."""
    append(reader.path, b"a\nhal")
    assert reader.poll() == [b"a"]
    reader.restart()
    assert reader.poll() == []
    append(reader.path, b"f\n\nc\n")
    assert reader.poll() == [b"half", b"", b"c"]
    assert reader.poll() == []


@pytest.mark.parametrize("restarted", [False, True])
def test_rotated_file_is_finished_before_the_new_one_begins(reader: Reader, restarted: bool) -> None:
    """What was written before the rename is read first, then the new file from its start."""
    append(reader.path, b"a\n")
    assert reader.poll() == [b"a"]
    append(reader.path, b'b\n{"last": 1}')
    reader.path.rename(reader.path.with_name("api.log.1"))
    append(reader.path, b"c\n")
    if restarted:
        reader.restart()
    assert reader.poll() == [b"b", b'{"last": 1}', b"c"]


@pytest.mark.parametrize("restarted", [False, True])
def test_lines_written_to_a_rotated_file_after_the_turn_are_read(reader: Reader, restarted: bool) -> None:
    """A program that still holds the old file loses nothing, not even a line that the turn cut in two."""
    append(reader.path, b"a\nha")
    reader.poll()
    with reader.path.open("ab", buffering=0) as late:
        reader.path.rename(reader.path.with_name("api.log.1"))
        append(reader.path, b"b\n")
        assert reader.poll() == [b"b"]
        if restarted:
            reader.restart()
        late.write(b"lf\nlate\n")
        assert reader.poll() == [b"half", b"late"]
        if not restarted:
            reader.path.with_name("api.log.1").unlink()
            late.write(b"later\n")
            assert reader.poll() == [b"later"]
    append(reader.path, b"c\n")
    assert reader.poll() == [b"c"]


def test_late_line_does_not_hide_the_files_that_followed(reader: Reader) -> None:
    """A rotated file that was written to again looks newest, and the one after it is read all the same."""
    append(reader.path, b"a\n")
    reader.poll()
    now = os.stat(reader.path).st_mtime_ns
    for number, text in ((2, b"b\n"), (1, b"c\n")):
        reader.path.rename(reader.path.with_name(f"api.log.{number}"))
        append(reader.path, text)
        os.utime(reader.path, ns=(0, now + 10**9 * (3 - number)))
    append(reader.path.with_name("api.log.2"), b"late\n")
    os.utime(reader.path.with_name("api.log.2"), ns=(0, now + 10**10))
    reader.restart()
    assert reader.poll() == [b"late", b"b", b"c"]


def test_files_far_behind_are_let_go(reader: Reader) -> None:
    """Of many rotated files only the last few are kept open and remembered."""
    for number in range(tail.BEHIND + 3):
        append(reader.path, b"a\n")
        assert reader.poll() == [b"a"]
        reader.path.rename(reader.path.with_name(f"api.log.{number}"))
    append(reader.path, b"a\n")
    assert reader.poll() == [b"a"]
    assert reader.position is not None
    assert len(tail.Position.parse(reader.position).behind) == tail.BEHIND
    append(reader.path.with_name(f"api.log.{tail.BEHIND + 2}"), b"late\n")
    append(reader.path.with_name("api.log.0"), b"too late\n")
    assert reader.poll() == [b"late"]


def test_two_rotations_while_away_are_read_in_order(reader: Reader) -> None:
    """A sidecar that was down over two rotations reads all three files, oldest first."""
    append(reader.path, b"a\n")
    reader.poll()
    append(reader.path, b"b\n")
    for number, text in ((2, b"c\n"), (1, b"d\n")):
        os.utime(reader.path, ns=(0, (10 - number) * 10**9))
        reader.path.rename(reader.path.with_name(f"api.log.{number}"))
        append(reader.path, text)
    reader.restart()
    assert reader.poll() == [b"b", b"c", b"d"]


def test_rotated_and_packed_file_is_given_up(reader: Reader) -> None:
    """If the old file can no longer be found, the new one is read from its start."""
    append(reader.path, b"a\n")
    reader.poll()
    reader.path.rename(reader.path.with_name("api.log.1.gz"))
    append(reader.path, b"b\n")
    reader.restart()
    assert reader.poll() == [b"b"]


@pytest.mark.parametrize("text", [b"x\n", b"x\n" * 300])
def test_truncated_file_is_read_from_its_start(reader: Reader, text: bytes) -> None:
    """A file that was cut to nothing and written anew is new, even if it is already longer than before."""
    append(reader.path, b"first\nsecond\n")
    reader.poll()
    reader.path.write_bytes(text)
    assert reader.poll() == text.split(b"\n")[:-1]


def test_inode_given_out_again_is_another_file(reader: Reader) -> None:
    """A new file under the old inode is told by its beginning."""
    append(reader.path, b"first\n")
    reader.poll()
    reader.close()
    inode = reader.path.stat().st_ino
    reader.path.unlink()
    reader.path.write_bytes(b"other\nlines\n")
    reader.restart()
    assert reader.poll() == [b"other", b"lines"], inode


def test_line_of_64_kilobytes_is_a_line(reader: Reader) -> None:
    """Long lines of real programs arrive whole."""
    append(reader.path, b"x" * 65_536 + b"\nb\n")
    assert [len(line) for line in reader.poll()] == [65_536, 1]


@pytest.mark.parametrize("restarted", [False, True])
def test_endless_line_is_skipped_and_counted_once(
    reader: Reader, restarted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line longer than a portion is thrown away as it comes, and the next one is read."""
    monkeypatch.setattr(tail, "CHUNK", 16)
    append(reader.path, b"a\n" + b"x" * 100)
    assert reader.poll() == [b"a"]
    if restarted:
        reader.restart()
    append(reader.path, b"x" * 50 + b"\nb\n")
    assert reader.poll() == [b"b"]
    assert reader.oversized == 1


def test_unreadable_path_raises_an_os_error(tmp_path: Path) -> None:
    """A folder in the file's place is a fault that is told."""
    with pytest.raises(OSError):
        list(FileSource(tmp_path).poll(lambda _: None))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("wwwwprt"), st.binary(max_size=12)), max_size=25))
def test_every_whole_line_is_read_exactly_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes]]
) -> None:
    """Writes, polls, restarts and rotations in any order: the lines come out as they went in."""
    path = tmp_path_factory.mktemp("log") / "api.log"
    reader, found, written, rotated = Reader(path), [], b"", 0
    for step, text in steps:
        if step == "w":
            append(path, text)
            written += text
        elif step == "r":
            reader.restart()
        else:
            found += reader.poll()
            if step == "t" and written.endswith(b"\n"):
                rotated += 1
                path.rename(path.with_name(f"api.log.{rotated}"))
                append(path, b"")
    found += reader.poll()
    reader.close()
    assert found == written.split(b"\n")[:-1]
