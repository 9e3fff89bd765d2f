"""Pictures of a training run as SVG, drawn with pygal: no browser script, no outside host."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from cryptovol.bundle import Bundle
from cryptovol.times import HOUR

LABEL_EVERY = 60  # points: more labels would overlap
POINTS = 360  # per line: more is slower to draw and no clearer


def chart(kind: str, title: str, **options: Any) -> Any:
    """Return an empty pygal chart of a kind, for instance ``Line``, in the size and style all our pictures have."""
    import pygal

    return getattr(pygal, kind)(
        title=title, js=[], width=1000, height=420, explicit_size=True, no_prefix=True, truncate_label=-1,
        show_dots=False, legend_at_bottom=True, **options,
    )  # fmt: skip


def svg(chart: Any) -> bytes:
    """Return the drawing without pygal's comments, which carry the date: equal numbers, equal bytes."""
    return re.sub(rb"<!--.*?-->", b"", bytes(chart.render()), flags=re.DOTALL)


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
    times = [datetime.fromtimestamp(int(t) + HOUR, UTC) for t in window["time"][at]]
    title = f"{bundle.header['name']}: volatility of the next {bundle.horizon} h, % per hour, out of sample"
    drawn = chart("Line", title)
    drawn.x_labels = [f"{t:%Y-%m-%d}" if i % LABEL_EVERY == 0 else "" for i, t in enumerate(times)]
    for label, name in (("realized", "realized"), ("forecast", "predicted"), ("HAR", "har")):
        drawn.add(label, [round(100 * float(v), 4) for v in window[name][at]])
    return svg(drawn)


def _qlike(bundle: Bundle) -> bytes:
    drawn = chart("HorizontalBar", f"{bundle.header['name']}: QLIKE on the same hours, lower is better")
    for name, errors in [("model", bundle.scores["model"]), *bundle.scores["baselines"].items()]:
        drawn.add(name, round(errors["qlike"], 4))
    return svg(drawn)


def _weights(bundle: Bundle) -> bytes:
    names, weights = bundle.header["spec"]["names"], bundle.model.weights
    order = np.argsort(np.abs(weights))[-15:]
    drawn = chart("HorizontalBar", f"{bundle.header['name']}: the 15 largest ridge weights", show_legend=False)
    drawn.x_labels = [names[j] for j in order]
    drawn.add("weight", [round(float(weights[j]), 4) for j in order])
    return svg(drawn)
