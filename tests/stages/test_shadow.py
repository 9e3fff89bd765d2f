"""An undecided challenger beside the champion: logged apart, compared hour by hour, decided on by the same gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cryptovol import audit, bundle, cli, events, hourly, keys, ledger, shadow, tables
from cryptovol.adapters.files import FileStore
from cryptovol.bundle import Bundle
from cryptovol.errors import ConflictError
from cryptovol.ledger import Entry
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.times import HOUR, format_instant
from tests.forecasters import END, Bench
from tests.served import MARKET, PAIR, make_bundle, promote

WHERE = (MARKET, PAIR, 24)
NEEDED = 24


def challenge(store: Store, made: Bundle, outcome: str = "too_few") -> Entry:
    """Save a challenger's bundle and write down that the gate did not promote it."""
    files = bundle.encode(made)
    sha256 = tables.sha256(files[bundle.MANIFEST])
    bundle.save(store, keys.bundle(*WHERE, sha256=sha256), files)
    told = {"bundle_sha256": sha256, "version": sha256[:4], **{n: made.header[n] for n in ("name", "trained_at")}}
    past = ledger.entries(store, *WHERE)
    champion = past[-1].body["champion"] if past else None
    more = {
        "challenger": told,
        "scores": made.scores,
        "lineage": {"tracking_url": ""},
        "rows": 7,
        "reason": "few hours",
    }
    return ledger.append(store, *WHERE, decision="rejected", outcome=outcome, champion=champion, **more)


def made(factor: float, trained_at: int = END) -> Bundle:
    """Return a challenger that forecasts so many times the volatility of the past day."""
    return make_bundle(factor=factor, trained_at=format_instant(trained_at))


@pytest.fixture
def bench(params: Params) -> Bench:
    """Return a store with fresh bars and a champion per horizon."""
    return Bench(params)


@pytest.fixture
def few(params: Params) -> Params:
    """Return parameters by which a day of live hours is enough."""
    return replace(params, promotion=replace(params.promotion, shadow_rows=NEEDED))


# ---------------------------------------------------------------- who shadows


def test_nobody_shadows_without_a_champion(params: Params) -> None:
    """A challenger that the gate could not decide on has nobody to stand beside."""
    empty = Bench(params, empty=True)
    challenge(empty.store, made(1.1))
    assert shadow.current(empty.store, *WHERE) is None


def test_the_first_undecided_challenger_shadows_until_it_is_decided_on(bench: Bench) -> None:
    """Later ones do not take its place; once it is decided on, the next one's turn comes."""
    first, second = challenge(bench.store, made(1.1)), challenge(bench.store, made(1.2), "undecided")
    challenge(bench.store, made(1.3), "loss")
    found = shadow.current(bench.store, *WHERE)
    assert found is not None and found.number == first.number
    challenge(bench.store, made(1.1), "shadow_loss")
    found = shadow.current(bench.store, *WHERE)
    assert found is not None and found.number == second.number


def test_a_challenger_older_than_the_champion_does_not_shadow(bench: Bench) -> None:
    """A run for an instant far back in time must not replace a newer model by a tie on live hours."""
    challenge(bench.store, made(1.1, END - HOUR))
    assert shadow.current(bench.store, *WHERE) is None


def test_a_new_champion_ends_the_shadow(bench: Bench) -> None:
    """What was to be compared with the champion before has nothing to be compared with."""
    challenge(bench.store, made(1.1))
    promote(bench.store, made(1.4), version="9")
    assert shadow.current(bench.store, *WHERE) is None


# ---------------------------------------------------------------- its forecasts


def run_hour(bench: Bench, params: Params) -> dict[str, Any]:
    """Make the forecasts of the newest hour."""
    own = {"symbol": "BTC", "quote": "USD", "as_of": format_instant(END), "run_id": "h1", "market": MARKET}
    return hourly.run(events.parse(own), store=bench.store, params=params, clock=lambda: bench.now, meter=bench.meter)


def test_both_forecasts_are_logged_and_the_scoring_log_holds_the_served_one_alone(bench: Bench, params: Params) -> None:
    """The shadow's is under its own prefix, as many times the champion's as it was made to be; a rerun adds nothing."""
    entry = challenge(bench.store, made(1.5))
    told = run_hour(bench, params)
    assert told["shadows"] == {"6": "none", "24": "logged"} and told["rows_forecast"] == 2 and len(bench.log()) == 2
    (key,) = bench.store.keys("shadows/")
    prefix = keys.shadows(*WHERE, bundle_sha256=entry.body["challenger"]["bundle_sha256"])
    assert key == f"{prefix}{keys.compact(format_instant(END))}.json"
    own = json.loads(bench.store.objects[key])
    (served,) = (body for body in bench.log().values() if body["horizon_hours"] == 24)
    assert own["volatility"] == pytest.approx(1.5 * served["volatility"]) and own["as_of"] == served["as_of"]
    before = dict(bench.store.objects)
    assert run_hour(bench, params) == told and bench.store.objects == before


