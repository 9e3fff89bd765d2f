"""`cryptovol sources check`: who answers, how fresh, how far two venues disagree, and what the exit code says."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from cryptovol import cli
from cryptovol.bars import PRICES
from cryptovol.commands import sources
from cryptovol.commands.sources import Answer, compared, exit_code, survey
from cryptovol.commands.sources_table import print_table
from cryptovol.market import faults
from cryptovol.settings import url_setting
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR

from tests.venues import NOW, NOWHERE, until

BARS = make_bars(48)
USD = {"set_up": True, "market": "live", "quote": "USD", "newest": "2024-01-02T23:00:00Z", "says": "answers"}


def moved(share, *, hours=48):
    """Return the bars with the newest so many hours' prices higher by a share."""
    factor = np.where(np.arange(48) >= 48 - hours, 1 + share, 1.0)
    return replace(BARS, **{name: getattr(BARS, name) * factor for name in PRICES})


def answer(name, bars=BARS, **more):
    """Return what a live venue said."""
    return Answer(name, source=name, bars=bars, **{**USD, **more})


def test_differences_are_of_closes_in_percent(params):
    """Three hours two percent apart: the largest difference says so, the median does not, and the three are counted."""
    found = compared(answer("kraken", moved(0.02, hours=3)), answer("coinbase"), params.gate)
    assert (found.common_hours, found.hours_over, found.disagrees) == (48, 3, False)
    assert found.largest_percent == pytest.approx(2.0) and found.median_percent == pytest.approx(0.0)
    assert found.says == "agrees with coinbase"


@pytest.mark.parametrize(("share", "hours", "disagrees"), [(0.02, 5, True), (0.02, 4, False), (0.009, 48, False)])
def test_two_venues_disagree_by_the_gates_limits(params, share, hours, disagrees):
    """More than a tenth of the hours more than one percent apart is a disagreement; a steady small one is not."""
    assert compared(answer("kraken", moved(share, hours=hours)), answer("coinbase"), params.gate).disagrees == disagrees


def test_only_common_hours_are_compared(params):
    """A venue that is behind is held against what it has; hours without a price are left out."""
    holed = replace(until(BARS, 20), close=np.where(np.arange(20) < 5, np.nan, BARS.close[:20]))
    assert compared(answer("kraken", holed), answer("coinbase"), params.gate).common_hours == 15
    later = make_bars(5, start=START + 99 * HOUR)
    assert "no hour in common" in compared(answer("kraken", later), answer("coinbase"), params.gate).says


def test_another_dollar_is_shown_and_not_judged(params):
    """Tether may be far from the dollar without any venue being wrong."""
    found = compared(answer("binance", moved(0.05), quote="USDT"), answer("coinbase"), params.gate)
    assert found.hours_over == 48 and not found.disagrees and "USDT is not judged against USD" in found.says


def test_another_market_is_not_compared(params):
    """A stand-in's made-up prices say nothing about a venue's."""
    found = compared(answer("kraken", moved(0.5), market="simulated"), answer("coinbase"), params.gate)
    assert found.common_hours == 0 and not found.disagrees and "another market" in found.says


def test_all_are_asked_at_once_and_held_against_the_first_with_the_quote(params):
    """Each answers only when all have been asked; what is no venue is not compared."""
    names = ["auto", "binance", "coinbase", "kraken", "simulated"]
    together = threading.Barrier(len(names), timeout=20)

    def ask(name):
        together.wait()
        quote = "USDT" if name == "binance" else "USD"
        return answer(name, moved(0.03) if name == "kraken" else BARS, quote=quote)

    found = {one.name: one for one in survey(names, ask, "USD", params.gate)}
    assert found["coinbase"].says == "answers; the others are held against it" and found["kraken"].disagrees
    assert found["auto"].common_hours == found["simulated"].common_hours == 0 and found["binance"].common_hours == 48


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (answer("kraken"), answer("coinbase"), 0),
        (answer("kraken"), answer("coinbase", disagrees=True), 1),
        (answer("kraken", newest=None), answer("coinbase", disagrees=True), 3),
        (answer("kraken"), answer("coinbase", newest=None), 0),
    ],
)
def test_exit_code_tells_of_the_configured_source_first(first, second, code):
    """Without it nothing works; a disagreement among others comes second."""
    assert exit_code([first, second], "kraken") == code


@pytest.fixture
def check(monkeypatch, capsys):
    """Return what runs the command against stand-ins at a fixed time, and gives exit code and output."""
    monkeypatch.setattr(sources, "wall_clock", lambda: NOW)
    monkeypatch.delenv("CRYPTOVOL_CRYPTOCOMPARE_KEY", raising=False)

    def start(*words, source="live", **urls):
        environ = {**NOWHERE, **{url_setting(name): url for name, url in urls.items()}, "CRYPTOVOL_SOURCE": source}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        code = cli.main(["sources", "check", *words])
        said = capsys.readouterr()
        return code, said.out

    return start


def test_check_shows_every_venue_as_it_is(check, stand_in):
    """One is fresh, one stale, one in tether, one bars us and one is gone; the rest is judged by the first."""
    urls = {
        "coinbase": stand_in("coinbase"), "kraken": stand_in("kraken", fault=faults.named("stale", times=None)),
        "binance": stand_in("binance", quote="USDT"), "coindesk": stand_in("coindesk", key="secret"),
    }  # fmt: skip
    code, said = check("--json", **urls)
    body = json.loads(said)
    found = {row["name"]: row for row in body["sources"]}
    assert code == 0 and body["configured"] == "live" and "bars" not in found["live"]
    assert found["live"]["source"] == "coinbase" and found["live"]["age_hours"] == 0.5
    assert found["coinbase"]["newest"] == "2026-01-01T09:00:00Z" and found["coinbase"]["latency_ms"] > 0
    assert "no bar in the last 48 hours" in found["kraken"]["says"]
    assert found["binance"]["quote"] == "USDT" and found["binance"]["largest_percent"] < 0.001
    assert "401" in found["coindesk"]["says"] and "no connection" in found["cryptocompare"]["says"]
    assert found["simulated"]["market"] == "simulated" and found["simulated"]["common_hours"] == 0


def test_check_ends_with_1_where_two_venues_disagree(check, stand_in):
    """Three percent apart in every hour is nobody's rounding."""
    bars = make_bars(100, start=NOW - 1800 - 99 * HOUR)
    away = replace(bars, **{name: getattr(bars, name) * 1.03 for name in PRICES})
    code, said = check(coinbase=stand_in("coinbase", bars=bars), kraken=stand_in("kraken", bars=away))
    assert code == 1 and "disagrees with coinbase" in said and "3.000 %" in said and "48/48" in said


def test_check_ends_with_3_where_the_configured_source_is_gone(check, stand_in):
    """That others answer is shown, and does not help."""
    code, said = check(source="kraken", coinbase=stand_in("coinbase"))
    assert code == 3 and "* kraken" in said and "no connection" in said


def test_table_names_what_has_to_be_set_up(capsys):
    """A venue that is not set up is not asked; the row says what is lacking."""
    lacking = Answer("coindesk", set_up=False, says="set CRYPTOVOL_CRYPTOCOMPARE_KEY")
    print_table([answer("kraken", age_hours=0.5, latency_ms=81.2), lacking], "BTC/USD", "kraken", 2)
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "* kraken" in line)
    assert row.split() == ["*", "kraken", "yes", "live", "USD", "01-02", "23:00", "0.5", "h", "81"]
    assert "  coindesk: set CRYPTOVOL_CRYPTOCOMPARE_KEY" in lines
