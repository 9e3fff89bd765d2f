"""An evaluation as one page to look at: charts and tables in a single HTML file that asks no other host for anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from cryptovol.page import charts, grids
from cryptovol.page.style import SCRIPT, STYLE
from cryptovol.page.texts import day, name, number, percent

Body = Mapping[str, Any]
OUTCOMES = {
    "better": "✓ The model wins", "worse": "✕ The model loses", "undecided": "≈ No winner", "alone": "Nothing to beat",
}  # fmt: skip
# No other host can be asked for anything: the browser itself forbids it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


def render(body: Body, *, title: str) -> str:
    """Return the evaluation as an HTML page of some 5 MB, most of it the plotly.js that draws.

    Parameters
    ----------
    body
        See `evaluation.evaluate`. It may hold ``importance`` (list of ``feature, family, share``), ``learning_curve``
        (list of ``hours, qlike_seen, qlike_unseen``) and ``run`` (facts, nested as they like).
    title
        Of the page; escaped here, like every text of the body.
    """
    from plotly.offline import get_plotlyjs

    against = "har" if "har" in body["scores"] else body["verdict"]["against"]
    figures = _figures(body, against)
    drawn = json.dumps([chart for chart, _ in figures.values()], allow_nan=False).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="color-scheme" content="light dark">
<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>
<h1>{escape(title)}</h1><small>{_extent(body)}</small>
{_verdict(body, against)}{_numbers(body)}
<h2>Scores against the baselines, on the same hours</h2>{grids.scores(body)}{_how_to_read(body)}
<noscript><p>The charts need JavaScript; every number is in the tables.</p></noscript>
{_sections(body, against, {key: html for key, (_, html) in figures.items()})}
</main><script type="application/json" id="charts">{drawn}</script><script>{get_plotlyjs()}</script>
<script>{SCRIPT}</script></body></html>
"""


def _extent(body: Body) -> str:
    days = f"{day(body['first'])} to {day(body['last'])}"
    return f"{body['rows']:,} hourly forecasts, {body['horizon_hours']} hours ahead, {days}"


def _verdict(body: Body, against: str | None) -> str:
    found = body["verdict"]
    losses = f"<p>{_losses(body, against)}</p>" if against else ""
    return (
        f'<section class="verdict {escape(found["outcome"])}"><strong>{OUTCOMES[found["outcome"]]}</strong>'
        f"<p>{escape(found['sentence'])}</p>{losses}</section>"
    )


def _losses(body: Body, against: str) -> str:
    """Return in how many months, regimes and hours the model's QLIKE is above the other's, and its worst month."""
    parts = []
    for key, what in (("by_month", "months"), ("by_regime", "regimes"), ("by_hour", "hours of the day")):
        pairs = [(each["qlike"].get("model"), each["qlike"].get(against)) for each in body[key]]
        both = [(own, other) for own, other in pairs if own is not None and other is not None]
        if both:
            parts.append(f"{sum(own > other for own, other in both)} of {len(both)} {what}")
    worst = max(body["by_month"], key=lambda each: each["qlike"]["model"] - each["qlike"][against])
    own, other = worst["qlike"]["model"], worst["qlike"][against]
    month = f"; its worst month is {escape(worst['month'])}, {own:.4f} against {other:.4f}" if own > other else ""
    return f"It does worse than {name(against)} in {', '.join(parts)}{month}."


def _numbers(body: Body) -> str:
    own, level = body["scores"]["model"], body["level"]
    cells = {"QLIKE": number(own["qlike"], ".4f"), "R²": number(own["r2"], ".3f"), "Bias": number(own["bias"], ".3f")}
    key = "" if level is None else f"{level:g}"
    if key in body["coverage"]:
        cells[f"{percent(level, 0)} interval held"] = percent(body["coverage"][key])
        worst = body["worst_30d"][key]
        if worst:
            when = f"<small>from {day(worst['first'])} on</small>"
            cells["in its worst 30 days"] = percent(worst["coverage"]) + when
    line = body["calibration"]["mincer_zarnowitz"]
    if line:
        cells["Mincer–Zarnowitz slope"] = number(line["slope"], ".3f")
    return f'<dl class="numbers">{"".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in cells.items())}</dl>'


