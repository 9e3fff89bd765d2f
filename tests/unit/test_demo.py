"""The demo's parts that need no process: the planted market, the rules at another speed, the story, the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import cli
from cryptovol.demo import page, regime, rules, watchers
from cryptovol.demo.story import Event, Story
from cryptovol.errors import ConfigError, TransientError
from cryptovol.params import Params
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, parse_instant
from tests.gates import check

ALERTS = Path("monitoring/prometheus/rules/alerts.yml")


# ---------------------------------------------------------------- the planted market


@given(st.integers(1, 299))
def test_planted_change_leaves_what_was_before_it_bit_for_bit(at: int) -> None:
    """Bars that open before the change are the market's own, and prices go on without a jump."""
    bars = make_bars(300, seed=1)
    made = regime.choppy(bars, int(bars.time[at]))
    for name in ("open", "high", "low", "close", "volume_base"):
        np.testing.assert_array_equal(getattr(made, name)[:at], getattr(bars, name)[:at])
    assert made.open[at] == pytest.approx(bars.close[at - 1], rel=1e-4)
    assert (made.low <= np.minimum(made.open, made.close)).all() and (
        made.high >= np.maximum(made.open, made.close)
    ).all()


def test_planted_market_takes_its_moves_back_and_swings_wider() -> None:
    """After the change successive moves are against each other and hours reach further beyond open and close."""
    bars = make_bars(4000, seed=2)
    made = regime.choppy(bars, int(bars.time[2000]))
    moves = np.diff(np.log(made.close))
    before, after = (np.corrcoef(part[:-1], part[1:])[0, 1] for part in (moves[:1999], moves[2000:]))
    assert abs(before) < 0.15 and after < -0.4
    reach = np.log(made.high / np.maximum(made.open, made.close))
    own = np.log(bars.high / np.maximum(bars.open, bars.close))
    assert reach[2000:].mean() == pytest.approx(regime.SWING * own[2000:].mean(), rel=0.01)
    assert made.volume_base[2000:].sum() == pytest.approx(regime.TURNOVER * bars.volume_base[2000:].sum())


@pytest.mark.parametrize("at", [0, 10**12])
def test_change_outside_the_bars_changes_nothing(at: int) -> None:
    """Before the first bar there is nothing to go on from, and after the last nothing to change."""
    bars = make_bars(50)
    assert regime.choppy(bars, at) is bars


def test_planted_market_is_let_through_by_the_gate(params: Params) -> None:
    """The change is one that only drift can see: no rule of the gate refuses the bars."""
    start = parse_instant(params.market.start)
    market = replace(params.market, gap_share=0.0)
    bars = regime.path(market, "BTC", until=start + HOUR * 2400, change=start + HOUR * 1500)
    report = check(bars, as_of=start + HOUR * 2400)
    assert len(bars) == 2400 and not report.refused and report.clean.all()


# ---------------------------------------------------------------- the rules


def test_rules_are_the_projects_own_at_another_speed() -> None:
    """Expressions, labels and annotations are word for word those that ship; only the wait is shorter."""
    own = {r["alert"]: r for g in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for r in g["rules"]}
    (made,) = yaml.safe_load(rules.of_group(ALERTS, "model", 900.0))["groups"]
    found = {rule["alert"]: rule for rule in made["rules"]}
    assert "DataDrift" in found and not any("time()" in rule["expr"] for rule in found.values())
    assert found["DataDrift"].pop("for") == "4333ms"
    assert found["DataDrift"] == {name: value for name, value in own["DataDrift"].items() if name != "for"}


def test_compress_shortens_waits_and_leaves_names() -> None:
    """Windows, offsets and waits are shorter; a recorded name that ends in 5m is not touched."""
    text = "expr: a:rate5m + rate(b[1h]) offset 6h > 1\nfor: 65m"
    assert rules.compress(text) == "expr: a:rate5m + rate(b[1m]) offset 6m > 1\nfor: 65s"


