"""The S3 store through obstore as a process opens it: when it steps aside, its threads, its patience, forks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from cryptovol.adapters import s3lean
from cryptovol.adapters.s3lean import Endpoint, S3Lean
from cryptovol.cloud.environs import cloud
from cryptovol.errors import ConfigError, StoreUnavailableError

from tests.adapters.buckets import scripted

GOOD = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}
KEYS = ("a", "s", "")


@pytest.mark.parametrize(
    "more", [{}, {"AWS_SESSION_TOKEN": "t", "AWS_PROFILE": ""}, {"HTTPS_PROXY": "http://127.0.0.1:1"}]
)
def test_plain_keys_are_enough(more: dict[str, str]) -> None:
    """Keys and a region, as Lambda and the local clouds set them, make a store; obstore knows proxies as boto3 does."""
    assert s3lean.from_environ("data", {**GOOD, **more}) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"AWS_ACCESS_KEY_ID": ""}, {"AWS_SECRET_ACCESS_KEY": ""}, {"AWS_REGION": ""}, {"AWS_REGION": "cn-north-1"},
        {"AWS_REGION": "us-isob-east-1"}, {"AWS_REGION": "x.example/"}, {"AWS_PROFILE": "p"}, {"AWS_CA_BUNDLE": "/ca"},
        {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_ENDPOINT_URL_S3": "nonsense"}, {"AWS_ENDPOINT_URL": "ftp://s.example"},
        {"AWS_ENDPOINT_URL": "http://"}, {"AWS_ENDPOINT_URL": "http://user@s.example"},
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    ],
)  # fmt: skip
def test_whatever_it_does_not_know_is_left_to_boto3(more: dict[str, str]) -> None:
    """Without plain keys, in another partition, with a profile or an address of another sort: boto3 finds the way."""
    assert s3lean.from_environ("data", {**GOOD, **more}) is None


def test_bucket_that_is_no_name_is_left_to_boto3() -> None:
    """An access point is named by its ARN, which boto3 takes apart."""
    assert s3lean.from_environ("arn:aws:s3:eu-central-1:1:accesspoint/data", GOOD) is None


@pytest.mark.parametrize(
    ("bucket", "url", "endpoint"),
    [
        ("data", "", Endpoint("https://data.s3.eu-central-1.amazonaws.com", by_host=True)),
        ("my.data", "", Endpoint("https://s3.eu-central-1.amazonaws.com")),
        ("data", "http://127.0.0.1:4566/", Endpoint("http://127.0.0.1:4566")),
        ("data", "https://store.example/base/", Endpoint("https://store.example/base")),
    ],
)
def test_bucket_is_a_host_on_aws_and_a_path_anywhere_else(
    bucket: str, url: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On AWS a name with a dot is a path too, for the certificate's sake."""
    seen: list[Endpoint] = []
    monkeypatch.setattr(s3lean, "S3Lean", lambda bucket, endpoint, **more: seen.append(endpoint))
    s3lean.from_environ(bucket, {**GOOD, "AWS_ENDPOINT_URL": url})
    assert seen == [endpoint]


def test_only_a_named_plain_address_is_spoken_to_in_plain() -> None:
    """Without TLS it speaks where the address says so, and nowhere else."""
    with scripted() as script:
        script.add(200, b"1", ETag='"t"')
        secure = S3Lean("data", Endpoint(script.url.replace("http:", "https:")), region="us-east-1", keys=KEYS)
        with pytest.raises(StoreUnavailableError):
            secure.get("k")
        assert S3Lean("data", Endpoint(script.url), region="us-east-1", keys=KEYS).get("k").data == b"1"
        assert len(script.asked) == 1


