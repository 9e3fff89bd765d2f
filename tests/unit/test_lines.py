"""Standard output that several writers share stays a sequence of whole lines."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from cryptovol.cloud.lines import Lines

WRITERS = """
import os, sys, threading
from cryptovol.cloud.lines import Lines
lock = open(sys.argv[1], "a+b")
out = Lines(1, lock)
def work(name):
    for i in range(200):
        print(name, "x" * 5000, file=out)
children = [pid for _ in range(2) if (pid := os.fork()) or not work(str(os.getpid())) and os._exit(0)]
threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
[t.start() for t in threads]; [t.join() for t in threads]
[os.waitpid(pid, 0) for pid in children]
"""


def test_threads_and_processes_never_mix_their_lines(tmp_path: Path) -> None:
    """Two processes and two threads print through one pipe; each line is one writer's."""
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, str(tmp_path / "lock")], capture_output=True, text=True, timeout=60, check=True
    )
    lines = [line.split(" ") for line in done.stdout.splitlines()]
    assert len(lines) == 800 and {len(line) for line in lines} == {2} and {len(line[1]) for line in lines} == {5000}


def test_line_goes_out_when_its_end_is_written() -> None:
    """A beginning is kept, by thread, until its newline comes; what is no UTF-8 is replaced, not raised."""
    read, write = os.pipe()
    with tempfile.TemporaryFile() as lock, os.fdopen(read, "rb") as end:
        out = Lines(write, lock)
        out.write("begun ")
        other = threading.Thread(target=out.write, args=("another\n",))
        other.start()
        other.join()
        out.write("ended \ud800\nrest")
        os.close(write)
        assert end.read() == b"another\nbegun ended ?\n"
