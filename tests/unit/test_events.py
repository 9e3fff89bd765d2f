"""Events: small, checked, and passed on whole."""

import pytest

from cryptovol import events
from cryptovol.errors import ConfigError

GOOD = {"symbol": "BTC", "quote": "USD", "as_of": "2025-05-01T00:17:09Z", "run_id": "r1", "raw_key": "k"}


def test_event_floors_as_of_to_the_hour():
    """Seventeen past knows what the full hour knew."""
    assert events.parse(GOOD).as_of_text == "2025-05-01T00:00:00Z"


def test_event_result_repeats_and_adds():
    """A result carries what was given, the event's own fields and the new ones."""
    got = events.parse(GOOD).result(rows=3)
    assert got == {**GOOD, "as_of": "2025-05-01T00:00:00Z", "rows": 3}


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": ""},
        {"symbol": "btc/usd"},
        {"quote": 3},
        {"as_of": "yesterday"},
        {"run_id": "../x"},
        {"symbol": "A" * 13},
    ],
)
def test_event_with_a_wrong_field_is_refused(change):
    """A wrong field is a usage error and never becomes part of a key."""
    with pytest.raises(ConfigError):
        events.parse({**GOOD, **change})


def test_event_names_the_stage_result_it_lacks():
    """A missing key tells what to pass on."""
    with pytest.raises(ConfigError, match="clean_key"):
        events.parse(GOOD).need("clean_key")
