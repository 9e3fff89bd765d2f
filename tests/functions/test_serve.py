"""`cryptovol serve`: several processes behind one port, their life and their end."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cryptovol.cloud.master import CONNECTIONS, GRACE_SECONDS
from tests.servers import LOCAL, SERVE, Http, Process, connected, raw, said, status, stub

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts `cryptovol serve` over the small app; all are ended with the test."""
    stub(tmp_path)
    begun: list[Process] = []

    def started(*options: str, verb: tuple[str, ...] = SERVE) -> Process:
        begun.append(Process(tmp_path / "log", {}, *verb, *options, cwd=tmp_path))
        return begun[-1]

    yield started
    for process in begun:
        process.kill()


def pid(server: Process) -> int:
    """Return which process answers."""
    with Http(server.url) as ask:
        return int(json.loads(ask("GET", "/pid")[1])["pid"])


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@pytest.mark.parametrize("verb", [SERVE, LOCAL], ids=["serve", "local"])
def test_stop_finishes_what_is_under_way_and_closes_the_service(start: Start, tmp_path: Path, verb) -> None:
    """SIGTERM during a request: it is answered, idle and half-sent connections do not hold things up, and the exit is 0."""
    server = start(verb=verb)
    answers: list[tuple[int, bytes]] = []

    def ask() -> None:
        with Http(server.url) as slow:
            answers.append(slow("GET", "/slow?seconds=1"))

    with Http(server.url) as idle, connected(server.url) as silent, connected(server.url) as half:
        assert idle("GET", "/pid")[0] == 200
        half.sendall(b"GET /pid HT")
        asking = threading.Thread(target=ask)
        asking.start()
        until((tmp_path / "begun").exists)
        started = time.monotonic()
        assert server.terminate() == 0
        took = time.monotonic() - started
        asking.join()
        assert said(silent) == b""
    assert [code for code, _ in answers] == [200] and took < GRACE_SECONDS
    # Each worker closes its service; the local server has one process.
    assert len(list(tmp_path.glob("closed-*"))) == (2 if verb == SERVE else 1)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_killed_worker_is_replaced(start: Start) -> None:
    """A worker ended from outside leaves the port served, by another process."""
    server = start("--workers", "1")
    first = pid(server)
    os.kill(first, signal.SIGKILL)
    until(lambda: _answered(server) not in (None, first))


def _answered(server: Process) -> int | None:
    try:
        return pid(server)
    except OSError:
        return None


def test_worker_is_recycled_without_losing_a_request(start: Start) -> None:
    """With --recycle several processes answer one after another, and every request is answered."""
    server = start("--workers", "1", "--recycle", "20")
    assert len({pid(server) for _ in range(200)}) >= 5


def test_hang_up_replaces_the_workers_while_requests_are_answered(start: Start) -> None:
    """HUP: other processes answer soon, and no request in between is refused."""
    server = start("--workers", "1")
    first = pid(server)
    server.child.send_signal(signal.SIGHUP)
    until(lambda: pid(server) != first)


def test_interrupt_ends_the_server_and_closes_the_service(start: Start, tmp_path: Path) -> None:
    """Ctrl-C: the port is free within moments, each worker has closed its service, and the exit is 0."""
    server = start("--workers", "2")
    assert pid(server)
    server.child.send_signal(signal.SIGINT)
    assert server.child.wait(10) == 0
    assert len(list(tmp_path.glob("closed-*"))) == 2 and "Traceback" not in (tmp_path / "log").read_text()


def test_lines_of_several_workers_stay_whole(start: Start, tmp_path: Path) -> None:
    """Lines longer than a pipe takes at once, from all workers and threads, come out one after another."""
    server = start("--workers", "2", "--threads", "4")

    def ask() -> None:
        for _ in range(3):  # a connection each, so that either worker may take it
            with Http(server.url) as one:
                assert one("POST", "/lines", {})[0] == 200

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.terminate() == 0
    lines = [line.split("|") for line in (tmp_path / "log").read_text().splitlines() if "xxx" in line]
    assert len(lines) == 8 * 3 * 20 and all(len(line[1]) == 6000 and line[2] == "" for line in lines)