def _how_to_read(body: Body) -> str:
    left_out = ", ".join(f"{escape(reason.replace('_', ' '))} {count:,}" for reason, count in body["left_out"].items())
    return (
        '<p class="note"><i class="dot">●</i> is the best of its column. QLIKE, RMSE and MAE: smaller is better. R² is '
        "measured against the mean known when each forecast was made. Bias is mean forecast over mean realized. The "
        "test is Diebold and Mariano’s with a variance that allows for overlapping hours; a winner is named where p is "
        "below 0.05.</p>"
        f'<p class="note">Left out: {left_out or "no forecast"}.</p>'
    )


def _figure(chart: charts.Chart, heading: str, told: str, more: str = "") -> tuple[charts.Chart, str]:
    """Return the chart and its place in the page."""
    place = f'<div class="chart" id="{chart["id"]}" role="img" aria-label="{escape(heading)}"></div>'
    html = f"<figure><h2>{escape(heading)}</h2><figcaption>{told}</figcaption>{place}{more}</figure>"
    return chart, html


def _details(summary: str, html: str) -> str:
    return f"<details><summary>{summary}</summary>{html}</details>"


def _figures(body: Body, against: str | None) -> dict[str, tuple[charts.Chart, str]]:
    """Return the charts that there are numbers for, in the page's order."""
    line = body["calibration"]["mincer_zarnowitz"]
    slope = (
        f" Slope on logs {number(line['slope'], '.3f')}, intercept {number(line['intercept'], '.3f')}." if line else ""
    )
    found = {"forecasts": _figure(
        charts.forecasts(body), "Forecast against realized", "One forecast a day. Drag to zoom, double-click to go back; "
        "a click on a name in the key hides or shows it.",
    )}  # fmt: skip
    found["calibration"] = _figure(
        charts.calibration(body), "Calibration", f"Is a forecast of x followed by x? On the dotted line it is.{slope}"
    )
    if body["coverage_over_time"]["time"]:
        found["coverage"] = _figure(
            charts.coverage(body),
            "Interval over time",
            "Share of the last 720 hours inside; dashed is what was promised.",
        )
    found["by_hour"] = _figure(
        charts.by_hour(body), "Error by hour of the day", "QLIKE by the hour in which the forecast was made.",
        _details("by hour, in numbers", grids.hours(body)),
    )  # fmt: skip
    found["by_regime"] = _figure(
        charts.by_regime(body), "Error by regime", "QLIKE by fifth of the model’s own forecast, which is known beforehand.",
        _details("by regime, in numbers", grids.regimes(body, against)),
    )  # fmt: skip
    return found | _more_figures(body, against)


def _more_figures(body: Body, against: str | None) -> dict[str, tuple[charts.Chart, str]]:
    found = {}
    if against:
        found["by_month"] = _figure(
            charts.by_month(body, against), "Month by month",
            f"The model’s QLIKE against {name(against)}’s: below zero it wins, above it loses.",
            _details("by month, in numbers", grids.months(body, against)),
        )  # fmt: skip
    if body.get("importance"):
        found["importance"] = _figure(
            charts.importance(body), "What the forecast rests on", f"The {charts.TOP} features with the largest share."
        )
    if body.get("learning_curve"):
        found["learning_curve"] = _figure(
            charts.learning_curve(body), "Would more history help?",
            "QLIKE by length of history: far apart it learns by heart, close and high it is too simple.",
        )  # fmt: skip
    return found


def _sections(body: Body, against: str | None, figures: Mapping[str, str]) -> str:
    """Return everything below the scores: wide charts alone, the others two by two, and the facts of the run."""
    pairs = (("forecasts",), ("calibration", "coverage"), ("by_hour", "by_regime"), ("by_month",),
             ("importance", "learning_curve"))  # fmt: skip
    parts = []
    for keys in pairs:
        there = [figures[key] for key in keys if key in figures]
        parts.append(f'<div class="pair">{"".join(there)}</div>' if len(there) > 1 else "".join(there))
    if not against:
        parts.append("<h2>Month by month</h2>" + grids.months(body, None))
    if body.get("run"):
        parts.append("<h2>What was run</h2>" + grids.facts(body["run"]))
    return "\n".join(parts)
