"""Words for a dashboard: lines, a number, bars, a row. Grafana's typed builders, with the defaults we always correct.

The builders leave legends off and panel ids unset; here legends are on and ids count up, so that a link from an alert
finds its panel. Units are Grafana's names for the contract's units (`cryptovol.metrics`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import bargauge, common, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model

SECONDS, SHARE, PER_SECOND, PLAIN, BYTES = "s", "percentunit", "reqps", "short", "bytes"
USD, EVENTS_PER_SECOND = "currencyUSD", "cps"
SOURCE = shapes.DataSourceRef(type_val="prometheus", uid="prometheus")  # provisioning/datasources/prometheus.yaml
WIDTH = 24  # of Grafana's grid


@dataclass(frozen=True)
class Query:
    """One PromQL expression and what its lines are called; ``{{label}}`` is filled in from each series."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One picture of a dashboard.

    Parameters
    ----------
    kind
        ``lines`` over time, one ``number``, or ``bars`` of newest values.
    width
        Of 24 columns.
    limit
        Where the alert's threshold is, drawn as a red line; None if there is none.
    low
        Whether values below `limit`, not above it, are the bad ones.
    """

    kind: Literal["lines", "number", "bars"]
    title: str
    unit: str
    queries: tuple[Query, ...]
    about: str
    width: int = 8
    limit: float | None = None
    low: bool = False


@dataclass(frozen=True)
class Page:
    """One dashboard.

    Parameters
    ----------
    since
        Where its time range starts when it is opened, in Grafana's words.
    panels
        They fill the grid from left to right, row by row.
    selectors
        Drop-down lists: a label → a metric that has it.
    events
        Annotations: a name → what is drawn on every panel where the expression has a value.
    """

    uid: str
    title: str
    about: str
    since: str
    panels: Sequence[Panel]
    selectors: dict[str, str]
    events: dict[str, Query]


def gained(metric: str, by: str, match: str = "") -> str:
    """Return PromQL for what a counter gained over the range the page shows, per label in `by`.

    ``increase()`` sees nothing of a series' first sample, and a stage that runs four times a day begins with it. The
    sidecar's counters survive restarts, so the difference of two values is the count; a lost state file shows 0.
    """
    series = f"{metric}{match}"
    return f"sum by ({by}) (clamp_min({series} - ({series} offset $__range or {series} * 0), 0))"


def encode(page: Page) -> str:
    """Return the dashboard's JSON as it is committed: indented, keys sorted, a newline at the end."""
    return json.dumps(json.loads(json.dumps(_dashboard(page), cls=JSONEncoder)), indent=1, sort_keys=True) + "\n"


def _dashboard(page: Page) -> model.Dashboard:
    made = board.Dashboard(page.title).uid(page.uid).description(page.about).tags(["cryptovol"])
    made = (
        made.time(page.since, "now")
        .refresh("10s")
        .readonly()
        .timezone("utc")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
    )
    for label, metric in page.selectors.items():
        made = made.with_variable(_selector(label, metric))
    for name, query in page.events.items():
        made = made.annotation(_event(name, query))
    for number, (panel, place) in enumerate(zip(page.panels, _places(page.panels), strict=True), start=1):
        made = made.with_panel(_panel(panel).id(number).grid_pos(place))
    return made.build()


def _selector(label: str, metric: str) -> board.QueryVariable:
    everything = model.VariableOption(text="All", value="$__all", selected=True)
    return (
        board.QueryVariable(label)
        .label(label)
        .datasource(SOURCE)
        .query(f"label_values({metric}, {label})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def _event(name: str, query: Query) -> board.AnnotationQuery:
    event = board.AnnotationQuery().name(name).datasource(SOURCE).enable(True).hide(False).icon_color("purple")
    return (
        event.expr(query.expr).title_format(query.legend).step("60s")
    )  # a week is 10,080 steps; Prometheus gives up at 11,000


def _places(panels: Sequence[Panel]) -> list[model.GridPos]:
    places: list[model.GridPos] = []
    x = y = height = 0
    for panel in panels:
        tall = 4 if panel.kind == "number" else 8
        if x + panel.width > WIDTH:
            x, y, height = 0, y + height, 0
        places.append(model.GridPos(h=tall, w=panel.width, x=x, y=y))
        x, height = x + panel.width, max(height, tall)
    return places


def _panel(panel: Panel) -> Any:
    kinds = {"lines": _lines, "number": _number, "bars": _bars}
    made: Any = kinds[panel.kind]()  # the three builders share these methods and no type that has them
    made = made.title(panel.title).description(panel.about).datasource(SOURCE).unit(panel.unit)
    made = made.thresholds(_thresholds(panel)).targets([])
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        target = Dataquery().datasource(SOURCE).expr(query.expr).legend_format(query.legend).ref_id(letter)
        made = made.with_target(target.instant() if panel.kind == "bars" else target.range())
    if isinstance(made, timeseries.Panel) and panel.limit is not None:
        line = common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED)
        made = made.thresholds_style(line)
    return made


def _thresholds(panel: Panel) -> board.ThresholdsConfig:
    usual, beyond = ("red", "green") if panel.low else ("green", "red")
    steps = [model.Threshold(value=None, color=usual)]
    if panel.limit is not None:
        steps.append(model.Threshold(value=panel.limit, color=beyond))
    return board.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _lines() -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).display_mode(shapes.LegendDisplayMode.LIST)
    several = common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI)
    shown = legend.placement(shapes.LegendPlacement.BOTTOM)
    return timeseries.Panel().legend(shown).tooltip(several).line_width(1).fill_opacity(8)


def _number() -> stat.Panel:
    return stat.Panel().reduce_options(_newest()).graph_mode(shapes.BigValueGraphMode.AREA)


def _bars() -> bargauge.Panel:
    across = bargauge.Panel().orientation(shapes.VizOrientation.HORIZONTAL)
    return across.reduce_options(_newest()).display_mode(shapes.BarGaugeDisplayMode.BASIC).min(0)


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])
