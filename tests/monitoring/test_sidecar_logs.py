"""CloudWatch Logs as a source, against moto."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from cryptovol.errors import SourceUnavailableError
from cryptovol.sidecar.logs import SETTLED_MS, LogsSource

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient

GROUP = "/aws/lambda/cryptovol-ingest"
NOW = time.time_ns() // 1_000_000 - 60_000  # the service refuses events that are too old or too new


class Group:
    """A log group, and a reader of it whose positions a test keeps."""

    def __init__(self, client: CloudWatchLogsClient) -> None:
        self.client = client
        self.positions: dict[str, str] = {}
        self.now = NOW
        self.source = LogsSource(client, GROUP, clock_ms=lambda: self.now)

    def write(self, stream: str, *messages: str, stamp: int = NOW) -> None:
        """Put events into a stream, creating it if need be."""
        names = [found["logStreamName"] for found in self.client.describe_log_streams(logGroupName=GROUP)["logStreams"]]
        if stream not in names:
            self.client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        events: Any = [{"timestamp": stamp, "message": message} for message in messages]
        self.client.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)

    def poll(self) -> list[bytes]:
        """Return the lines that came since."""
        found: list[bytes] = []
        for portion in self.source.poll(self.positions.get):
            assert portion.before == self.positions.get(portion.source)
            self.positions[portion.source] = portion.after
            found += portion.lines
        return found


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudWatchLogsClient]:
    """Return a client of moto's log service."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield boto3.client("logs", region_name="us-east-1")


@pytest.fixture
def group(client: CloudWatchLogsClient) -> Group:
    """Return an empty log group."""
    client.create_log_group(logGroupName=GROUP)
    return Group(client)


def test_absent_group_yields_nothing(client: CloudWatchLogsClient) -> None:
    """A function that was never invoked has no log group, and that is no fault."""
    assert Group(client).poll() == []


def test_every_event_of_every_stream_is_read_once(group: Group) -> None:
    """New events and new streams are picked up, old events never again, messages of several lines are split."""
    group.write("one", "START", '{"a": 1}\n{"b": 2}\n')
    assert group.poll() == [b"START", b'{"a": 1}', b'{"b": 2}']
    group.write("one", "c")
    group.write("two", "d")
    assert sorted(group.poll()) == [b"c", b"d"]
    assert group.poll() == []


def test_many_events_are_read_over_pages(group: Group) -> None:
    """More events than a page holds all arrive, in order."""
    wanted = [f"event {i}" for i in range(12_000)]
    for at in range(0, len(wanted), 4000):
        group.write("one", *wanted[at : at + 4000], stamp=NOW + at)
    assert [line.decode() for line in group.poll()] == wanted


def test_lost_token_continues_by_time_without_repeating(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the service no longer knows the token, events of the last millisecond are not counted again."""
    group.write("one", "a", stamp=NOW - 5)
    group.write("one", "b", "c")
    assert group.poll() == [b"a", b"b", b"c"]
    group.write("one", "d", "e")
    group.write("one", "f", stamp=NOW + 1)
    real = group.client.get_log_events

    def forgetful(**asked: Any) -> Any:
        if "nextToken" in asked:
            raise group.client.exceptions.InvalidParameterException(
                {"Error": {"Code": "InvalidParameterException", "Message": "token"}}, "GetLogEvents"
            )
        return real(**asked)

    monkeypatch.setattr(group.client, "get_log_events", forgetful)
    assert group.poll() == [b"d", b"e", b"f"]
    assert group.poll() == []


def test_expired_token_leaves_out_what_was_counted_over_several_pages(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events of one millisecond that fill pages are left out by their number, and a page may be empty."""
    group.write("one", "a", "b", "c")
    assert group.poll() == [b"a", b"b", b"c"]
    events = [{"timestamp": NOW, "message": text} for text in "abcd"]
    pages = {None: (events[:2], "t1"), "t1": ([], "t2"), "t2": (events[2:], "t3"), "t3": ([], "t3")}

    def paged(**asked: Any) -> Any:
        if asked.get("nextToken") not in pages:
            raise group.client.exceptions.InvalidParameterException(
                {"Error": {"Code": "InvalidParameterException", "Message": "token"}}, "GetLogEvents"
            )
        found, token = pages[asked.get("nextToken")]
        return {"events": found, "nextForwardToken": token}

    monkeypatch.setattr(group.client, "get_log_events", paged)
    assert group.poll() == [b"d"]
    assert group.poll() == []


def test_endless_empty_pages_are_left_for_the_next_look(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that gives a new token with every empty page does not hold the sidecar."""
    group.write("one", "a")
    group.poll()
    asked: list[Any] = []

    def turning(**kwargs: Any) -> Any:
        asked.append(kwargs)
        return {"events": [], "nextForwardToken": f"t{len(asked)}"}

    monkeypatch.setattr(group.client, "get_log_events", turning)
    assert group.poll() == [] and len(asked) == 20


def test_stream_that_ended_long_ago_is_not_asked_again(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream per sandbox, for ever: those read to their end hours ago cost nothing."""
    group.write("one", "a")
    group.poll()
    asked: list[Any] = []
    monkeypatch.setattr(group.client, "get_log_events", lambda **kwargs: asked.append(kwargs))
    group.now = NOW + SETTLED_MS + 1
    assert group.poll() == [] and asked == []


def test_positions_are_plain_json(group: Group) -> None:
    """What is stored can be read by people."""
    group.write("one", "a")
    group.poll()
    (position,) = group.positions.values()
    assert json.loads(position)["stamp"] == NOW


def test_unreachable_service_is_a_source_fault() -> None:
    """A log service that does not answer is told as such."""
    client = boto3.client(
        "logs", endpoint_url="http://127.0.0.1:9", region_name="us-east-1", aws_access_key_id="x",
        aws_secret_access_key="x", config=Config(retries={"max_attempts": 0}, connect_timeout=1),
    )  # fmt: skip
    with pytest.raises(SourceUnavailableError):
        list(LogsSource(client, GROUP, clock_ms=lambda: NOW).poll(lambda _: None))
