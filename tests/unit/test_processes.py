"""Child processes: found again, never mistaken for another, ended with all their children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cryptovol.cloud import environs, processes, readiness
from cryptovol.cloud.fleet import Fleet, down
from cryptovol.cloud.processes import Child, Spec
from cryptovol.cloud.state import State, free_port, port_is_free, wanted_port
from cryptovol.errors import ConfigError, DataError, TransientError

SERVE = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
PARENT = "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A `var` whose processes are ended after the test."""
    yield tmp_path / "var"
    down(tmp_path / "var")


def spec(code: str, *args: str, name: str = "child", port: int | None = None, ready: str = "", **more: str) -> Spec:
    """Return a spec that runs a line of Python."""
    environ = {"PATH": os.environ["PATH"], **more}
    return Spec(name, (sys.executable, "-c", code, *args), environ, port, ready, ready_seconds=10)


def until(done: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_a_started_process_is_found_by_a_later_command(folder: Path, tmp_path: Path) -> None:
    """The file under run/ is enough to find the process again, in its own session."""
    child = processes.start(spec("import time; time.sleep(60)"), folder, tmp_path)
    found = processes.find(folder, "child")
    assert found == child
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    assert processes.names(folder) == ["child"]


def test_stop_ends_the_process_and_its_children(folder: Path, tmp_path: Path) -> None:
    """TERM reaches the whole group, and the file is gone after it."""
    child = processes.start(spec(PARENT), folder, tmp_path)
    log = Path(child.log)
    until(lambda: log.read_text().splitlines()[-1].isdigit())
    grandchild = int(log.read_text().splitlines()[-1])
    assert processes.stop(folder, child) is True
    until(lambda: not processes.birth(grandchild))
    assert not child.alive
    assert processes.read(folder, "child") is None
    assert processes.stop(folder, child) is False


def test_stop_kills_a_process_that_ignores_the_signal(folder: Path, tmp_path: Path) -> None:
    """What does not heed TERM within its grace gets KILL."""
    child = processes.start(spec(DEAF), folder, tmp_path)
    until(lambda: "ready" in Path(child.log).read_text().splitlines())
    processes.stop(folder, child, grace=0.3)
    assert not child.alive
    assert child.exit_code == -signal.SIGKILL


def test_stop_ends_workers_whose_leader_was_killed(folder: Path, tmp_path: Path) -> None:
    """After a kill -9 of the leader its orphaned workers are still ended."""
    child = processes.start(spec(PARENT), folder, tmp_path)
    until(lambda: Path(child.log).read_text().splitlines()[-1].isdigit())
    orphan = int(Path(child.log).read_text().splitlines()[-1])
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: not child.alive)
    assert processes.birth(orphan)
    assert processes.stop(folder, child) is False
    until(lambda: not processes.birth(orphan))


def test_a_process_id_given_to_somebody_else_is_never_signalled(folder: Path, tmp_path: Path) -> None:
    """A file whose birth does not match belongs to a process of the past: the present one is left alone."""
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (folder / "run").mkdir(parents=True)
        past = Child("child", stranger.pid, "another birth", "f", None, str(tmp_path / "log"))
        (folder / "run" / "child.json").write_text(json.dumps(past.__dict__))
        assert processes.find(folder, "child") is None
        assert down(folder) == []
        assert stranger.poll() is None
        assert processes.names(folder) == []
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"name": "child"}', '{"pid": "x"}'])
def test_a_damaged_file_counts_as_no_process(text: str, folder: Path) -> None:
    """A torn or foreign file under run/ is no reason to fail."""
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "child.json").write_text(text)
    assert processes.find(folder, "child") is None
    assert down(folder) == []


def test_wait_ready_returns_once_the_process_answers(folder: Path, tmp_path: Path) -> None:
    """A server is ready when its path answers 200."""
    port = free_port()
    wanted = spec(SERVE, str(port), port=port, ready="/")
    child = processes.start(wanted, folder, tmp_path)
    readiness.wait_ready(child, wanted)
    assert readiness.answers(f"http://127.0.0.1:{port}/")
    assert not readiness.answers(f"http://127.0.0.1:{port}/absent")


def test_wait_ready_shows_the_last_words_of_a_process_that_dies(folder: Path, tmp_path: Path) -> None:
    """A child that dies while starting is reported with the end of its log, at once."""
    wanted = spec("raise SystemExit('the disk is upside down')", port=free_port(), ready="/")
    child = processes.start(wanted, folder, tmp_path)
    started = time.monotonic()
    with pytest.raises(TransientError, match="the disk is upside down"):
        readiness.wait_ready(child, wanted)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("code", "kind"), [(1, DataError), (2, ConfigError), (3, TransientError)])
