"""Whatever a server says, in every dialect: rows or a typed error, and no row lost in silence."""

import gc
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol.adapters.sources.dialect import Ask, Reply
from cryptovol.adapters.sources.venue import tidied
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.errors import CryptovolError
from cryptovol.settings import VENUES
from cryptovol.times import HOUR
from tests.adapters.scripted import ENCODED, HOUR_NOW, NOW, QUOTES, Row, row

SPAN = 48  # hours
STATUSES = st.sampled_from([200, 200, 200, 200, 204, 302, 400, 401, 404, 418, 429, 451, 500, 503])
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Type", "Location"]), st.text(max_size=8), max_size=3
)  # fmt: skip
NAMES = st.sampled_from(
    ["Data", "Err", "Type", "Response", "Message", "message", "RateLimit", "calls_made", "max_calls", "second", "type",
     "http_status_code", "other_info", "param", "code", "msg", "error", "result", "XXBTZUSD", "last", "time", "open"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([99, 401, -1003, -1121, 10**400, HOUR_NOW, -HOUR]),
    st.floats(), st.text(max_size=6), st.sampled_from(["1.5", "nan", "1e5", "-", "Error", "EAPI:Rate limit", "HOUR"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=16
)  # fmt: skip


def ask(venue: str) -> Ask:
    """Return two days of bitcoin."""
    return Ask("BTC", QUOTES.get(venue, "USD"), HOUR_NOW - SPAN * HOUR, HOUR_NOW)


def check(venue: str, reply: Reply) -> None:
    """Read an answer; assert that the outcome is finite rows that add up, or one of our errors."""
    try:
        rows = DIALECTS[venue].read(reply, ask(venue), now=NOW)
    except CryptovolError as error:
        assert error.__cause__ is None and 0 < len(str(error)) < 600
        return
    assert reply.status == 200 and rows.table.shape == (len(rows.time), 6) and not np.isinf(rows.table).any()
    assert (rows.time % HOUR == 0).all()
    try:
        time, table, dropped = tidied(rows, ask(venue), now=NOW)
    except CryptovolError:
        return
    assert (np.diff(time) > 0).all() and len(table) == len(time)
    assert len(time) + dropped.total() == len(rows.time) + rows.padded


def damaged(draw: st.DrawFn, value: Any, depth: int = 0) -> Any:
    """Return a JSON value with something in it replaced, left out or added."""
    if depth and draw(st.integers(0, 3)) == 0 or not isinstance(value, dict | list) or not value:
        return draw(VALUES)
    if isinstance(value, dict):
        name = draw(st.sampled_from(sorted(value)))
        rest = {other: each for other, each in value.items() if other != name}
        return rest if draw(st.integers(0, 5)) == 0 else rest | {name: damaged(draw, value[name], depth + 1)}
    at = draw(st.integers(0, len(value) - 1))
    return [*value[:at], damaged(draw, value[at], depth + 1), *value[at + draw(st.integers(0, 1)) :]]


@st.composite
def answers(draw: st.DrawFn, venue: str) -> bytes:
    """Return a sound answer with a few faults in it."""
    body = ENCODED[venue]([row(-i) for i in range(draw(st.integers(0, 5)))])
    for _ in range(draw(st.integers(1, 3))):
        body = damaged(draw, body)
    data = json.dumps(body).encode()
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


@pytest.mark.parametrize("venue", VENUES)
@settings(deadline=None)
@given(body=st.binary(max_size=60), status=STATUSES, headers=HEADERS)
def test_any_bytes_are_a_typed_error(venue: str, body: bytes, status: int, headers: dict[str, str]) -> None:
    """Bytes that are no answer never become another exception."""
    check(venue, Reply(status, headers, body))


@pytest.mark.parametrize("venue", VENUES)
@settings(deadline=None)
@given(value=VALUES, status=STATUSES, headers=HEADERS)
def test_any_json_is_rows_or_a_typed_error(venue: str, value: Any, status: int, headers: dict[str, str]) -> None:
    """Neither does any JSON value, NaN and infinities among them."""
    check(venue, Reply(status, headers, json.dumps(value).encode()))


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_damage_to_an_answer_is_rows_or_a_typed_error(venue: str, data: st.DataObject) -> None:
    """Neither does a venue's own answer with faults in it, and the rows that come add up."""
    check(venue, Reply(200, {}, data.draw(answers(venue))))


@st.composite
def sound(draw: st.DrawFn) -> list[Row]:
    """Return rows of distinct hours, in and beside the two days, with numbers that eight decimals hold."""
    numbers = st.integers(1, 10**12).map(lambda n: n / 10**4)
    found = draw(st.lists(st.integers(-SPAN - 6, 6), unique=True, max_size=SPAN))
    return [(HOUR_NOW + i * HOUR, *(draw(numbers) for _ in range(6))) for i in found]  # type: ignore[misc]


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=50, deadline=None)
@given(rows=sound(), data=st.data())
def test_what_goes_in_comes_out_and_the_rest_is_counted(venue: str, rows: list[Row], data: st.DataObject) -> None:
    """Any gaps, any order, repeats and rows beside the hours: the bars asked for come whole, and all counts add up."""
    again = data.draw(st.lists(st.sampled_from(rows), max_size=5)) if rows else []
    sent = data.draw(st.permutations([*rows, *again]))
    reply = Reply(200, {}, json.dumps(ENCODED[venue](sent)).encode())
    time, table, dropped = tidied(DIALECTS[venue].read(reply, ask(venue), now=NOW), ask(venue), now=NOW)
    first, last = HOUR_NOW - SPAN * HOUR, HOUR_NOW - HOUR
    wanted = sorted(each for each in rows if first <= each[0] <= last)
    assert time.tolist() == [each[0] for each in wanted]
    assert table[:, :5].tolist() == [list(each[1:6]) for each in wanted]
    if venue == "coinbase":
        assert np.isnan(table[:, 5]).all()
    else:
        np.testing.assert_allclose(table[:, 5], [each[5] * each[6] for each in wanted], rtol=1e-12)
    times = [each[0] for each in sent]
    assert dropped["unfinished"] == times.count(HOUR_NOW)
    assert dropped["beside"] == sum(t < first or t > HOUR_NOW for t in times)
    assert dropped["repeated"] == sum(first <= each[0] <= last for each in again)
    assert len(time) + dropped.total() == len(sent)


@pytest.mark.parametrize("body", [b"{}", b"{", b"[NaN]", b"[" * 100_000])
def test_the_collector_is_at_work_again_after_any_answer(body: bytes) -> None:
    """It is kept out while JSON is read, however that ends, and no longer."""
    with pytest.raises(CryptovolError):
        DIALECTS["coinbase"].read(Reply(200, {}, body), Ask("BTC", "USD", 0, HOUR), now=NOW)
    assert gc.isenabled()
