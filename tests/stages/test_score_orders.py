"""Score under late bars, late entries, revisions and reruns: the board is what one run would have written."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol import board, events, history, keys, ledger, tables
from cryptovol.params import Params
from cryptovol.stages import score
from cryptovol.testing import START, MemoryStore
from cryptovol.times import HOUR, format_instant

MARKET, PAIR, HOURS = "live", "btc-usd", 60
END = START + HOURS * HOUR
RUN = st.tuples(
    st.integers(30, HOURS),
    st.sets(st.integers(0, HOURS - 1), max_size=12),
    st.sets(st.integers(0, HOURS)),
    st.booleans(),
)


class CountingStore(MemoryStore):
    """A store that counts the forecasts read one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def get(self, key: str) -> Any:
        """Return the object."""
        self.read += key.startswith("predictions/")
        return super().get(key)


def champions(store: MemoryStore) -> None:
    """Name a champion of each horizon; nobody reads its bundle, for there are too few rows for drift."""
    for horizon in (6, 24):
        chosen = {
            "bundle_sha256": "ab" * 32,
            "name": f"m{horizon}",
            "version": "1",
            "trained_at": format_instant(START),
        }
        ledger.append(store, MARKET, PAIR, horizon, decision="promoted", champion=chosen)


def put_targets(store: MemoryStore, upto: int, *, missing: Collection[int] = (), factor: float = 1.0) -> None:
    """Write a feature table of the bars closed at hour `upto`, some outcomes not known yet, all times `factor`."""
    row = np.arange(upto)
    table: tables.Table = {"time": START + HOUR * row, "values": np.zeros((upto, 36)), "log_return": np.zeros(upto)}
    for horizon in (6, 24):
        known = (row + horizon < upto) & ~np.isin(row, list(missing))
        table[f"target_{horizon}"] = np.where(known, factor * (0.004 + 0.0001 * (row % 7)), np.nan)
    prefix = keys.features(MARKET, PAIR)
    head = history.load_manifest(store, history.head_key(prefix))
    parts = history.write_parts(store, prefix, table, codec="npz", head=head)
    history.commit(store, prefix, parts, as_of=format_instant(END), meta={}, head=head)


def log(store: MemoryStore, hour: int, *, bundle: str = "ab", served: int = 0, volatility: float = 0.005) -> None:
    """Log the forecasts made when bar `hour` - 1 closed, `served` seconds later."""
    at = START + hour * HOUR
    for horizon in (6, 24):
        body: dict[str, Any] = {
            "as_of": format_instant(at), "served_at": format_instant(at + served), "horizon_hours": horizon,
            "volatility": volatility + 0.00003 * (hour % 5), "interval": {"level": 0.9, "lower": 0.004, "upper": 0.0044},
            "baselines": {"persistence": 0.006, "ewma": 0.0045, "har": 0.0042},
        }  # fmt: skip
        key = keys.prediction(MARKET, PAIR, horizon, as_of=body["as_of"], bundle_sha256=bundle * 32)
        store.put_new(key, tables.encode_json(body))


def run(store: MemoryStore, hour: int, params: Params) -> dict[str, Any]:
    """Score as of an hour."""
    own = {"symbol": "BTC", "quote": "USD", "as_of": format_instant(START + hour * HOUR), "run_id": "r"}
    return score.run(events.parse({**own, "market": MARKET}), store=store, params=params)


def boards(store: MemoryStore) -> dict[str, bytes]:
    """Return what the newest run left for readers."""
    names = [keys.scoreboard(MARKET, PAIR), *(keys.live(MARKET, PAIR, horizon) for horizon in (6, 24))]
    return {name: store.objects[name] for name in names}


def whole(params: Params) -> tuple[dict[str, bytes], int]:
    """Return what one run over everything leaves, and how many forecasts of 24 hours it finds matured."""
    store = MemoryStore()
    champions(store)
    put_targets(store, HOURS)
    for hour in range(HOURS + 1):
        log(store, hour)
    return boards_after(store, params)


def boards_after(store: MemoryStore, params: Params) -> tuple[dict[str, bytes], int]:
    """Run once at the end; return the boards and the matured forecasts of 24 hours."""
    result = run(store, HOURS, params)
    return boards(store), result["matured"]["m24"]


