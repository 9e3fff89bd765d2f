"""Wrong bodies are refused by the field: its path, what it must be, and what it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chalicelib import bodies

from cryptovol.features import FEATURE_NAMES
from tests.api import BARS, ROW, as_json, parsed, refused

BAR = as_json(BARS)[0]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "symbol", "is missing"),
        ({"bars": as_json(BARS)[:2]}, "symbol", "is missing"),
        ({"symbol": 7}, "symbol", "a text, not a whole number"),
        ({"symbol": "BTC", "surprise": 1}, "surprise", "known are horizon_hours"),
        ({"symbol": "BTC", "x" * 9000: 1}, "x" * 63 + "…", "is unknown"),
        ({"symbol": "BTC", "horizon_hours": 24.5}, "horizon_hours", "a whole number, not a number"),
        ({"symbol": "BTC", "horizon_hours": 0}, "horizon_hours", "at least 1"),
        ({"symbol": "BTC", "level": 1.5}, "level", "below 1"),
        ({"symbol": "BTC", "level": 10**400}, "level", "a finite number"),
        ({"symbol": "BTC", "as_of": "tomorrow"}, "as_of", "ISO 8601"),
        ({"symbol": "BTC", "as_of": "0001-01-01"}, "as_of", "between the years"),
        ({"symbol": "BTC", "as_of": -1}, "as_of", "at least 0"),
        ({"symbol": "BTC", "explain": "yes"}, "explain", "true or false, not a text"),
        ({"symbol": "BTC", "bars": []}, "bars", "of length at least 1"),
        ({"symbol": "BTC", "bars": {}}, "bars", "a list, not an object"),
        ({"symbol": "BTC", "bars": [{"time": 0}]}, "bars[0].open", "is missing"),
        ({"symbol": "BTC", "bars": [BAR, {**BAR, "close": "7"}]}, "bars[1].close", "a number, not a text"),
        ({"symbol": "BTC", "bars": [{**as_json(BARS)[0], "vwap": 1}]}, "bars[0].vwap", "is unknown"),
        ({"symbol": "BTC", "bars": [{**as_json(BARS)[0], "time": "noon"}]}, "bars[0].time", "ISO 8601"),
        ({"symbol": "BTC", "bars": as_json(BARS)[:2], "features": ROW}, "features", "together with bars"),
        ({"features": {**ROW, "rv_24": None}}, "features.rv_24", "a number, not null"),
        ({"features": {**ROW, "rv_24": True}}, "features.rv_24", "a number, not true or false"),
        ({"features": [1.0]}, "features", "an object, not a list"),
        ({"instances": [ROW] * 1001}, "instances", "at most 1000"),
        ({"instances": [ROW, 7]}, "instances[1]", "an object, not a whole number"),
        ({"instances": [ROW, {**ROW, "rv_24": "x"}]}, "instances[1].rv_24", "a number, not a text"),
    ],
)  # fmt: skip
def test_wrong_field_is_named_with_what_it_must_be(body: dict[str, Any], field: str, said: str) -> None:
    """Each wrong body is a 422 with the path of the field, what it must be, and what it was."""
    problem = refused(json.dumps(body).encode())
    assert (problem.status, problem.code, problem.more["field"]) == (422, "invalid_value", field)
    assert said in str(problem)


@pytest.mark.parametrize("literal", [b"1e999", b"-1e999", b"9" * 400, b"9" * 6000])
def test_number_too_large_is_told_with_its_field(literal: bytes) -> None:
    """A number no float can hold is valid JSON and no valid value."""
    row = json.dumps(ROW).encode().replace(b'"rv_24": -5.0', b'"rv_24": ' + literal)
    problem = refused(b'{"features":' + row + b"}")
    assert (problem.status, problem.more["field"]) == (422, "features.rv_24") and "a finite number" in str(problem)


def test_all_missing_and_all_unknown_names_are_listed_for_the_row_they_are_of() -> None:
    """A row with other names than the model's is told whole, and unknown names are cut short."""
    row = {name: 0.0 for name in FEATURE_NAMES[3:]} | {"extra": 1.0, "y" * 9000: 2.0}
    problem = refused(json.dumps({"instances": [ROW, row]}).encode())
    assert (problem.code, problem.more["field"]) == ("feature_mismatch", "instances[1]")
    assert problem.more["missing"] == list(FEATURE_NAMES[:3])
    assert problem.more["unexpected"] == ["extra", "y" * 63 + "…"]


def test_hours_with_a_decimal_point_are_the_same_number() -> None:
    """24.0 is 24, as JSON Schema has it."""
    found = parsed(b'{"symbol":"BTC","horizon_hours":24.0}')
    assert isinstance(found, bodies.Request) and found.ask.horizon == 24


def test_times_with_colons_and_escapes_are_read_like_any_other() -> None:
    """What sends the decoder to its slower way changes nothing in the outcome."""
    plain = parsed(b'{"symbol":"BTC","as_of":"2025-05-01T00:00:00Z"}')
    escaped = parsed(b'{"symbol":"BT\\u0043","as_of":"2025-05-01T00\\u003a00:00Z"}')
    assert isinstance(plain, bodies.Request) and plain == escaped
