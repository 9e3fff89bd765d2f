"""`auto` and `live`: which venues are tried, what is done when none can be reached, and how long it may take."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from cryptovol import settings as settings_module
from cryptovol.adapters import sources as package
from cryptovol.adapters.sources import live_answers, missing, open_second, open_source
from cryptovol.adapters.sources.auto import AutoSource, any_answers
from cryptovol.adapters.sources.patience import Patience
from cryptovol.adapters.sources.transport import Timeouts
from cryptovol.errors import ConfigError, SourceUnavailableError
from cryptovol.market import faults
from cryptovol.params import Params
from cryptovol.ports import BarSource, Origin
from cryptovol.settings import url_setting
from cryptovol.testing import make_bars
from cryptovol.times import HOUR
from cryptovol.wiring import Ports

from tests.venues import NOW, NOWHERE, StandIn, Venue


def _open(params: Params, **environ: str) -> BarSource:
    return open_source(settings_module.load(environ), params, clock=lambda: NOW)


def _hasty(params: Params) -> Params:
    """Return parameters under which a request is tried once: nobody is waited for who is known not to listen."""
    return replace(params, sources=replace(params.sources, tries=1))


def test_auto_simulates_where_nobody_can_be_reached_and_says_so_once(params: Params, capsys: Any) -> None:
    """The made-up market is named on stderr, and kept to."""
    source = _open(params, **NOWHERE)
    assert source.origin("BTC", "USD").market == source.origin("ETH", "USD").market == "simulated"
    assert list(source.pages("BTC", "USD", start=NOW - 5 * HOUR, end=NOW))
    said = capsys.readouterr()
    assert said.err.count("SIMULATED") == 1 and "none of cryptocompare, " in said.err and not said.out


def test_auto_takes_a_venue_that_answers(params: Params, stand_in: StandIn, capsys: Any) -> None:
    """The first in the order that can be reached serves, and nothing is said of made-up bars."""
    source = _open(_hasty(params), **{**NOWHERE, "CRYPTOVOL_KRAKEN_URL": stand_in("kraken")})
    assert source.origin("BTC", "USD") == Origin("kraken", "live")
    assert "SIMULATED" not in capsys.readouterr().err


def test_auto_never_hides_a_refusal_behind_made_up_bars(params: Params, stand_in: StandIn) -> None:
    """A venue that wants a key was reached; without one there are no bars, rather than wrong ones."""
    urls = {**NOWHERE, "CRYPTOVOL_COINDESK_URL": stand_in("coindesk", key="secret")}
    with pytest.raises(SourceUnavailableError, match="coindesk: .*401"):
        _open(_hasty(params), **urls).origin("BTC", "USD")


def test_a_venue_that_takes_requests_and_says_nothing_was_reached(
    params: Params, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a network; bars that do not come are an error to be told, not a reason to make some up."""
    monkeypatch.setattr(package, "_PROBE_TIMEOUTS", Timeouts(connect=1.0, read=0.2, whole=0.2))
    silent = stand_in("kraken", fault=faults.named("timeout", times=None))
    where = settings_module.load({**NOWHERE, "CRYPTOVOL_KRAKEN_URL": silent})
    assert live_answers(where, params, clock=lambda: NOW)
    assert not live_answers(settings_module.load(NOWHERE), params, clock=lambda: NOW)


def test_live_never_simulates(params: Params) -> None:
    """Deployed functions have this setting: a night without network must not end in made-up bars."""
    with pytest.raises(SourceUnavailableError, match="no market source serves BTC/USD"):
        _open(_hasty(params), CRYPTOVOL_SOURCE="live", **NOWHERE).origin("BTC", "USD")


def test_auto_that_was_live_once_stays_so() -> None:
    """Reachability is asked for once; what fails later is an error."""
    venue = Venue(make_bars(9), name="one")
    asked: list[bool] = []
    auto = AutoSource(venue, names=["one"], reachable=lambda: not asked.append(True), last=_unwanted)
    assert auto.origin("BTC", "USD").market == "live"
    venue.refuses = SourceUnavailableError("gone")
    for _ in range(2):
        with pytest.raises(SourceUnavailableError, match="gone"):
            auto.origin("BTC", "USD")
    assert len(asked) == 1


def _unwanted() -> BarSource:
    raise AssertionError("made-up bars after live ones")


def test_whether_anybody_answers_is_known_in_time_though_one_hangs() -> None:
    """A refusal is an answer and a failed connection is none; a call that hangs is left behind."""

    def lost() -> None:
        raise SourceUnavailableError("no connection") from ConnectionError()

    def refused() -> None:
        raise SourceUnavailableError("503")

    ends = threading.Event()
    assert any_answers([lost, refused]) and any_answers([lambda: ends.wait(30), lambda: None])
    assert not any_answers([lost, lost]) and not any_answers([])
    began = time.monotonic()
    assert not any_answers([lost, lambda: ends.wait(30)], seconds=0.1)
    assert time.monotonic() - began < 10
    ends.set()