def test_body_reaches_the_app_byte_by_byte(start: Start) -> None:
    """A body of all bytes, sent in two pieces, arrives unchanged, on a connection that is used again."""
    body = bytes(range(256)) * 100
    with connected(start().url) as client:
        for _ in range(2):
            head = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            client.sendall(head % len(body) + body[:9_000])
            client.sendall(body[9_000:])
            found = b""
            while found.count(b"\r\n\r\n") < 1 or len(found.partition(b"\r\n\r\n")[2].decode()) < len(body):
                found += client.recv(65_536)
            assert found.partition(b"\r\n\r\n")[2].decode().encode("latin-1") == body


@pytest.mark.parametrize("verb", [(*SERVE, "--workers", "1", "--threads", "2"), LOCAL], ids=["serve", "local"])
def test_clients_that_do_not_read_are_cut_off(start: Start, tmp_path: Path, verb: tuple[str, ...]) -> None:
    """Large answers that nobody takes give their threads back once patience is over."""
    server = start("--patience", "1", verb=verb)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(connected(server.url))
            client.sendall(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n")
        assert pid(server)
    assert server.terminate() == 0 and "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1200, reason="needs 1,200 open files (ulimit -n)")
def test_connection_that_waited_longest_makes_room(start: Start) -> None:
    """With more silent connections than a worker holds, an honest client is served and the oldest silent one is gone."""
    server = start("--workers", "1", "--patience", "60")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(server.url)) for _ in range(CONNECTIONS + 20)]
        assert pid(server)
        assert said(silent[0]) == b""
        silent[-1].sendall(b"GET /pid HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        assert status(said(silent[-1])) == 200


def test_master_loads_neither_app_nor_client_before_it_forks() -> None:
    """What is loaded before the fork is inherited by all: no numpy, no cloud client, nothing of the app, and no thread."""
    program = (
        "import sys, threading; import cryptovol.cloud.master as m; import cryptovol.cli as c; c.parser('serve');"
        "print(threading.active_count(), *({'boto3', 'botocore', 'obstore', 'numpy', 'chalicelib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["1"]


def refused(*options: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Return what `cryptovol serve` says when it ends by itself."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CRYPTOVOL_")}
    return subprocess.run(
        [sys.executable, "-m", "cryptovol", "serve", *options], capture_output=True, text=True, timeout=60, check=False,
        cwd=cwd, env={**plain, **environ},
    )  # fmt: skip


def test_refusals_are_one_line_with_the_cure(start: Start, tmp_path: Path) -> None:
    """A taken port, a folder without app, numbers that cannot serve, an open API for strangers: exit 2 and what to do."""
    taken = str(urlsplit(start().url).port)
    for options, cure in (
        (("--port", taken), "choose another --port"),
        (("--workers", "0"), "--workers must be at least 1"),
        (("--port", "65536"), "--port must be from 0 to 65535"),
        (("--port", "0", "--host", "0.0.0.0"), "cryptovol keys new"),
    ):
        done = refused(*options, cwd=tmp_path)
        assert done.returncode == 2 and cure in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "run from the project folder" in refused("--port", "0", cwd=empty).stderr


def test_app_that_cannot_be_loaded_ends_the_server(start: Start, tmp_path: Path) -> None:
    """A worker that cannot start is no reason to try for ever: exit 3, with the reason in the log."""
    (tmp_path / "functions" / "predict" / "app.py").write_text("import nothing_of_that_name\n")
    done = refused("--port", "0", cwd=tmp_path)
    assert done.returncode == 3 and "nothing_of_that_name" in done.stderr


def test_check_tells_health_by_its_exit_code(start: Start, tmp_path: Path) -> None:
    """`cryptovol serve --check` is 0 where /health answers 200 and 3 where nothing does."""
    port = str(urlsplit(start().url).port)
    assert refused("--check", "--port", port, cwd=tmp_path).stdout == "healthy\n"
    with socket.create_server(("127.0.0.1", 0)) as free:
        unused = str(free.getsockname()[1])
    done = refused("--check", "--port", unused, cwd=tmp_path)
    assert done.returncode == 3 and "nothing healthy" in done.stderr


def test_claims_about_where_a_request_comes_from_are_not_believed(start: Start) -> None:
    """Headers by which a proxy would move the app or change the scheme do nothing."""
    sent = b"GET /pid HTTP/1.1\r\nHost: test\r\nConnection: close\r\nScript-Name: /x\r\nScript_Name: /y\r\n"
    assert status(raw(start().url, sent + b"X-Forwarded-Proto: https\r\n\r\n")) == 200