def test_wait_ready_keeps_the_kind_of_our_own_commands_errors(
    code: int, kind: type[Exception], folder: Path, tmp_path: Path
) -> None:
    """A command of ours that refuses to start passes its message and its exit code on."""
    words = f"print('cryptovol replay: bars.csv has no column close'); raise SystemExit({code})"
    wanted = spec(words, port=free_port(), ready="/")
    child = processes.start(wanted, folder, tmp_path)
    with pytest.raises(kind, match="no column close"):
        readiness.wait_ready(child, wanted)


def test_start_names_a_program_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    """A missing program is an error with a cure, not a traceback."""
    with pytest.raises(TransientError, match="make setup"):
        processes.start(Spec("child", ("/nowhere/program",), {}), folder, tmp_path)


def test_fleet_uses_again_what_runs_and_replaces_what_differs(tmp_path: Path, folder: Path) -> None:
    """The same spec is not started twice; a changed environment replaces the process, on the same port."""
    port = free_port()
    first = Fleet(tmp_path, State(folder))
    one = first.ensure(spec(SERVE, str(port), port=port, ready="/"))
    second = Fleet(tmp_path, State(folder))
    assert second.ensure(spec(SERVE, str(port), port=port, ready="/")) == one
    assert second.started == []
    assert second.port("child") == port
    two = second.ensure(spec(SERVE, str(port), port=port, ready="/", CHANGED="1"))
    assert two.pid != one.pid
    assert not one.alive
    assert second.stop_started() == ["child"]
    assert not two.alive


def test_fleet_stops_only_what_it_started(tmp_path: Path, folder: Path) -> None:
    """A process that an earlier command left running survives this command's end."""
    kept = Fleet(tmp_path, State(folder)).ensure(spec("import time; time.sleep(60)", name="kept"))
    fleet = Fleet(tmp_path, State(folder))
    fleet.ensure(spec("import time; time.sleep(60)", name="kept"))
    fleet.ensure(spec("import time; time.sleep(60)", name="mine"))
    assert fleet.stop_started() == ["mine"]
    assert kept.alive
    with pytest.raises(TransientError, match="not started"):
        fleet.start(spec("pass", name="late"))


def test_fleet_notices_a_death(tmp_path: Path, folder: Path) -> None:
    """A part that should run and does not is named, with the signal that ended it."""
    fleet = Fleet(tmp_path, State(folder))
    child = fleet.ensure(spec("import time; time.sleep(60)"))
    assert fleet.dead() is None
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: fleet.dead() is not None)
    assert fleet.dead() == child
    assert child.exit_code == -signal.SIGKILL


def test_ports_are_remembered_until_somebody_takes_them(tmp_path: Path) -> None:
    """A name keeps its port over restarts, and gets another one if that is taken."""
    port = State(tmp_path).port("api")
    assert State(tmp_path).port("api") == port
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert not port_is_free(port)
        with pytest.raises(ConfigError, match=f"port {port} is taken.*Cure"):
            wanted_port(port, name="the API")
        other = State(tmp_path).port("api")
    assert other != port
    assert State(tmp_path).port("api") == other


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_wanted_port_refuses_what_is_no_port(port: int) -> None:
    """A number outside 1 to 65535 is a usage error."""
    with pytest.raises(ConfigError, match="not a port"):
        wanted_port(port, name="the API")


def test_lock_admits_one_command_and_names_the_holder(tmp_path: Path) -> None:
    """While one command works the second is refused with the first one's process id; after it the way is free."""
    state = State(tmp_path)
    with state.locked():
        with pytest.raises(ConfigError, match=f"pid {os.getpid()}"), State(tmp_path).locked():
            pass
    with state.locked():
        pass


def test_lock_is_freed_by_a_kill(tmp_path: Path) -> None:
    """A command that is killed leaves no lock behind."""
    code = (
        "import sys, time; from pathlib import Path; from cryptovol.cloud.state import State\n"
        "with State(Path(sys.argv[1])).locked():\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="already at work"), State(tmp_path).locked():
            pass
        holder.kill()
    with State(tmp_path).locked():
        pass


def test_scrubbed_keeps_what_is_needed_and_drops_secrets() -> None:
    """Only named variables get through; loopback is always excepted from proxies."""
    found = environs.scrubbed(
        {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "s", "TOKEN": "t", "NO_PROXY": "corp"}, EXTRA="1"
    )
    assert found == {
        "PATH": "/bin",
        "NO_PROXY": "corp,127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "EXTRA": "1",
    }


def test_ports_of_a_lane_are_distinct_even_when_chosen_at_once(tmp_path: Path) -> None:
    """Parts that ask at the same moment never get one port, and each keeps its own."""
    state = State(tmp_path)
    names = [f"part-{i}" for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        ports = list(pool.map(state.port, names))
    assert len(set(ports)) == len(names)
    assert [state.port(name) for name in names] == ports


def test_free_port_lies_below_those_of_outgoing_connections() -> None:
    """The kernel gives out ports from 32768 up to clients; a server's reserved one must not be among them."""
    assert all(20000 <= free_port() < 32000 for _ in range(20))
