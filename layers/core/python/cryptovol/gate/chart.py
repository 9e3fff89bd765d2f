"""The picture in the gate's report: close and volume over time as SVG, with the rows that the rules found.

Colours come from the page's style sheet, so that it can be read on a light and on a dark ground.
"""

from __future__ import annotations

from html import escape

import numpy as np

from cryptovol.bars import Bars, Floats, Ints
from cryptovol.gate import GateReport
from cryptovol.gate.batch import instant, names_in
from cryptovol.times import HOUR

WIDTH, LEFT, RIGHT = 960, 62, 10
PRICE, STRIP, GAP, FOOT = 240, 70, 26, 24  # heights
TOP = 8
CUT = 150  # volumes of so many medians and more are drawn equally high
UNPLACED = ("foreign", "schema", "future")  # rows of these rules have no place on the time axis
DAY = 24 * HOUR


def figure(report: GateReport, bars: Bars) -> str:
    """Return the chart with its caption as HTML."""
    clean = bars.take(report.clean)
    if len(clean) < 2:
        return "<p>Too few clean bars to draw.</p>"
    placed = bars.time[~np.isin(report.rule_of, UNPLACED)] if not report.clean.all() else clean.time
    axis = _Axis(int(placed.min()), int(placed.max()))
    label = (
        f"Hourly close and volume of {report.symbol}/{report.quote} from {instant(axis.start)} to {instant(axis.end)}"
    )
    height = TOP + PRICE + GAP + STRIP + FOOT
    parts = [_dates(axis), _quarantined(report, bars, axis), _prices(clean, axis), _volumes(clean, axis)]
    parts += [_outlier_returns(report, bars, clean, axis), _outlier_volumes(report, bars, clean, axis)]
    text = _words(report)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="what found">'
        f'<title id="what">{escape(label)}</title><desc id="found">{escape(text)}</desc>{"".join(parts)}</svg>'
        f"<figcaption>{_legend(report)}</figcaption></figure>"
    )


