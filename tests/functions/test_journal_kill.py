"""The records of a real process that is killed while it answers."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cryptovol.adapters.s3 import S3Store
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, floor_hour, format_instant
from tests.served import make_bundle, promote, put_bars
from tests.servers import LOCAL, SERVE, Http, Process

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
HOURS = 800
KILLS = 3
BODIES = ({"symbol": "BTC"}, {"symbol": "BTC", "horizon_hours": 24, "level": 0.5}, {"symbol": "NONE"})


class Cloud:
    """An S3 server with fresh bars and a champion, and the environment of an API over it."""

    def __init__(self) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        bucket = f"cryptovol-{uuid.uuid4().hex}"  # moto keeps objects from server to server
        own = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "CRYPTOVOL_MARKET": "test", "CRYPTOVOL_BUCKET": bucket}
        self.environ = {**AWS, **own}
        client = boto3.client(
            "s3", endpoint_url=self.environ["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip
        client.create_bucket(Bucket=bucket)
        self.store = S3Store(bucket, client)
        end = floor_hour(int(time.time()))
        put_bars(self.store, make_bars(HOURS, start=end - HOURS * HOUR))
        promote(self.store, make_bundle(trained_at=format_instant(end)))

    def recorded(self) -> Counter[str]:
        """Return how often each request id is in the store."""
        keys = list(self.store.keys("served/"))
        texts = [gzip.decompress(self.store.get(key).data).decode() for key in keys]
        return Counter(json.loads(line)["request_id"] for text in texts for line in text.splitlines())


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Return a cloud that is stopped at the end."""
    made = Cloud()
    yield made
    made.server.stop()


def load(url: str, answered: list[str], stop: threading.Event) -> None:
    """Ask over one connection until told to stop, or until the server is gone; note the ids of forecasts that came."""
    with suppress(OSError, http.client.HTTPException), Http(url) as ask:
        turn = 0
        while not stop.is_set():
            status, body = ask("POST", "/predict", BODIES[turn % len(BODIES)])
            turn += 1
            if status == 200:
                answered.append(json.loads(body)["request_id"])


def workers(api: Process) -> list[int]:
    """Return the processes a server has started itself."""
    listed = Path(f"/proc/{api.child.pid}/task/{api.child.pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


def under_load(api: Process, least: int) -> list[str]:
    """Put eight connections on a server, kill it once so many forecasts came, and return their request ids."""
    answered: list[str] = []
    stop = threading.Event()
    threads = [threading.Thread(target=load, args=(api.url, answered, stop)) for _ in range(8)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(answered) < least and time.monotonic() < deadline:
        time.sleep(0.005)
    started = workers(api)
    api.kill()  # first, or it would start new ones
    for worker in started:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    return answered


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(LOCAL, id="one process"),
        pytest.param(
            (*SERVE, "--workers", "2"), id="workers",
            marks=pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found in /proc"),
        ),
    ],
)  # fmt: skip
def test_every_answer_of_a_killed_process_is_in_the_store_once(
    cloud: Cloud, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Killed under load again and again, processes on one spool lose no answered forecast and store none twice."""
    environ = {**cloud.environ, "CRYPTOVOL_SPOOL": str(tmp_path / "spool")}
    answered: list[str] = []
    for turn in range(KILLS):
        found = under_load(Process(tmp_path / "api.log", environ, *command), least=150 + 40 * turn)
        assert len(found) >= 150
        answered += found
    assert list((tmp_path / "spool").glob("*.jsonl"))
    last = Process(tmp_path / "api.log", environ, *command)
    try:
        with Http(last.url) as ask:
            answered.append(json.loads(ask("POST", "/predict", BODIES[0])[1])["request_id"])
        deadline = time.monotonic() + 30
        while not set(answered) <= set(cloud.recorded()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert last.terminate() == 0
    finally:
        last.kill()
    counts = cloud.recorded()
    assert len(set(answered)) == len(answered)
    assert [name for name in answered if counts[name] != 1] == []
    assert max(counts.values()) == 1
    assert list((tmp_path / "spool").iterdir()) == []
    assert len(list(cloud.store.keys("predictions/test/"))) == 1


def test_without_a_spool_every_answer_of_a_killed_process_is_a_line_of_its_output(cloud: Cloud, tmp_path: Path) -> None:
    """As on Lambda, the record is printed before the answer leaves: a kill takes none of them back."""
    log = tmp_path / "api.log"
    answered = under_load(Process(log, cloud.environ, *LOCAL), least=150)
    lines = [line for line in log.read_text().splitlines() if line.startswith('{"answer":')]
    counts = Counter(json.loads(line)["answer"]["request_id"] for line in lines)
    assert len(answered) >= 150 and {counts[name] for name in answered} == {1}