@pytest.mark.parametrize("excepted", ["", "store.invalid"])
def test_proxy_is_taken_as_boto3_takes_it(excepted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request goes to the proxy of the environment, but not for a host that is excepted."""
    with scripted() as proxy:
        proxy.add(200, b"1", ETag='"t"')
        for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", excepted)
        store = s3lean.from_environ("data", {**GOOD, "AWS_ENDPOINT_URL": "http://store.invalid"})
        assert store is not None
        if excepted:
            with pytest.raises(StoreUnavailableError):
                store.get("k")
        else:
            assert store.get("k").data == b"1"
        assert [asked.path for asked in proxy.asked] == ([] if excepted else ["http://store.invalid/data/k"])


def test_nobody_there_says_so() -> None:
    """A dead endpoint is named with its trouble and the cure."""
    dead = S3Lean("data", Endpoint("http://127.0.0.1:1"), region="us-east-1", keys=KEYS)
    with pytest.raises(StoreUnavailableError, match="cannot read k in bucket data: .*refused.*cryptovol status"):
        dead.get("k")


def test_silence_is_waited_for_again_by_a_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write on condition is not tried again, for the first may have been done. No other thread is held up."""
    monkeypatch.setattr(s3lean, "PAUSE", timedelta(milliseconds=1))
    beats: list[None] = []
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.01):
            beats.append(None)

    with silence() as (url, callers):
        store = S3Lean("data", Endpoint(url), region="us-east-1", keys=KEYS, read=timedelta(seconds=0.5))
        thread = threading.Thread(target=beat)
        thread.start()
        with pytest.raises(StoreUnavailableError, match="cannot write k in bucket data"):
            store.put_new("k", b"")
        assert len(callers) == 1
        with pytest.raises(StoreUnavailableError, match="cannot read k in bucket data"):
            store.get("k")
        assert len(callers) == 1 + s3lean.TRIES
        done.set()
        thread.join()
    assert len(beats) > 5  # had a call kept Python to itself, there were one or two between the calls


@contextmanager
def silence() -> Iterator[tuple[str, list[socket.socket]]]:
    """Listen, accept, and say nothing; return the address and who called."""
    callers: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                callers.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", callers
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for caller in callers:
        caller.close()


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/./b"])
def test_key_that_obstore_would_change_is_refused(key: str) -> None:
    """obstore takes slashes at the ends away: another object would be meant."""
    store = S3Lean("data", Endpoint("http://127.0.0.1:1"), region="us-east-1", keys=KEYS)
    for call in (lambda: store.get(key), lambda: store.put(key, b""), lambda: store.exists(key)):
        with pytest.raises(ConfigError, match="not a storage key"):
            call()


def test_sixteen_threads_share_a_store(lean: S3Lean) -> None:
    """Each thread reads what it wrote."""

    def work(i: int) -> bool:
        body = str(i).encode() * 1000
        return lean.put_new(f"k/{i}", body) and lean.get(f"k/{i}").data == body and not lean.put_new(f"k/{i}", b"")

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(64)))
    assert len(list(lean.keys("k/"))) == 64


PROGRAM = """
import sys
from cryptovol.wiring import open_ports
store = open_ports(lean=%s).store
print(type(store).__name__, sorted({"boto3", "botocore", "obstore"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("lean", "more", "expected"),
    [
        (True, {}, "S3Lean ['obstore']"), (False, {}, "S3Store ['boto3', 'botocore']"),
        (True, {"AWS_USE_FIPS_ENDPOINT": "true"}, "S3Store ['boto3', 'botocore', 'obstore']"),
        (True, {"SSL_CERT_FILE": "/nonexistent"}, "S3Store ['boto3', 'botocore', 'obstore']"),
    ],
)  # fmt: skip
def test_only_a_lean_start_does_without_boto3(lean: bool, more: dict[str, str], expected: str) -> None:
    """A process that asks for it opens the store without loading boto3, where plain keys are all there is to know
    and the system has the certificates that boto3 would bring."""
    environ = {**cloud("http://127.0.0.1:1"), **more}
    command = [sys.executable, "-c", PROGRAM % lean]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == expected


FORK = """
import json, os, sys
from cryptovol.adapters import s3lean
from cryptovol.adapters.s3lean import S3Lean
seen = []
for _ in range(2):
    read, write = os.pipe()
    if os.fork() == 0:
        store = s3lean.from_environ("data", os.environ)
        os.write(write, store.get("k").data)
        os._exit(0)
    os.close(write)
    seen.append(os.read(read, 9).decode())
    os.wait()
print(json.dumps(seen))
"""


def test_workers_open_their_stores_after_the_fork() -> None:
    """A process that has not used obstore may fork, again and again; each child opens a store that works."""
    with scripted() as script:
        script.add(200, b"1", ETag='"t"')
        done = subprocess.run(
            [sys.executable, "-c", FORK], env=cloud(script.url), capture_output=True, text=True, timeout=60, check=True
        )
    assert json.loads(done.stdout) == ["1", "1"]
