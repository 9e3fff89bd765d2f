"""Lines of a CloudWatch Logs group, on AWS and on what speaks its API: MiniStack, LocalStack, moto."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cryptovol.errors import SourceUnavailableError
from cryptovol.sidecar.state import Portion

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient

SETTLED_MS = 2 * 3600 * 1000  # CloudWatch may tell a stream's newest event an hour late


class LogsSource:
    """Every stream of one log group; each stream is a source of its own in the state.

    Parameters
    ----------
    client
        A boto3 ``logs`` client.
    group
        For instance ``/aws/lambda/cryptovol-ingest``; need not exist yet.
    clock_ms
        Returns unix milliseconds.
    """

    def __init__(self, client: CloudWatchLogsClient, group: str, *, clock_ms: Callable[[], int]) -> None:
        self.name = f"logs:{group}"
        self._client = client
        self._group = group
        self._clock_ms = clock_ms

    def close(self) -> None:
        """Do nothing: there is no connection to give back."""

    def poll(self, position_of: Callable[[str], str | None]) -> Iterator[Portion]:
        """Yield portions of every stream up to its end; each must be committed before the next is asked for.

        Raises
        ------
        SourceUnavailableError
            If the log service does not answer.
        """
        try:
            for stream in self._streams():
                name = f"{self.name}/{stream['logStreamName']}"
                before = position_of(name)
                if before is None or not self._settled(stream, json.loads(before)):
                    yield from self._stream(name, stream["logStreamName"], before)
        except (BotoCoreError, ClientError) as error:
            raise SourceUnavailableError(f"the log group cannot be read: {error}") from error

    def _streams(self) -> Iterator[Any]:
        pages = self._client.get_paginator("describe_log_streams").paginate(logGroupName=self._group)
        try:
            for page in pages:
                yield from page["logStreams"]
        except self._client.exceptions.ResourceNotFoundException:
            return  # a function that was never invoked has no group yet

    def _settled(self, stream: Any, position: dict[str, Any]) -> bool:
        """Return whether a stream was read to its last event long ago: there is one stream per sandbox, for ever."""
        newest = stream.get("lastEventTimestamp", 0)
        return bool(newest <= position["stamp"] < self._clock_ms() - SETTLED_MS)

    def _stream(self, name: str, stream: str, before: str | None) -> Iterator[Portion]:
        while True:
            position = json.loads(before) if before else {"token": None, "stamp": 0, "at_stamp": 0}
            events, token = self._page(stream, position)
            if not events:
                return
            after = json.dumps({"token": token, **_newest(events, position)})
            lines = [line for event in events for line in event["message"].encode(errors="replace").split(b"\n")]
            yield Portion(name, before, after, [line for line in lines if line])
            before = after

    def _page(self, stream: str, position: dict[str, Any]) -> tuple[list[Any], str]:
        where: dict[str, Any] = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
        if position["token"] is not None:
            try:
                page = self._client.get_log_events(**where, nextToken=position["token"])
                return list(page["events"]), page["nextForwardToken"]
            except self._client.exceptions.InvalidParameterException:
                pass  # the token expired (AWS keeps it for a day) or the emulator was restarted: go on by time
        page = self._client.get_log_events(**where, startTime=position["stamp"])
        return _beyond(page["events"], position), page["nextForwardToken"]


def _newest(events: list[Any], position: dict[str, Any]) -> dict[str, int]:
    """Return the newest timestamp read and how many events had it, to go on without a token."""
    stamp = max(position["stamp"], *(event["timestamp"] for event in events))
    same = sum(event["timestamp"] == stamp for event in events)
    return {"stamp": stamp, "at_stamp": same + (position["at_stamp"] if stamp == position["stamp"] else 0)}


def _beyond(events: list[Any], position: dict[str, Any]) -> list[Any]:
    """Return the events after the position; those of its own millisecond were counted by number."""
    skip = position["at_stamp"]
    kept = []
    for event in events:
        if event["timestamp"] == position["stamp"] and skip:
            skip -= 1
        else:
            kept.append(event)
    return kept
