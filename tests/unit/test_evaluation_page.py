"""The page of an evaluation: whole, safe, self-contained, and as plain about losses as about wins."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from cryptovol import page, tables
from cryptovol.evaluation import Scored, evaluate
from cryptovol.page import charts
from cryptovol.page.style import STYLE
from cryptovol.times import HOUR

N = 1600
START = 1_704_067_200
RNG = np.random.default_rng(8)
REALIZED = np.exp(0.4 * RNG.standard_normal(N)) * 0.005
NASTY = '</script><img src="http://evil.example/x" onerror=alert(1)>&"\''
VOID = {"meta", "br", "img"}


NOISE = RNG.standard_normal((5, N))


def body(*, model=1.05, noise=0.05, level=0.9, names=("har", "ewma", "persistence"), rows=N):
    """Return the evaluation of a forecast that is `model` times what came, but for some noise."""
    realized = REALIZED[:rows]
    beside = {name: realized * (1.3 + 0.2 * i) * np.exp(0.1 * NOISE[i, :rows]) for i, name in enumerate(names)}
    bounds = {} if level is None else {level: (realized * 0.5, realized * np.where(np.arange(rows) % 10, 2.0, 0.9))}
    own = realized * model * np.exp(noise * NOISE[4, :rows])
    time = START + HOUR * np.arange(rows, dtype=np.int64)
    return evaluate(Scored(time, realized, np.full(rows, 0.006), {"model": own, **beside}, bounds, 24))


def extended(found):
    """Return the body with all that a backtest adds."""
    importance = [
        {"feature": f"rv_{i}", "family": ("price", "volatility")[i % 2], "share": 1 / (i + 2)} for i in range(36)
    ]
    curve = [{"hours": 1000 * i, "qlike_seen": 0.2, "qlike_unseen": 0.4 - 0.01 * i} for i in range(1, 5)]
    run = {"bars_sha256": "ab" * 32, "params": {"train": {"seed": 7}}, "versions": ["a 1", "b 2"], "none": None}
    return {**found, "importance": importance, "learning_curve": curve, "run": run}


class Reader(HTMLParser):
    """Reads a page: its tags with attributes, its text, its scripts, and whether every tag is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        """Note that a tag ends: it must be the one opened last."""
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        """Collect the text, and apart from it the scripts."""
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif not self.open or self.open[-1] != "style":
            self.text += data

    def charts(self):
        """Return the charts that the page draws."""
        return json.loads(self.scripts[0])


def read(found, title="A page") -> Reader:
    """Return the page, read."""
    return Reader(page.render(found, title=title))


