"""Draw the dashboards without Grafana: ``python -m monitoring.grafana.picture FOLDER`` writes one PNG of each.

Matplotlib draws what the committed JSON says, from the answers of a real Prometheus over the invented history. It shows
which panels there are and what they ask; it does not show that Grafana renders them.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from monitoring.grafana import live
from monitoring.grafana.generate import FOLDER

LABEL = "drawn by matplotlib from the dashboard's JSON and answers of Prometheus over invented history; not by Grafana"
INK, PAPER, GRID, LIMIT = "#ccccdc", "#181b1f", "#2c3235", "#f2495c"
UNITS = {
    "s": (1.0, "s"), "percentunit": (100.0, "%"), "reqps": (1.0, "req/s"), "cps": (1.0, "/s"), "bytes": (1e-3, "kB"),
    "currencyUSD": (1.0, "USD"), "short": (1.0, ""),
}  # fmt: skip
WIDTH_IN, ROW_IN = 14.0, 0.36  # of 24 columns, of one row of Grafana's grid
Line = tuple[str, list[float], list[float]]  # name, minutes before the end, values


def draw(dashboard: dict[str, Any], url: str, end: int) -> Figure:
    """Return a figure of a dashboard over the hour before `end`, as the Prometheus at `url` answers its queries."""
    rows = max(panel["gridPos"].get("y", 0) + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = Figure(figsize=(WIDTH_IN, (rows + 2) * ROW_IN), facecolor="#111217")
    figure.text(0.01, 1 - 0.7 / (rows + 2), dashboard["title"], color=INK, size=13, weight="bold", va="center")
    figure.text(0.99, 1 - 0.7 / (rows + 2), LABEL, color=INK, size=7.5, ha="right", va="center")
    for panel in dashboard["panels"]:
        _panel(_axes(figure, panel["gridPos"], rows + 2), panel, _lines(panel, dashboard, url, end))
    return figure


def _axes(figure: Figure, place: dict[str, int], rows: int) -> Axes:
    left, top = (place.get("x", 0) + 1.0) / 24, (place.get("y", 0) + 2.4) / rows
    width, height = (place["w"] - 1.3) / 24, (place["h"] - 2.3) / rows
    axes = figure.add_axes((left, 1 - top - height, width, height), facecolor=PAPER)
    axes.tick_params(colors=INK, labelsize=6, length=0)
    axes.grid(color=GRID, linewidth=0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _lines(panel: dict[str, Any], dashboard: dict[str, Any], url: str, end: int) -> list[Line]:
    found: list[Line] = []
    scale = UNITS[panel["fieldConfig"]["defaults"]["unit"]][0]
    for target in panel["targets"]:
        asked = live.substituted(target["expr"], dashboard)
        for series in live.answered(url, asked, start=end - live.RANGE, end=end):
            times = [(float(stamp) - end) / 60 for stamp, _ in series["values"]]
            values = [float(value) * scale for _, value in series["values"]]
            found.append((live.named(target["legendFormat"], series["metric"]), times, values))
    return found


def _panel(axes: Axes, panel: dict[str, Any], lines: list[Line]) -> None:
    scale, unit = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
    limits = [
        step["value"] * scale for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"] if step["value"]
    ]
    axes.set_title(f"{panel['title']}{f'  [{unit}]' if unit else ''}", color=INK, size=8, loc="left", pad=3)
    kinds = {"timeseries": _over_time, "stat": _number, "bargauge": _bars}
    kinds[panel["type"]](axes, lines, limits)


def _over_time(axes: Axes, lines: list[Line], limits: list[float]) -> None:
    for name, times, values in lines:
        axes.plot(times, values, linewidth=0.9, label=name)
    for limit in limits:
        axes.axhline(limit, color=LIMIT, linewidth=0.8, linestyle="--")
    axes.legend(
        fontsize=5, labelspacing=0.2, frameon=False, labelcolor=INK, loc="upper center", bbox_to_anchor=(0.5, -0.09),
        ncols=2 if sum(len(name) for name, _, _ in lines) > 80 else 4,
    )  # fmt: skip
    axes.margins(x=0)


def _number(axes: Axes, lines: list[Line], limits: list[float]) -> None:
    (_, times, values), *_ = lines
    axes.fill_between(times, values, min(values) - 1e-9, color="#73bf69", alpha=0.25, linewidth=0)
    axes.text(0.5, 0.5, f"{values[-1]:,.4g}", transform=axes.transAxes, size=15, color=INK, ha="center", va="center")
    axes.set_axis_off()


def _bars(axes: Axes, lines: list[Line], limits: list[float]) -> None:
    names, newest = [name for name, _, _ in lines], [values[-1] for _, _, values in lines]
    axes.barh(names, newest, color="#37872d", height=0.6)
    axes.grid(visible=False)
    axes.set_yticks(range(len(names)), [])
    for place, (name, value) in enumerate(zip(names, newest, strict=True)):
        axes.text(
            0.01,
            place,
            f"{name}  {value:,.4g}",
            transform=axes.get_yaxis_transform(),
            size=6,
            color="white",
            va="center",
        )


def _save(figure: Figure, path: Path) -> None:
    """Write a PNG of 64 colours: a third of the bytes, and no difference to see."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90)
    Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)


def main(folder: Path) -> None:
    """Write ``grafana-<name>.png`` of every committed dashboard into `folder`."""
    matplotlib.use("agg")
    end = int(datetime.now(UTC).timestamp()) // 10 * 10
    with tempfile.TemporaryDirectory() as work, live.prometheus(Path(work), end) as url:
        for path in sorted(FOLDER.glob("*.json")):
            figure = draw(json.loads(path.read_text(encoding="utf-8")), url, end)
            _save(figure, folder / f"grafana-{path.stem}.png")
            print(f"drew grafana-{path.stem}.png")


if __name__ == "__main__":
    if why := live.absent():
        sys.exit(why)
    main(Path(sys.argv[1]))
