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

EMPTY_PAGES = 20  # in a row, after which a stream is left for the next look
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
        position = json.loads(before) if before else {"token": None, "stamp": 0, "at_stamp": 0}
        empty = 0
        while empty < EMPTY_PAGES:
            known = position["token"]
            page = self._page(stream, position)
            events, skip = _beyond(page["events"], position)
            position = {**position, "token": page["nextForwardToken"], "skip": skip}
            if events:
                position |= _newest(events, position)
                after = json.dumps(position)
                lines = [line for event in events for line in event["message"].encode(errors="replace").split(b"\n")]
                yield Portion(name, before, after, [line for line in lines if line])
                before = after
            elif position["token"] == known:
                return
            # A page may be empty although more follow; only the token that was given tells the end.
            empty = 0 if events else empty + 1

    def _page(self, stream: str, position: dict[str, Any]) -> Any:
        """Return the page a position is followed by; where the token is not known any more, from its time on."""
        where: dict[str, Any] = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
        if position["token"] is not None:
            try:
                return self._client.get_log_events(**where, nextToken=position["token"])
            except self._client.exceptions.InvalidParameterException:
                # The token expired (AWS keeps it for a day) or the emulator was restarted.
                position["skip"] = position["at_stamp"]
        return self._client.get_log_events(**where, startTime=position["stamp"])


def _newest(events: list[Any], position: dict[str, Any]) -> dict[str, int]:
    """Return the newest timestamp read and how many events had it, to go on without a token."""
    stamp = max(position["stamp"], *(event["timestamp"] for event in events))
    same = sum(event["timestamp"] == stamp for event in events)
    return {"stamp": stamp, "at_stamp": same + (position["at_stamp"] if stamp == position["stamp"] else 0)}


def _beyond(events: list[Any], position: dict[str, Any]) -> tuple[list[Any], int]:
    """Return the events not counted yet and how many more are to be left out.

    Without a token the reading begins with the millisecond where it ended; what was counted of it is known by number.
    """
    skip = position.get("skip", 0)
    kept = []
    for event in events:
        if skip and event["timestamp"] == position["stamp"]:
            skip -= 1
        else:
            kept.append(event)
    return kept, 0 if kept else skip