LEVELS = {"time": ["2024-02-01T00:00:00Z"], "levels": {"0.5": [0.4], "0.9": [0.8]}}
CASES = {
    "all there is": lambda: extended(body()),
    "a loser": lambda: body(model=2.5, noise=0.2),
    "no interval": lambda: body(level=None),
    "no baseline": lambda: body(names=()),
    "no HAR": lambda: body(names=("ewma",)),
    "one row": lambda: body(rows=1),
    "fewer hours than a month": lambda: body(rows=100),
    "several levels": lambda: body() | {"coverage_over_time": LEVELS},
    "read from a file": lambda: json.loads(tables.encode_json(extended(body()))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_page_is_whole_and_asks_no_one_for_anything(case: str) -> None:
    """Every tag is closed, nothing is loaded from anywhere, and the browser is told to forbid it."""
    found = read(CASES[case]())
    assert not found.open
    assert not {tag for tag, _ in found.tags} & {"link", "img", "a", "iframe", "form", "object", "base"}
    loads = [
        value for _, attributes in found.tags for key, value in attributes.items() if key in ("src", "href", "action")
    ]
    assert not loads and not re.search(r"url\(|@import", STYLE)
    values = " ".join(value or "" for _, attributes in found.tags for value in attributes.values())
    assert "http:" not in values and "//" not in values
    (policy,) = [a["content"] or "" for t, a in found.tags if t == "meta" and a.get("http-equiv")]
    assert "default-src 'none'" in policy and "http" not in policy and "*" not in policy


@pytest.mark.parametrize("case", CASES)
def test_every_chart_has_its_place_and_is_one_that_plotly_knows(case: str) -> None:
    """No chart is drawn into nothing, no place stays empty, and plotly accepts every property of every chart."""
    from plotly.graph_objects import Figure

    found = read(CASES[case]())
    places = [attributes["id"] for _, attributes in found.tags if attributes.get("class") == "chart"]
    assert [chart["id"] for chart in found.charts()] and {chart["id"] for chart in found.charts()} == set(places)
    assert len(places) == len(set(places))
    for chart in found.charts():
        plain = json.loads(
            re.sub(r'"\$[a-z]+"', '"#123456"', json.dumps({"data": chart["data"], "layout": chart["layout"]}))
        )
        assert Figure(plain).to_dict()["data"] is not None


def test_every_colour_is_in_the_style_sheet_for_light_and_for_dark() -> None:
    """A colour that a chart names is defined twice."""
    dark = STYLE[STYLE.index("prefers-color-scheme:dark") :]
    named = set(re.findall(r'"\$([a-z]+)"', read(extended(body())).scripts[0]))
    assert {"model", "har", "realized", "band", "ink"} <= named
    assert not [name for name in named if f"--{name}:" not in dark or STYLE.count(f"--{name}:") != 2]


def test_page_begins_with_the_verdict_and_has_every_score() -> None:
    """The sentence, the losses in numbers, and each model's row with the best of each column marked."""
    made = body()
    found = read(made, title="Backtest of BTC/USD")
    assert found.text.index("✓ The model wins") < found.text.index("Scores against")
    assert made["verdict"]["sentence"] in found.text and "It does worse than HAR in 0 of 3 months" in found.text
    assert found.text.count("Backtest of BTC/USD") == 2
    for model, errors in made["scores"].items():
        assert f"{errors['qlike']:.4f}" in found.text, model
    assert sum(attributes.get("class") == "best" for _, attributes in found.tags) == 6
    assert found.text.count("✓ model better") == 6 and "✕" not in found.text


def test_a_loss_is_shown_as_plainly_as_a_win() -> None:
    """A model that is worse than HAR loses in the verdict, the tests, the table and every part."""
    made = body(model=2.5, noise=0.2)
    found = read(made)
    assert "✕ The model loses" in found.text and "The model loses to HAR" in found.text
    assert found.text.count("✕ model worse") == 6 and "✓" not in found.text
    assert "It does worse than HAR in 3 of 3 months, 5 of 5 regimes, 24 of 24 hours of the day" in found.text
    own = next(i for i, (_, attributes) in enumerate(found.tags) if attributes.get("class") == "own")
    assert not [a for _, a in found.tags[own : own + 14] if a.get("class") == "best"]
    share = f"model +{100 * (made['scores']['model']['rmse'] / made['scores']['har']['rmse'] - 1):.1f} %"
    assert share in found.text
    bars = next(chart for chart in found.charts() if chart["id"] == "by-month")["data"]
    assert [len(trace["x"]) for trace in bars] == [0, 3] and bars[1]["name"] == "worse than HAR"


def test_a_tie_has_no_winner() -> None:
    """Where the test does not tell them apart, the page does not either."""
    found = read(body(model=1.3, noise=0.1))
    assert "≈ No winner" in found.text and "≈ not told apart" in found.text


def test_what_comes_from_outside_is_escaped() -> None:
    """Title, facts, features, families and names of baselines cannot become tags, handlers or ends of scripts."""
    made = extended(body(names=(NASTY,)))
    made["importance"] = [{"feature": NASTY, "family": NASTY, "share": 0.5}]
    made["run"] = {NASTY: {NASTY: NASTY}}
    found = read(made, title=NASTY)
    assert "img" not in {tag for tag, _ in found.tags} and not found.open
    assert not [a for _, a in found.tags if "onerror" in a]
    assert found.text.count(NASTY) >= 4
    assert sum(tag == "script" for tag, _ in found.tags) == 3
    drawn = next(chart for chart in found.charts() if chart["id"] == "importance")["data"][0]
    assert "<" not in drawn["name"] + drawn["y"][0]


def test_charts_hold_the_numbers_of_the_body() -> None:
    """In percent per hour: forecast, realized and interval; coverage with its nominal line; a win is below zero."""
    made = extended(body())
    drawn = {chart["id"]: chart["data"] for chart in read(made).charts()}
    by_name = {trace["name"]: trace for trace in drawn["forecasts"]}
    assert by_name["Model"]["y"] == pytest.approx([100 * v for v in made["series"]["model"]], rel=1e-4)
    assert by_name["90 % interval"]["fill"] == "tonexty" and len(by_name["90 % interval"]["y"]) == len(
        made["series"]["time"]
    )
    assert drawn["coverage"][1]["y"] == [90.0, 90.0]
    expected = [100 * (m["qlike"]["model"] / m["qlike"]["har"] - 1) for m in made["by_month"]]
    assert drawn["by-month"][0]["y"] == pytest.approx(expected, rel=1e-3) and max(expected) < 0
    shown = [name for trace in drawn["importance"] for name in trace["y"]]
    assert len(shown) == charts.TOP and "rv_0" in shown and "rv_35" not in shown
    assert drawn["learning-curve"][1]["y"] == [each["qlike_unseen"] for each in made["learning_curve"]]


def test_a_perfect_baseline_divides_nothing_by_zero() -> None:
    """Against a QLIKE of zero there is no share, and the page says so without a number."""
    made = body(names=("har",))
    made["scores"]["har"]["qlike"] = 0.0
    made["by_month"][0]["qlike"]["har"] = 0.0
    found = read(made)
    assert "model higher" in found.text and not found.open


def test_facts_of_the_run_are_listed_flat() -> None:
    """Nested facts stand under dotted names, lists on one line."""
    text = read(extended(body())).text
    assert "params.train.seed7" in text and "versionsa 1, b 2" in text and "ab" * 32 in text
