"""Bytes in, a checked request or a problem out: repeated names, what JSON does not have, and anything at all."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from chalicelib import bodies, decoding
from chalicelib.problems import Problem
from chalicelib.schemas import BODY_BYTES
from hypothesis import example, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from cryptovol.features import FEATURE_NAMES
from tests.api import BARS, ROW, as_json, parsed, refused

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(
    "symbol bars features instances level as_of horizon_hours explain allow_stale time open".split()
)
JSONS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)
VALID: list[dict[str, Any]] = [
    {"symbol": "BTC", "horizon_hours": 6, "level": 0.5, "as_of": "2025-05-01T00:00:00Z", "allow_stale": True, "explain": True},
    {"features": ROW},
    {"instances": [ROW, ROW], "symbol": "BTC"},
    {"symbol": "BTC", "bars": as_json(BARS)[:3]},
]  # fmt: skip


def object_of(pairs: list[tuple[str, str]]) -> str:
    """Return the JSON text of an object, repeated names and all."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"


def repeats(text: str) -> bool:
    """Return whether a name stands twice in one of the objects of a JSON text."""
    found = []
    json.loads(text, object_pairs_hook=lambda pairs: found.append(len(dict(pairs)) < len(pairs)) or dict(pairs))
    return any(found)


@budget(max_examples=400, deadline=None)
@given(st.binary(max_size=80) | JSONS.map(lambda value: json.dumps(value).encode()))
@example(b"1" * 5000)
@example(b'{"level":-1e999,"symbol":"BTC"}')
@example(b'{"symbol":"\\ud800"}')
def test_any_bytes_are_a_request_or_a_problem(raw: bytes) -> None:
    """Nothing that can be sent makes the parser fail in another way."""
    parsed(raw)


@budget(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_requests_are_a_request_or_a_problem(data: st.DataObject) -> None:
    """The same for valid bodies with bytes replaced, removed, repeated or put in."""
    raw = bytearray(json.dumps(data.draw(st.sampled_from(VALID))).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        end = min(at + data.draw(st.integers(0, 30)), len(raw))
        raw[at:end] = data.draw(
            st.sampled_from([b"", bytes(raw[at:end]) * 2, b'"', b"\\", b":", b"\x00", b"\xff", b"9" * 400])
        )
        raw = raw or bytearray(b"{")
    found = parsed(bytes(raw))
    if isinstance(found, bodies.Request) and found.features is not None:
        assert set(found.features) == set(FEATURE_NAMES) and all(map(math.isfinite, found.features.values()))


@budget(max_examples=300, deadline=None)
@given(JSONS.filter(lambda value: isinstance(value, dict)))
def test_decoding_agrees_with_the_library_that_hides_nothing(value: dict[str, Any]) -> None:
    """Where `json`, told to refuse what JSON does not have, gives an object, so do we, and it is the same one."""
    raw = json.dumps(value).encode()
    try:
        decoded = decoding.decode(raw)
    except Problem as problem:
        assert "NaN" in str(problem) or "Infinity" in str(problem) or "surrogate" in str(problem)
    else:
        assert decoded == json.loads(raw)


@budget(max_examples=200, deadline=None)
@given(st.data())
def test_repeated_name_is_refused_wherever_it_stands(data: st.DataObject) -> None:
    """Of a name's two values neither is taken: at the top, in features, in a row, in a bar."""
    pairs = data.draw(st.sampled_from(VALID))
    text = json.dumps(pairs)
    starts = [i for i, char in enumerate(text) if char == "{"]
    at = data.draw(st.sampled_from(starts)) + 1
    name = json.loads(text[at : text.index(":", at)])
    value = data.draw(st.sampled_from(['":"', "1", "null", '"\\u003a\\u003a"', "[]", '{"a":1}']))
    problem = refused(f'{text[:at]}"{name}":{value},{text[at:]}'.encode())
    assert (problem.status, problem.code) == (400, "malformed") and "twice" in str(problem)


PAIRS = st.sampled_from(["symbol", "a", "b:c", "::", "\\u003a", ""])
TEXTS = st.recursive(
    st.sampled_from(["1", "null", '":"', '"a:b:c"', '"\\u003a"', '""', '"\\\\:"']),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
    | st.lists(st.tuples(PAIRS, inner), max_size=4).map(object_of),
    max_leaves=10,
)


@budget(max_examples=500, deadline=None)
@given(st.lists(st.tuples(PAIRS, TEXTS), max_size=4).map(object_of))
@example('{"a":1,"a":"\\u003a"}')  # the colon that an escape hides makes up for the name that is dropped
def test_objects_are_taken_only_if_no_name_stands_twice_at_any_depth(text: str) -> None:
    """Counting colons never lets a repeated name pass and never refuses an object without one."""
    try:
        decoded = decoding.decode(text.encode())
    except Problem as problem:
        assert "twice" in str(problem) and repeats(text)
    else:
        assert not repeats(text) and decoded == json.loads(text)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"{", "Expecting"),
        (b'{"symbol":"BTC"} x', "Extra data"),
        (b'{"level":NaN}', "NaN"),
        (b'{"level":-Infinity}', "Infinity"),
        (b"[" * 10_000 + b"]" * 10_000, "nested"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested"),
        (b"\xff\xfe{}", "utf-8"),
        (b'\xef\xbb\xbf{"symbol":"BTC"}', "BOM"),
        (b'{"symbol":"\\udc00"}', "surrogate"),
        (b'{"symbol":"\xed\xa0\x80"}', "utf-8"),
        (b'{"symbol":"a\x00b"}', "control"),
        (b'{"level":01}', "delimiter"),
    ],
)
def test_what_json_does_not_have_is_malformed(raw: bytes, said: str) -> None:
    """Each departure from JSON is a 400 that says what it is."""
    problem = refused(raw)
    assert (problem.status, problem.code) == (400, "malformed") and said in str(problem)


def test_body_at_the_limit_is_read_and_one_byte_more_is_not() -> None:
    """The limit is 1,000,000 bytes, to the byte."""
    raw = b'{"symbol":"BTC"}'
    assert isinstance(parsed(raw.ljust(BODY_BYTES)), bodies.Request)
    assert refused(raw.ljust(BODY_BYTES + 1)).status == 413
