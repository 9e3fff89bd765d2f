"""The dashboards: generated, within the metric contract, and with something to show in every panel."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from cryptovol.sidecar.state import EXPOSED
from monitoring.grafana import live
from monitoring.grafana.generate import FOLDER, generated

PROVISIONED = Path("monitoring/grafana/provisioning")
DASHBOARDS = {path.stem: json.loads(text) for path, text in generated().items()}
PANELS = [
    pytest.param(name, panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
]
PARTS = "_bucket", "_sum", "_count"
FROM_PROMETHEUS = {"ALERTS"}  # made by Prometheus, not by the sidecar
WORDS = {"offset", "or", "sum", "by", "vector", "time", "topk", "max", "min"}  # of PromQL


def metrics(expr: str) -> set[str]:
    """Return the metric names in an expression, histogram parts taken off; what is not a name is left out."""
    bare = re.sub(r'"[^"]*"|\bby \([^)]*\)|\[[^]]*\]', "", expr)
    found = {word for word in re.findall(r"(?<![$\w])[a-zA-Z_]\w*(?=[\s{)]|$)", re.sub(r"{[^}]*}", "", bare))}
    words = found - WORDS
    return {next((word.removesuffix(p) for p in PARTS if word.endswith(p)), word) for word in words}


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """Return every expression of a dashboard: panels, annotations and selectors."""
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    events = [event["expr"] for event in dashboard["annotations"]["list"]]
    asked = [re.sub(r"label_values\((\w+), \w+\)", r"\1", s["query"]) for s in dashboard["templating"]["list"]]
    return [*targets, *events, *asked]


@dataclass(frozen=True)
class Filled:
    """A Prometheus with two hours of history up to `end`."""

    url: str
    end: int

    def ask(self, name: str, expr: str) -> list[dict[str, Any]]:
        """Return the series of one dashboard's expression over the last hour."""
        asked = live.substituted(expr, DASHBOARDS[name])
        assert "$" not in asked
        return live.answered(self.url, asked, start=self.end - live.RANGE, end=self.end)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Give a real Prometheus over the invented history."""
    if why := live.absent():
        pytest.skip(why)
    end = int(time.time()) // 10 * 10
    with live.prometheus(tmp_path_factory.mktemp("prometheus"), end) as url:
        yield Filled(url, end)


def test_committed_dashboards_are_the_generated_ones() -> None:
    """What Grafana reads is what the generator writes, and nothing else lies beside it; cure: `make dashboards`."""
    committed = {path: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert committed == generated()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_have_no_key_that_grafanas_types_lack(name: str) -> None:
    """Read into the SDK's types and written again, a dashboard is the same: unknown keys would be gone."""
    again = json.loads(json.dumps(Dashboard.from_json(DASHBOARDS[name]), cls=JSONEncoder))
    assert again == DASHBOARDS[name]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_name_only_metrics_of_the_contract(name: str) -> None:
    """Every metric in a panel, an annotation or a selector is one that the sidecar can expose."""
    named = set().union(*map(metrics, expressions(DASHBOARDS[name])))
    assert named
    assert sorted(named - set(EXPOSED) - FROM_PROMETHEUS) == []


def test_dashboards_show_the_whole_contract() -> None:
    """No metric that we keep is missing from all three pages."""
    shown = set().union(*(metrics(expr) for dashboard in DASHBOARDS.values() for expr in expressions(dashboard)))
    assert sorted(set(EXPOSED) - shown) == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap_and_ids_are_unique(name: str) -> None:
    """Each panel has its own place inside the 24 columns, and an id that a link can name."""
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"].get("x", 0) + panel["gridPos"]["w"] <= 24
    for left, right in combinations([panel["gridPos"] for panel in panels], 2):
        beside = left.get("x", 0) + left["w"] <= right.get("x", 0) or right.get("x", 0) + right["w"] <= left.get("x", 0)
        above = left.get("y", 0) + left["h"] <= right.get("y", 0) or right.get("y", 0) + right["h"] <= left.get("y", 0)
        assert beside or above


def test_everything_asks_a_provisioned_datasource() -> None:
    """The uid in panels, targets, annotations and selectors is one that Grafana is given; dashboard uids differ."""
    given = yaml.safe_load((PROVISIONED / "datasources/prometheus.yaml").read_text(encoding="utf-8"))
    known = {source["uid"] for source in given["datasources"] if source["type"] == "prometheus"}
    for dashboard in DASHBOARDS.values():
        holders = [*dashboard["panels"], *dashboard["annotations"]["list"], *dashboard["templating"]["list"]]
        holders += [target for panel in dashboard["panels"] for target in panel["targets"]]
        assert {holder["datasource"]["uid"] for holder in holders} <= known
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_units_are_the_contracts(name: str, panel: dict[str, Any]) -> None:
    """A panel of one metric in seconds is in seconds, and no other is; rates and shares are named as such."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    assert _expected(panel["targets"][0]["expr"]) in (unit, None), panel["title"]


def _expected(expr: str) -> str | None:
    """Return the unit that an expression must have by its form, or None where its form does not tell."""
    kinds = {EXPOSED[name].unit for name in metrics(expr) if name in EXPOSED}
    if "histogram_quantile" in expr or expr.startswith(("time()", "max(time()")):
        return "s" if kinds == {"Seconds"} else None
    if "/" in re.sub(r'"[^"]*"', "", expr) or "_sum" in expr:
        return None
    if "rate(" in expr:
        return "reqps" if "http_requests_total" in expr else "cps"
    return "s" if kinds == {"Seconds"} else None


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_panels_are_not_empty_and_their_legends_are_whole(name: str, panel: dict[str, Any], filled: Filled) -> None:
    """Each query gives a number on a real Prometheus, and each label its legend names is in every series."""
    for target in panel["targets"]:
        series = filled.ask(name, target["expr"])
        wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert series and all(wanted <= set(one["metric"]) for one in series), target["expr"]
        for one in series:
            assert any(math.isfinite(float(value)) for _, value in one["values"]), (target["expr"], one["metric"])
        names = [live.named(target["legendFormat"], one["metric"]) for one in series]
        assert len(set(names)) == len(names), f"two lines of one name: {names}"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_annotations_can_be_asked(name: str, filled: Filled) -> None:
    """Prometheus understands each annotation's expression; a champion changed in the history is found."""
    for event in DASHBOARDS[name]["annotations"]["list"]:
        found = filled.ask(name, event["expr"])
        assert found or event["name"] == "Alerts"
