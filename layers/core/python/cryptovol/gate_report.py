"""The gate's report for machines (JSON) and for people (one HTML page that asks no other host for anything)."""

from __future__ import annotations

import csv
import io
from html import escape
from typing import Any

import numpy as np

from cryptovol.bars import COLUMNS, Bars, Floats
from cryptovol.gate import Finding, GateReport
from cryptovol.gate_batch import instant, shown
from cryptovol.times import format_instant

WIDTH, HEIGHT = 920, 220
POINTS = 920  # closes drawn: one per pixel
DOTS = 400  # quarantined rows drawn at most

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem} .verdict{font-weight:600;padding:.15rem .6rem;border-radius:.3rem;color:#fff}
.ok{background:#1a7f4b} .no{background:#b3261e} table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d7dee6;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums} tr.bad td{background:#fdecea} small{color:#5b6875}
code{font-size:.85em;overflow-wrap:anywhere} svg{width:100%;height:auto;background:#f6f8fa}
@media(prefers-color-scheme:dark){body{background:#12181f;color:#dde5ee}td,th{border-color:#2c3742}
tr.bad td{background:#3a1d1b}svg{background:#1a222b}small{color:#93a1b0}}
"""


def as_json(report: GateReport) -> dict[str, Any]:
    """Return the report as plain JSON values: verdict, row counts, and every rule with its first offenders."""
    return {
        "format": 1,
        "symbol": report.symbol,
        "quote": report.quote,
        "as_of": format_instant(report.as_of),
        "verdict": "refused" if report.refused else "passed",
        "rows": report.rows,
        "rows_clean": int(report.clean.sum()),
        "rows_quarantined": int((~report.clean).sum()),
        "reasons": list(report.reasons),
        "findings": [_finding(finding) for finding in report.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "unit": finding.unit,
        "limit": finding.limit,
        "measured": finding.measured,
        "found": finding.found,
        "share": finding.share,
        "verdict": "passed" if finding.passed else "refused",
        "note": finding.note,
        "offenders": [{"time": time, "value": value} for time, value in finding.offenders],
    }


def as_csv(report: GateReport, bars: Bars) -> bytes:
    """Return the quarantined rows as CSV, with the rule that took each one out in front."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("rule", "opens", *COLUMNS))
    for row in np.flatnonzero(~report.clean):
        values = [getattr(bars, name)[row].item() for name in COLUMNS]
        writer.writerow([report.rule_of[row], instant(bars.time[row]), *values])
    return text.getvalue().encode()


def as_html(report: GateReport, bars: Bars) -> bytes:
    """Return the report as a page. Everything that came from a market is escaped."""
    name = escape(f"{report.symbol}/{report.quote}")
    counts = f"{report.rows} rows, {int(report.clean.sum())} clean, {int((~report.clean).sum())} quarantined"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in report.reasons)
    verdict = '<span class="verdict no">refused</span>' if report.refused else '<span class="verdict ok">passed</span>'
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Gate {name} {format_instant(report.as_of)}</title><style>{STYLE}</style></head><body>
<h1>Gate report {name} {verdict}</h1><p><small>as of {format_instant(report.as_of)} · {counts}</small></p>
<ul>{reasons}</ul>{_chart(report, bars)}
<table><thead><tr><th>rule</th><th>verdict</th><th class="n">found</th><th class="n">measured</th>
<th class="n">limit</th><th>first offenders</th></tr></thead><tbody>
{"".join(_row(finding) for finding in report.findings)}</tbody></table></body></html>
"""
    return page.encode()


def _row(finding: Finding) -> str:
    measured = "–" if finding.measured is None else shown(finding.measured, finding.unit)
    offenders = "<br>".join(f"<code>{escape(time)}</code> {escape(value)}" for time, value in finding.offenders)
    note = f"<br><small>{escape(finding.note)}</small>" if finding.note else ""
    verdict, kind = ("passed", "") if finding.passed else ("refused", ' class="bad"')
    return (
        f'<tr{kind}><td>{escape(finding.rule)}</td><td>{verdict}</td><td class="n">{finding.found}</td>'
        f'<td class="n">{measured}</td><td class="n">{shown(finding.limit, finding.unit)}</td>'
        f"<td>{offenders}{note}</td></tr>\n"
    )


def _chart(report: GateReport, bars: Bars) -> str:
    """Return the close over time as SVG, on a log scale, with a red tick at every quarantined row."""
    clean = bars.take(report.clean)
    if len(clean) < 2:
        return "<p>Too few clean bars to draw.</p>"
    chosen = np.unique(np.linspace(0, len(clean) - 1, min(POINTS, len(clean))).astype(np.int64))
    start, end = int(clean.time[0]), int(clean.time[-1])
    x = _scaled(clean.time[chosen].astype(np.float64), start, end, WIDTH)
    price = np.log(clean.close[chosen])
    y = HEIGHT - 10 - _scaled(price, float(price.min()), float(price.max()), HEIGHT - 20)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    bad = np.unique(bars.time[~report.clean])[:DOTS]
    marks = _scaled(np.clip(bad, start, end).astype(np.float64), start, end, WIDTH)
    ticks = "".join(f'<path d="M{at:.1f} 0V{HEIGHT}" stroke="#b3261e" stroke-opacity=".5"/>' for at in marks)
    label = f"close from {format_instant(start)} to {format_instant(end)}; red: quarantined rows"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>{ticks}'
        f'<polyline fill="none" stroke="#2f6fb3" stroke-width="1.2" points="{line}"/></svg>'
        f"<p><small>{label}</small></p>"
    )


def _scaled(values: Floats, low: float, high: float, size: float) -> Floats:
    return np.asarray((values - low) / ((high - low) or 1.0) * size, dtype=np.float64)