class _Axis:
    """The time axis: unix seconds from `start` to `end`, and the clean rows of each pixel column."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.width = WIDTH - LEFT - RIGHT

    def x(self, time: Ints) -> Floats:
        share = (time - self.start) / max(1, self.end - self.start)
        return np.asarray(LEFT + np.clip(share, 0, 1) * self.width, dtype=np.float64)

    def columns(self, time: Ints) -> Ints:
        """Return the places in `time`, ascending, at which a new pixel column begins."""
        return np.flatnonzero(np.diff(self.x(time).astype(np.int64), prepend=-1)).astype(np.int64)


def _log_scale(close: Floats) -> tuple[float, float]:
    low, high = float(np.log(close.min())), float(np.log(close.max()))
    return low, max(high, low + 1e-9)


def _y(log_price: Floats, scale: tuple[float, float]) -> Floats:
    low, high = scale
    return np.asarray(TOP + PRICE - 6 - (log_price - low) / (high - low) * (PRICE - 12), dtype=np.float64)


def _prices(clean: Bars, axis: _Axis) -> str:
    """Return the close on a log scale: the range of each pixel column, and its last close as a line."""
    heads, scale = axis.columns(clean.time), _log_scale(clean.close)
    price, x = np.log(clean.close), axis.x(clean.time[heads])
    low, high = _y(np.minimum.reduceat(price, heads), scale), _y(np.maximum.reduceat(price, heads), scale)
    last = _y(price[np.r_[heads[1:], len(price)] - 1], scale)
    grid = "".join(
        f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
        for text, at in _ticks(scale).items()
    )
    band = "".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in zip(x.tolist(), high.tolist(), low.tolist(), strict=True))
    line = _line(clean.time[heads], x, last, axis)
    return f'{grid}<path class="band" d="{band}"/><path class="line" d="{line}"/>'


def _ticks(scale: tuple[float, float]) -> dict[str, float]:
    """Return round prices and their heights, in more digits where the range is narrow."""
    digits = 3 if scale[1] - scale[0] > 0.2 else 5
    places = np.linspace(*scale, 4)
    with np.errstate(over="ignore"):  # of the largest double there is
        prices = np.exp(places).tolist()
    texts = [f"{float(f'{price:.{digits}g}'):,.10g}" for price in prices]
    return dict(zip(texts, _y(places, scale).tolist(), strict=True))


def _line(time: Ints, x: Floats, y: Floats, axis: _Axis) -> str:
    """Return a path through the points that is broken where hours are missing, if that can be seen."""
    seen = max(2 * HOUR, 2 * (axis.end - axis.start) // axis.width)
    broken = np.diff(time, prepend=time[0] - seen - 1) > seen
    steps = zip(np.where(broken, "M", "L").tolist(), x.tolist(), y.tolist(), strict=True)
    return "".join(f"{step}{a:.1f} {b:.1f}" for step, a, b in steps)


def _strip(volume: Floats, clean: Bars) -> Floats:
    """Return the heights of volumes in the strip; root and cut keep the ordinary ones visible beside the largest."""
    most = min(float(clean.volume_base.max()), CUT * float(np.median(clean.volume_base)))
    return np.asarray(np.sqrt(np.minimum(1.0, volume / most)) * STRIP, dtype=np.float64)


def _volumes(clean: Bars, axis: _Axis) -> str:
    """Return the largest volume of each pixel column as a bar."""
    heads, foot = axis.columns(clean.time), TOP + PRICE + GAP + STRIP
    tallest = _strip(np.maximum.reduceat(clean.volume_base, heads), clean)
    bars = zip(axis.x(clean.time[heads]).tolist(), tallest.tolist(), strict=True)
    path = "".join(f"M{x:.1f} {foot}v-{tall:.1f}" for x, tall in bars)
    note = f'<text x="{LEFT}" y="{TOP + PRICE + GAP - 6}">volume, square-root scale up to {CUT} medians</text>'
    return f'{note}<path class="volume" d="{path}"/>'


def _dates(axis: _Axis) -> str:
    """Return the dates under the chart."""
    span = axis.end - axis.start
    part = slice(0, 7) if span > 400 * DAY else slice(0, 10) if span > 4 * DAY else slice(5, 16)
    rows = []
    for share, anchor in ((0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end")):
        text = instant(axis.start + int(span * share))[part].replace("T", " ")
        x = LEFT + share * axis.width
        rows.append(f'<text x="{x:.1f}" y="{TOP + PRICE + GAP + STRIP + 17}" text-anchor="{anchor}">{text}</text>')
    return "".join(rows)


def _quarantined(report: GateReport, bars: Bars, axis: _Axis) -> str:
    """Return a mark over both parts for every pixel column with a quarantined row."""
    bad = np.sort(bars.time[~report.clean & ~np.isin(report.rule_of, UNPLACED)])
    path = "".join(f"M{x:.1f} {TOP}V{TOP + PRICE + GAP + STRIP}" for x in axis.x(bad[axis.columns(bad)]).tolist())
    return f'<path class="bad" d="{path}"/>' if path else ""


def _outlier_returns(report: GateReport, bars: Bars, clean: Bars, axis: _Axis) -> str:
    rows = report.marks.get("outlier_return", np.empty(0, dtype=np.intp))
    x, y = axis.x(bars.time[rows]), _y(np.log(bars.close[rows]), _log_scale(clean.close))
    return "".join(
        f'<circle class="odd" cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in zip(x.tolist(), y.tolist(), strict=True)
    )


def _outlier_volumes(report: GateReport, bars: Bars, clean: Bars, axis: _Axis) -> str:
    rows, foot = report.marks.get("outlier_volume", np.empty(0, dtype=np.intp)), TOP + PRICE + GAP + STRIP
    tall = _strip(bars.volume_base[rows], clean)
    marks = zip(axis.x(bars.time[rows]).tolist(), tall.tolist(), strict=True)
    return "".join(f'<path class="oddbar" d="M{x:.1f} {foot}v-{high:.1f}"/>' for x, high in marks)


def _words(report: GateReport) -> str:
    """Return what the marks say, in words."""
    bad = [rule for rule in names_in(np.sort(report.rule_of)) if rule]
    count = int((~report.clean).sum())
    counted = [f"{len(rows)} {rule}" for rule, rows in report.marks.items() if len(rows)]
    return (
        f"{count:,} {'row' if count == 1 else 'rows'} quarantined{' by ' + ', '.join(bad) if bad else ''}; "
        f"counted and left in: {', '.join(counted) or 'none'}."
    )


def _legend(report: GateReport) -> str:
    """Return the key to the marks that are there."""
    count = int((~report.clean).sum())
    entries = ['<span class="key line"></span>close, log scale', '<span class="key volume"></span>volume']
    if count:
        entries.append(f'<span class="key bad"></span>quarantined ({count:,})')
    for rule, what in (("outlier_return", "outlier return"), ("outlier_volume", "outlier volume")):
        found = len(report.marks.get(rule, ()))
        if found:
            entries.append(
                f'<span class="key odd{" dot" if rule == "outlier_return" else ""}"></span>{what} ({found:,})'
            )
    return "".join(f"<span>{entry}</span>" for entry in entries)