def test_a_shadow_that_cannot_forecast_is_told_and_takes_nothing_from_the_champion(
    bench: Bench, params: Params
) -> None:
    """The champion's forecast is logged; of the shadow the error's code is told."""
    entry = challenge(bench.store, made(1.5))
    where = keys.bundle(*WHERE, sha256=entry.body["challenger"]["bundle_sha256"])
    bench.store.objects[f"{where}/{bundle.MANIFEST}"] = b"{}"
    told = run_hour(bench, params)
    assert told["shadows"]["24"] == "bundle_refused" and told["forecasts"]["24"] == "logged"


# ---------------------------------------------------------------- hour by hour


def compare(bench: Bench, *, realized: dict[int, float], as_of: int = END + 24 * HOUR) -> dict[str, Any]:
    """Compare what is logged with what came; return what is stored of it."""
    shadow.compare(
        bench.store, *WHERE, as_of=format_instant(as_of), served=list(bench.log().values()), realized=realized
    )
    key = keys.shadowboard(*WHERE)
    return dict(json.loads(bench.store.objects[key])) if key in bench.store.objects else {}


def test_hours_with_an_outcome_are_compared_and_an_older_run_changes_nothing(bench: Bench, params: Params) -> None:
    """One point per hour that both forecast and whose outcome is known; the stored board never goes back."""
    challenge(bench.store, made(1.5))
    run_hour(bench, params)
    assert compare(bench, realized={})["points"] == []
    board = compare(bench, realized={END - HOUR: 0.004})
    (point,) = board["points"]
    assert point["as_of"] == format_instant(END) and point["realized"] == 0.004
    assert point["challenger"] == pytest.approx(1.5 * point["champion"])
    assert compare(bench, realized={}, as_of=END) == board


def test_an_hour_that_only_the_shadow_forecast_is_not_compared(bench: Bench, params: Params) -> None:
    """Where the champion served nothing, or another champion did, there is nothing to hold the shadow against."""
    challenge(bench.store, made(1.5))
    run_hour(bench, params)
    (key,) = (key for key, body in bench.log().items() if body["horizon_hours"] == 24)
    body = json.loads(bench.store.objects.pop(key))
    assert compare(bench, realized={END - HOUR: 0.004})["points"] == []
    bench.store.put(key, tables.encode_json({**body, "model": {**body["model"], "bundle_sha256": "ab" * 32}}))
    assert compare(bench, realized={END - HOUR: 0.004})["points"] == []


def test_without_a_shadow_nothing_is_compared(bench: Bench, params: Params) -> None:
    """No object is written where nobody shadows."""
    run_hour(bench, params)
    assert compare(bench, realized={END - HOUR: 0.004}) == {}


# ---------------------------------------------------------------- the gate decides


def put_hours(store: Store, entry: Entry, *, rows: int, challenger: float, champion: float, har: float = 0.02) -> None:
    """Store so many compared hours, in which the outcome wavers around 0.01."""
    points = [
        {"as_of": format_instant(END + HOUR * i), "realized": 0.01 * (1.2 if i % 2 else 0.8), "har": har * (1 + i % 3 / 9),
         "challenger": challenger * (1 + i % 5 / 50), "champion": champion * (1 + i % 7 / 70)}
        for i in range(rows)
    ]  # fmt: skip
    own = entry.body["challenger"]["bundle_sha256"]
    body = {"as_of": format_instant(END + HOUR * rows), "challenger": own, "points": points}
    store.put(keys.shadowboard(*WHERE), tables.encode_json(body))


def settle(store: Store, params: Params, *, hours: int = 48) -> list[Entry]:
    """Let the gate decide as of so many hours later."""
    as_of = format_instant(END + HOUR * hours)
    own = {"symbol": "BTC", "quote": "USD", "as_of": as_of, "run_id": "t1", "market": MARKET}
    past = ledger.entries(store, *WHERE)
    return shadow.settle(events.parse(own), 24, past, store=store, params=params)