def test_unknown_group_and_missing_file_are_named(tmp_path: Path) -> None:
    """The error says what there is, or where to run."""
    with pytest.raises(ConfigError, match="no group 'other'; it has service, model"):
        rules.of_group(ALERTS, "other", 60.0)
    with pytest.raises(ConfigError, match="run from the project folder"):
        rules.of_group(tmp_path / "none.yml", "model", 60.0)


# ---------------------------------------------------------------- story, waiting, page


def test_story_stamps_both_clocks_and_tells_as_it_goes() -> None:
    """Each event has wall seconds since the start and the market's instant, and is told once."""
    wall, told = iter([100.0, 103.25]), list[Event]()
    story = Story(lambda: next(wall), lambda: 0, told.append)
    story.add("ledger", "done", {"entry": 1})
    assert told == story.events == [Event(3.2, "1970-01-01T00:00:00Z", "ledger", "done", {"entry": 1})]


def test_until_gives_the_answer_or_says_what_did_not_happen() -> None:
    """The first true answer is returned; where none comes the reason is told."""
    answers = iter([None, 0, "yes"])
    assert watchers.until(lambda: next(answers), "no") == "yes"
    with pytest.raises(TransientError, match="the alert does not fire within 0 s"):
        watchers.until(lambda: None, "the alert does not fire", 0.0)


def test_without_prometheus_the_demo_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 and the command, before anything is written."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["demo", "drift", "--folder", str(tmp_path / "demo")]) == 2
    assert "apt-get install --no-install-recommends prometheus" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def body(**more: Any) -> dict[str, Any]:
    """Return what a page is made from."""
    told = {"volatility": 0.005}
    series = {"time": ["2024-01-01T00:00:00Z"], "realized": [0.005], "old": [0.006], "new": [0.0055]}
    return {
        "events": [Event(1.0, "2024-01-01T00:00:00Z", "ledger", "A <b>bold</b> title", {"reason": "</script>"})],
        "entry": {"entry": 2, "decision": "promoted", "outcome": "tie", "reason": "as good as the champion"},
        "decision": {"reason": "drift h24"}, "cleared": True, "forecasts": {"before": told, "after": told},
        "ratio": [(101.0, 0.0), (102.0, 0.19444)], "firing": [(102.0, 1.0), (103.0, 1.0)], "began": 100.0, "limit": 0.15,
        "last_ratio": 0.03, "compared": {**series, "qlike": {"old": 0.2, "new": 0.1}}, **more,
    }  # fmt: skip


def test_page_is_whole_and_escapes_what_it_tells() -> None:
    """Both charts have their data, the alert's seconds are shaded, and no text of the story is markup."""
    html = page.render(body())
    drawn = re.search(r'id="charts">(.*?)</script>', html)
    assert drawn is not None
    ratio, forecasts = json.loads(drawn[1])
    assert ratio["data"][0]["x"] == [1.0, 2.0] and ratio["data"][0]["y"] == [0.0, 0.1944]
    assert [(s["x0"], s["x1"]) for s in ratio["layout"]["shapes"] if s["type"] == "rect"] == [(2.0, 3.0)]
    assert [line["name"] for line in forecasts["data"]] == ["realized", "champion before", "champion after"]
    assert "A &lt;b&gt;bold" in html and "<b>bold" not in html and html.count("</script>") == 3
    assert "Promoted (tie). The alert cleared." in html and "0.194" in html and "0.030" in html


def test_page_of_a_refused_challenger_says_that_the_alert_goes_on() -> None:
    """Nothing is called a success that is none."""
    entry = {"entry": 2, "decision": "rejected", "outcome": "loss", "reason": "worse than the champion"}
    html = page.render(body(entry=entry, cleared=False, firing=[]))
    assert "Rejected (loss). The alert goes on" in html and 'class="verdict worse"' in html