def test_venues_are_tried_in_the_order_of_the_parameters(params: Params, stand_in: StandIn) -> None:
    """The order is a parameter, and a venue it does not name is not asked."""
    urls = {url_setting(venue): stand_in(venue) for venue in ("coinbase", "kraken", "cryptocompare")}
    for order in (("kraken", "coinbase"), ("coinbase", "kraken")):
        asked = replace(params, sources=replace(params.sources, order=order))
        assert _open(asked, CRYPTOVOL_SOURCE="live", **urls).origin("BTC", "USD").source == order[0]


def test_an_order_with_an_unknown_venue_is_refused(params: Params) -> None:
    """The message names it and those that exist."""
    odd = replace(params, sources=replace(params.sources, order=("kraken", "bitmax")))
    with pytest.raises(ConfigError, match="'bitmax'; known: cryptocompare, coindesk"):
        _open(odd)


def test_venues_with_keys_are_set_up_by_a_key_or_an_address() -> None:
    """What is lacking is told by its variable."""
    bare = settings_module.load({})
    assert "CRYPTOVOL_CRYPTOCOMPARE_KEY" in missing("coindesk", bare) and "COINDESK_URL" in missing("coindesk", bare)
    assert not missing("kraken", bare) and not missing("simulated", bare)
    assert not missing("coindesk", settings_module.load({"CRYPTOVOL_CRYPTOCOMPARE_KEY": "k"}))
    own = settings_module.load({"CRYPTOVOL_COINDESK_URL": "http://127.0.0.1:9"})
    assert not missing("coindesk", own) and missing("cryptocompare", own)


def test_second_source_is_any_other_venue(params: Params, stand_in: StandIn) -> None:
    """It is the next in the order that serves, and never the one it is to be held against."""
    environ = {**NOWHERE, **{url_setting(venue): stand_in(venue) for venue in ("coinbase", "kraken")}}
    second = open_second(settings_module.load(environ), _hasty(params), clock=lambda: NOW)
    found = second("coinbase")
    assert found is not None and found.origin("BTC", "USD").source == "kraken" and second("coinbase") is found
    other = second("kraken")
    assert other is not None and other.origin("BTC", "USD").source == "coinbase"


@pytest.mark.parametrize("source", ["kraken", "simulated", "replay:a.csv"])
def test_there_is_no_second_source_where_one_was_asked_for_by_name(params: Params, source: str) -> None:
    """Neither for made-up bars, which no venue can bear witness to, nor where no other venue is set up."""
    clock = lambda: NOW  # noqa: E731
    assert open_second(settings_module.load({"CRYPTOVOL_SOURCE": source}), params, clock=clock)("kraken") is None
    assert open_second(settings_module.load({}), params, clock=clock)("simulated") is None
    alone = replace(params, sources=replace(params.sources, order=("kraken", "cryptocompare")))
    assert open_second(settings_module.load({}), alone, clock=clock)("kraken") is None


def test_time_budget_begins_anew_with_each_origin(params: Params, stand_in: StandIn) -> None:
    """A warm function has its whole time for each event; what pages and the second source take comes off it."""
    now = [0.0]
    patience = Patience(tries=1, budget=100, monotonic=lambda: now[0])
    where = settings_module.load({"CRYPTOVOL_SOURCE": "live", **NOWHERE, "CRYPTOVOL_KRAKEN_URL": stand_in("kraken")})
    source = open_source(where, params, clock=lambda: NOW, patience=patience)
    second = open_second(where, params, clock=lambda: NOW, patience=patience)("coinbase")
    assert second is not None
    for _ in range(3):
        assert source.origin("BTC", "USD").source == "kraken" and patience.left() == 100
        now[0] += 99
        assert second.origin("BTC", "USD").source == "kraken" and patience.left() == 1
        now[0] += 1
        with pytest.raises(SourceUnavailableError, match="100 s allowed"):
            list(source.pages("BTC", "USD", start=NOW - 9 * HOUR, end=NOW))


def test_functions_have_a_time_budget_and_people_have_not(params: Params) -> None:
    """Lambda ends a function by force; at a terminal there is Ctrl-C."""
    where = settings_module.load({})
    assert Ports(where, params).patience.left() == float("inf")
    assert params.sources.budget_seconds - 60 < Ports(where, params, bounded=True).patience.left() < 900
    assert Ports(where, params).second("simulated") is None
