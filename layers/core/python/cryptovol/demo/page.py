"""The demo's evidence as one HTML page: timeline, pictures, numbers, and what in it is real and what is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from cryptovol.demo.story import Event
from cryptovol.page import POLICY, charts
from cryptovol.page.style import SCRIPT, STYLE
from cryptovol.page.texts import number

Body = Mapping[str, Any]
REAL = (
    "The sidecar and Prometheus are processes of their own; the alert is the one of monitoring/prometheus/rules/alerts.yml, "
    "with an hour compressed into four seconds. What is told of Prometheus is what its API answered.",
    "Detector, watch, tuning, training, gate, ledger and their limits are those that ship. Forecasts, scoreboards, decision "
    "and ledger lie in the folder beside this page.",
)
NOT_REAL = (
    "The market is simulated, and its change is planted. The clock jumps from look to look; every part has the same clock.",
    "The functions are called in this process in the DAGs' order, not by Airflow on Lambda; objects lie in a folder. One "
    "horizon is trained, the search has 8 trials and not 50, and a model may serve for 30 days and not 7.",
    "The six-hourly pipeline rests until the alert: each of its champions would bring the newest hours into the reference that "
    "drift is judged against. Alerts that compare with the wall clock are left out, for the market's time is made up.",
    "That the watch is asked right after the alert, and that a change was planted, is arranged. What the detector sees and when, "
    "and what the gate decides, is not.",
)


def render(body: Body) -> str:
    """Return the page; `body` is what `demo.drift` has found, see `_Drift.play` there."""
    from plotly.offline import get_plotlyjs

    drawn = json.dumps([_ratio(body), _forecasts(body)], allow_nan=False).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="color-scheme" content="light dark">
<title>Drift, alert, retraining, gate</title><style>{STYLE}</style></head><body><main>
<h1>Drift, alert, retraining, gate</h1><small>{escape(_extent(body))}</small>
{_verdict(body)}{_numbers(body)}
{_figure("ratio", "Drift as Prometheus has it", "Share of the 36 features that drifted, by second of wall time; shaded while "
    "the alert fires, dotted the limit. Times and values are Prometheus' own.")}
{_figure("forecasts", "Before and after, on hours that neither model has seen", "Forecasts by the old and the new champion "
    "for the 24 hours from each hour on, and what came.")}
<h2>What happened</h2>{_timeline(body["events"])}
<h2>What is real here</h2>{_list(REAL)}<h2>What is not</h2>{_list(NOT_REAL)}
<noscript><p>The charts need JavaScript; the numbers are in the timeline.</p></noscript>
</main><script type="application/json" id="charts">{drawn}</script><script>{get_plotlyjs()}</script>
<script>{SCRIPT}</script></body></html>
"""


def _extent(body: Body) -> str:
    first, last = body["events"][0], body["events"][-1]
    return f"{last.seconds:.0f} seconds of wall time, {first.market} to {last.market} of the market's"


def _verdict(body: Body) -> str:
    entry = body["entry"]
    told = "The alert cleared" if body["cleared"] else "The alert goes on: a person has to look"
    head = f"{entry['decision'].capitalize()} ({entry['outcome']}). {told}."
    kind = "better" if body["cleared"] else "worse"
    reason = f"{body['decision']['reason']}. Ledger entry {entry['entry']}: {entry['reason']}."
    return f'<section class="verdict {kind}"><strong>{escape(head)}</strong><p>{escape(reason)}</p></section>'


def _numbers(body: Body) -> str:
    before, after = (body["forecasts"][name]["volatility"] for name in ("before", "after"))
    loss = body["compared"]["qlike"]
    ratios = [value for _, value in body["ratio"]]
    cells = {
        "largest drift ratio": number(max(ratios), ".3f"), "drift ratio at the end": number(body["last_ratio"], ".3f"),
        "forecast before, per hour": number(100 * before, ".3f") + " %",
        "forecast after, per hour": number(100 * after, ".3f") + " %",
        "QLIKE of the old champion, later hours": number(loss["old"], ".4f"),
        "QLIKE of the new one, same hours": number(loss["new"], ".4f"),
    }  # fmt: skip
    return f'<dl class="numbers">{"".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in cells.items())}</dl>'


def _figure(key: str, heading: str, told: str) -> str:
    place = f'<div class="chart" id="{key}" role="img" aria-label="{escape(heading)}"></div>'
    return f"<figure><h2>{escape(heading)}</h2><figcaption>{escape(told)}</figcaption>{place}</figure>"


def _ratio(body: Body) -> charts.Chart:
    """Return the chart of the ratio over wall time, with the alert's seconds shaded."""
    seconds = [round(at - body["began"], 1) for at, _ in body["ratio"]]
    line = {
        "type": "scatter", "mode": "lines", "line": {"color": "$model", "width": 2, "shape": "hv"}, "name": "data_drift_ratio",
        "x": seconds, "y": [round(value, 4) for _, value in body["ratio"]],
    }  # fmt: skip
    fired = [round(at - body["began"], 1) for at, _ in body["firing"]]
    shade = {
        "type": "rect",
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "fillcolor": "$loss",
        "opacity": 0.15,
        "line": {"width": 0},
    }
    limit = {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": body["limit"], "y1": body["limit"],
        "line": {"color": "$soft", "dash": "dot", "width": 1.2},
    }  # fmt: skip
    shapes = [limit] + ([{**shade, "x0": fired[0], "x1": fired[-1]}] if fired else [])
    axis = {"title": charts.title("seconds of wall time since the start")}
    return charts.chart(
        "ratio", [line], x=axis, y={"title": charts.title("drift ratio"), "rangemode": "tozero"}, shapes=shapes
    )


def _forecasts(body: Body) -> charts.Chart:
    """Return the chart of both champions' forecasts and what came."""
    found = body["compared"]
    told = (("old", "champion before", "$har", "dash"), ("new", "champion after", "$model", "solid"))
    lines = [
        {
            "type": "scatter", "mode": "lines", "name": name, "x": found["time"],
            "y": [float(f"{100 * value:.5g}") for value in found[key]], "line": {"color": colour, "width": 1.8, "dash": dash},
        }
        for key, name, colour, dash in (("realized", "realized", "$realized", "solid"), *told)
    ]  # fmt: skip
    axis = {"title": charts.title("volatility, % per hour"), "rangemode": "tozero", "hoverformat": ".3f"}
    return charts.chart("forecasts", lines, x={"type": "date"}, y=axis)


def _timeline(events: Sequence[Event]) -> str:
    rows = "".join(
        f"<tr><td>{event.seconds:.1f} s</td><td>{escape(event.market)}</td><td>{escape(event.source)}</td>"
        f'<td style="text-align:left;white-space:normal">{escape(event.title)}{_evidence(event)}</td></tr>'
        for event in events
    )
    head = "<tr><th>wall</th><th>market</th><th>told by</th><th style='text-align:left'>what</th></tr>"
    return f'<div class="scroll"><table class="timeline"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _evidence(event: Event) -> str:
    if not event.evidence:
        return ""
    text = escape(json.dumps(event.evidence, indent=1, sort_keys=True))
    return f"<details><summary>as told</summary><pre>{text}</pre></details>"


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"