@pytest.mark.parametrize(
    ("numbers", "outcome"),
    [
        ({"challenger": 0.01, "champion": 0.019}, "shadow_win"),
        ({"challenger": 0.01, "champion": 0.01}, "shadow_tie"),
        ({"challenger": 0.018, "champion": 0.01}, "shadow_loss"),
        ({"challenger": 0.03, "champion": 0.01}, "shadow_worse_than_har"),
        ({"challenger": -1.0, "champion": 0.01}, "shadow_invalid"),
    ],
)
def test_live_hours_decide_by_the_gates_own_rule(
    bench: Bench, few: Params, numbers: dict[str, float], outcome: str
) -> None:
    """Promoted or rejected with the reason in the ledger; chain, pointer and bundles are sound, and nobody shadows on."""
    entry = challenge(bench.store, made(1.5))
    put_hours(bench.store, entry, rows=NEEDED, **numbers)
    before, after = ledger.entries(bench.store, *WHERE), settle(bench.store, few)
    assert after[:-1] == before and after == ledger.entries(bench.store, *WHERE)
    body, promoted = after[-1].body, outcome in ("shadow_win", "shadow_tie")
    assert (body["outcome"], body["decision"]) == (outcome, "promoted" if promoted else "rejected")
    assert body["reason"].startswith("on 24 live hours: ") and body["shadow_since"] == entry.number
    serving = ledger.champion(bench.store, *WHERE)
    assert serving is not None and (serving.bundle_sha256 == body["challenger"]["bundle_sha256"]) is promoted
    assert audit.verify(bench.store, *WHERE).faults == () and shadow.current(bench.store, *WHERE) is None
    assert settle(bench.store, few) == after


@pytest.mark.parametrize("doubt", ["too few", "another's", "later"])
def test_nothing_is_decided_before_its_time(bench: Bench, few: Params, doubt: str) -> None:
    """One hour short, hours of another challenger, and hours that the event cannot know of are no grounds."""
    entry = challenge(bench.store, made(1.5))
    other = Entry(9, "", {"challenger": {"bundle_sha256": "ab" * 32}})
    hours = {"rows": NEEDED - (doubt == "too few"), "challenger": 0.01, "champion": 0.019}
    put_hours(bench.store, other if doubt == "another's" else entry, **hours)
    before = ledger.entries(bench.store, *WHERE)
    assert settle(bench.store, few, hours=NEEDED - 1 if doubt == "later" else 48) == before


def test_a_shadow_that_has_grown_too_old_is_rejected(bench: Bench, few: Params) -> None:
    """Past the age at which a model may serve, promoting it would bring the API to a stop."""
    entry = challenge(bench.store, made(1.5))
    put_hours(bench.store, entry, rows=NEEDED, challenger=0.01, champion=0.019)
    last = settle(bench.store, few, hours=few.predict.expiry_hours + 1)[-1].body
    assert (last["outcome"], last["decision"]) == ("shadow_expired", "rejected")
    assert "with 24 live hours of 24" in last["reason"]


def test_a_decision_of_another_run_in_between_is_a_conflict(bench: Bench, few: Params) -> None:
    """The gate decided in sight of a ledger that is no longer the newest: the run looks again."""
    entry = challenge(bench.store, made(1.5))
    put_hours(bench.store, entry, rows=NEEDED, challenger=0.01, champion=0.019)
    past = ledger.entries(bench.store, *WHERE)
    challenge(bench.store, made(1.6), "loss")
    own = {"symbol": "BTC", "quote": "USD", "as_of": format_instant(END + 48 * HOUR), "run_id": "t", "market": MARKET}
    with pytest.raises(ConflictError):
        shadow.settle(events.parse(own), 24, past, store=bench.store, params=few)


def test_models_show_tells_of_the_decision(tmp_path: Path, few: Params, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line names outcome and live hours of the entry, and the ledger verifies."""
    store = FileStore(tmp_path)
    promote(store, made(1.0))
    put_hours(store, challenge(store, made(1.5)), rows=NEEDED, challenger=0.01, champion=0.019)
    number = settle(store, few)[-1].number
    own = ["--store", str(tmp_path), "--market", MARKET, "--symbol", "BTC", "--horizon", "24"]
    assert cli.main(["models", "show", *own, "--entry", str(number), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["serves"] and told["promotion"]["outcome"] == "shadow_win"
    assert "better than the champion on 24 common hours" in told["promotion"]["reason"]
    assert cli.main(["models", "verify", *own]) == 0