@settings(max_examples=25, deadline=None)
@given(st.lists(RUN, max_size=4))
def test_any_order_of_late_bars_late_entries_and_reruns_ends_in_the_board_of_one_run(
    params: Params, runs: list[tuple[int, set[int], set[int], bool]]
) -> None:
    """Bytes are equal, and each forecast is told as matured exactly once over all runs."""
    store, told = MemoryStore(), 0
    champions(store)
    for upto, missing, entries, lost in runs:
        put_targets(store, upto, missing=missing)
        for hour in sorted(entries):
            log(store, hour)
        told += run(store, upto, params)["matured"]["m24"]
        if lost:  # the other horizon's copy is made again from the log
            store.objects.pop(keys.logbook(MARKET, PAIR, 6))
    for hour in range(HOURS + 1):
        log(store, hour)
    put_targets(store, HOURS)
    found, last = boards_after(store, params)
    wanted, matured = whole(params)
    assert found == wanted and told + last == matured > 0


def test_second_run_reads_only_the_forecasts_that_are_new(params: Params) -> None:
    """Of a log of sixty hours two entries a new hour are read; without or with a damaged copy all are, once."""
    store = CountingStore()
    champions(store)
    put_targets(store, HOURS)
    for hour in range(HOURS):
        log(store, hour)
    run(store, HOURS, params)
    assert store.read == 2 * HOURS
    log(store, HOURS)
    run(store, HOURS, params)
    assert store.read == 2 * HOURS + 2
    before, store.read = boards(store), 0
    store.objects[keys.logbook(MARKET, PAIR, 6)] = b"\x1f\x8bno gzip"
    run(store, HOURS, params)
    assert boards(store) == before and store.read == HOURS + 1


def test_revised_bars_change_the_outcome_and_count_nothing_again(params: Params) -> None:
    """The next run scores against the revised values, over the same forecasts."""
    store = MemoryStore()
    champions(store)
    put_targets(store, HOURS)
    for hour in range(HOURS):
        log(store, hour)
    first = run(store, HOURS, params)
    put_targets(store, HOURS, factor=1.5)
    second = run(store, HOURS, params)
    assert second["matured"] == {"m6": 0, "m24": 0} and second["rows_scored"] == first["rows_scored"]
    assert second["live"][0]["bias"] * 1.5 == pytest.approx(first["live"][0]["bias"])


def test_late_forecasts_are_those_the_board_before_could_have_had(params: Params) -> None:
    """An outcome that was missing at the last run and came since is late; one whose hours ended since is not."""
    store = MemoryStore()
    champions(store)
    for hour in range(HOURS):
        log(store, hour)
    put_targets(store, 50, missing={9, 10, 11})
    assert run(store, 50, params)["matured_late"] == {"m6": 0, "m24": 0}
    put_targets(store, 53)
    result = run(store, 53, params)
    assert result["matured"] == {"m6": 6, "m24": 6} and result["matured_late"] == {"m6": 3, "m24": 3}


def test_an_hour_with_two_models_counts_the_forecast_served_first(params: Params) -> None:
    """A swap within an hour does not make it weigh twice, and a forecast made once its hours were over is none."""
    store = MemoryStore()
    champions(store)
    put_targets(store, HOURS)
    log(store, 20, bundle="cd", served=900, volatility=0.9)
    log(store, 20, bundle="ef", served=60)
    log(store, 21, served=30 * HOUR)
    result = run(store, HOURS, params)
    board = json.loads(store.get(result["scoreboard_key"]).data)["horizons"]["24"]
    assert board["matured"] == board["served"] == 1 and board["windows"][-1]["bias"] < 2


def test_tests_against_baselines_need_enough_hours(params: Params) -> None:
    """Below the rows that a promotion needs there is no test; with fewer asked for, a worse model is told as worse."""
    store = MemoryStore()
    champions(store)
    put_targets(store, HOURS)
    for hour in range(HOURS):
        log(store, hour)
    assert not any("dm" in row for row in run(store, HOURS, params)["live"])
    fewer = replace(params, promotion=replace(params.promotion, least_rows=30))
    row = next(row for row in run(store, HOURS, fewer)["live"] if row["rows"] >= 30)
    assert set(row["dm"]) == {"persistence", "ewma", "har"}
    assert row["dm"]["har"]["statistic"] > 0 > row["dm"]["persistence"]["statistic"]
    assert set(row["baseline_bias"]) == set(row["dm"])


@pytest.mark.parametrize(("market", "counted"), [("live", 0), ("replay-bars", 1)])
def test_a_forecast_made_when_its_hours_were_over_counts_in_a_story_alone(market: str, counted: int) -> None:
    """A caller who looks back at the real market makes no forecast; in a replayed one nobody can do otherwise."""
    entry = {"as_of": "2024-04-05T20:00:00Z", "served_at": "2024-04-06T02:00:00Z", "horizon_hours": 6}
    assert len(board.first_served([entry], market=market)) == counted
    in_time = {**entry, "served_at": "2024-04-06T01:59:59Z"}
    assert board.first_served([in_time], market=market) == [in_time]
