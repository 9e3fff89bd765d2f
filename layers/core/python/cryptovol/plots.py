"""Pictures of a training run as SVG, drawn with pygal: no browser script, no outside host."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from cryptovol.bundle import Bundle
from cryptovol.times import HOUR

POINTS = 360  # per line: more is slower to draw and no clearer


def _chart(kind: str, title: str, **options: Any) -> Any:
    import pygal

    return getattr(pygal, kind)(
        title=title, js=[], width=1000, height=420, show_dots=False, legend_at_bottom=True, **options
    )


def training(bundle: Bundle) -> dict[str, bytes]:
    """Return file names and SVGs: forecast against realized, QLIKE by model, and the ridge's weights."""
    return {
        "forecast.svg": _forecast(bundle),
        "qlike.svg": _qlike(bundle),
        "weights.svg": _weights(bundle),
    }


def _forecast(bundle: Bundle) -> bytes:
    window = bundle.window
    every = max(len(window["time"]) // POINTS, 1)
    at = slice(None, None, every)
    stamps = [datetime.fromtimestamp(int(t) + HOUR, UTC).strftime("%Y-%m-%d") for t in window["time"][at]]
    title = f"{bundle.header['name']}: volatility of the next {bundle.horizon} h, % per hour, out of sample"
    chart = _chart("Line", title, x_labels_major_every=60, show_minor_x_labels=False)
    chart.x_labels = stamps
    for label, name in (("realized", "realized"), ("forecast", "predicted"), ("HAR", "har")):
        chart.add(label, [round(100 * float(v), 4) for v in window[name][at]])
    return bytes(chart.render())


def _qlike(bundle: Bundle) -> bytes:
    chart = _chart("HorizontalBar", f"{bundle.header['name']}: QLIKE on the same hours, lower is better")
    for name, errors in [("model", bundle.scores["model"]), *bundle.scores["baselines"].items()]:
        chart.add(name, round(errors["qlike"], 4))
    return bytes(chart.render())


def _weights(bundle: Bundle) -> bytes:
    names, weights = bundle.header["spec"]["names"], bundle.model.weights
    order = np.argsort(np.abs(weights))[-15:]
    chart = _chart("HorizontalBar", f"{bundle.header['name']}: the 15 largest ridge weights", show_legend=False)
    chart.x_labels = [names[j] for j in order]
    chart.add("weight", [round(float(weights[j]), 4) for j in order])
    return bytes(chart.render())
