"""Log lines read back by run and by request, among everything else a log holds."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from cryptovol import cost, loglines


def line(second: int, message: str, **more: object) -> bytes:
    """Return a log line of one second."""
    body = {"level": "INFO", "message": message, "timestamp": f"2026-11-26 08:00:{second:02d},000+0000", **more}
    return json.dumps(body).encode() + b"\n"


def test_lines_of_one_run_come_in_time_order_from_all_files() -> None:
    """Two files are merged by time; other runs, blobs and tracebacks stay out."""
    files = {
        "train.log": [line(5, "stage started", run_id="r1"), b'  File "r1", line 3\n', line(6, "other", run_id="r10")],
        "ingest.log": [line(1, "stage started", run_id="r1"), b'{"run_id":"r1"}\n', line(7, 'says "r1"', run_id="x")],
    }
    found = loglines.about(files, "run_id", "r1")
    assert [(each["file"], each["message"]) for each in found] == [
        ("ingest.log", "stage started"),
        ("train.log", "stage started"),
    ]


def test_id_with_quotes_and_letters_of_any_script_is_found() -> None:
    """An id that JSON escapes is looked for as JSON writes it."""
    wanted = 'a"\\é'
    assert len(loglines.about({"f": [line(1, "m", request_id=wanted)]}, "request_id", wanted)) == 1


def test_durations_are_those_of_what_ended_well() -> None:
    """Starts, failures, other routes and refused requests tell no duration."""
    lines = [
        line(1, "stage started", stage="train"),
        line(2, "stage done", stage="train", outcome="done", seconds=2.5),
        line(2, "stage failed", stage="train", outcome="failed", seconds=99.0),
        line(3, "stage done", stage="train", outcome="done", seconds=True),
        line(3, "request", service="cryptovol-api", endpoint="/predict", status="200", milliseconds=3.5),
        line(3, "request", service="cryptovol-api", endpoint="/predict", status="429", milliseconds=0.5),
        line(3, "request", service="cryptovol-api", endpoint="/model", status="200", milliseconds=0.5),
    ]
    assert loglines.durations(lines) == {"train": [2.5], cost.API: [0.0035]}


def test_text_shows_time_file_message_and_fields() -> None:
    """A person sees when, where, what, and every id."""
    (found,) = loglines.about({"api.log": [line(1, "request", request_id="q", status="200")]}, "request_id", "q")
    told = loglines.text(found)
    assert told.startswith("2026-11-26 08:00:01,000+0000  INFO")
    assert all(part in told for part in ("api.log", "request ", "request_id=q", "status=200"))


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda tail: b'{"timestamp":"t","message":' + tail))
def test_any_bytes_are_a_line_or_none(raw: bytes) -> None:
    """Nothing a log may hold raises; what is taken has a time and a message."""
    found = loglines.parse(raw)
    assert found is None or {type(found["timestamp"]), type(found["message"])} == {str}


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_search_finds_exactly_the_lines_of_an_id(wanted: str, others: list[str]) -> None:
    """The quick look at the bytes loses no line and lets none through that is another's."""
    ids = [wanted, *others]
    found = loglines.about({"f": [line(1, "m", run_id=each) for each in ids]}, "run_id", wanted)
    assert len(found) == ids.count(wanted)
