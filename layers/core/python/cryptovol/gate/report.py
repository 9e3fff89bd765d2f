"""The gate's report for machines (JSON) and for people (one HTML page that asks no other host for anything)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import Any

from cryptovol.bars import COLUMNS, Bars
from cryptovol.gate import Finding, GateReport, chart
from cryptovol.gate.batch import instant, shown
from cryptovol.times import format_instant

# What each rule finds, in the words of the page.
MEANING = {
    "foreign": "rows of another symbol or quote",
    "schema": "times that are not the start of an hour",
    "unfinished": "rows read before their hour had ended",
    "future": "bars not closed yet",
    "disorder": "rows older than one before them",
    "duplicates": "hours that come again",
    "nulls": "numbers missing or infinite, in the worst column",
    "range": "price not above 0, open or close outside low to high, volume below 0",
    "log_return": "moves past the limit, and prices that did not last",
    "zero_volume": "hours without a trade",
    "outlier_return": "returns far beyond the scale of the hours before",
    "outlier_volume": "volumes far above the hours before",
    "repaired": "hours filled from a second source",
    "disagreement": "hours in which two sources differ",
    "frozen": "longest run of one unchanged close",
    "gaps": "hours without a bar",
    "longest_gap": "longest run of hours without a bar",
    "freshness": "age of the newest bar",
}

NUMBERED = ("rule", "verdict", "found", "measured", "limit")
TOLD = ("these rows are", "first of them")

STYLE = """
:root{--ink:#1c2733;--soft:#5b6875;--ground:#fff;--card:#f6f8fa;--rule:#d7dee6;--good:#176f42;--bad:#b3261e;
--badground:#fdecea;--odd:#b26a00;--line:#2463a6;--band:#9cc0e6}
@media(prefers-color-scheme:dark){:root{--ink:#dde5ee;--soft:#9aa8b6;--ground:#12181f;--card:#1a222b;--rule:#2c3742;
--good:#2c8f5b;--bad:#d9534a;--badground:#3a1d1b;--odd:#f0a63c;--line:#74b0ee;--band:#2b4d72}}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:66rem;padding:0 1rem;color:var(--ink);
background:var(--ground)} h1{font-size:1.5rem;margin:0 0 .2rem} h2{font-size:1.1rem;margin:1.6rem 0 .3rem}
.verdict{font-size:1rem;font-weight:600;padding:.15rem .7rem;border-radius:.3rem;color:#fff;vertical-align:.15rem}
.ok{background:var(--good)} .no{background:var(--bad)} small,figcaption{color:var(--soft)}
dl{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0} dl div{background:var(--card);border-radius:.4rem;
padding:.5rem 1rem;min-width:7.5rem} dt{color:var(--soft);font-size:.85rem} dd{margin:0;font-size:1.35rem;
font-variant-numeric:tabular-nums} .why{background:var(--badground);border-left:4px solid var(--bad);
padding:.6rem 1rem;border-radius:.3rem} .why h2{margin:0} .why ul{margin:.2rem 0;padding-left:1.2rem}
figure{margin:1.2rem 0} figcaption{display:flex;flex-wrap:wrap;gap:.2rem 1.4rem;font-size:.88rem}
svg{display:block;width:100%;height:auto;background:var(--card);border-radius:.4rem} svg text{font:12px system-ui,sans-serif;
fill:var(--soft)} .grid{stroke:var(--rule)} .band{stroke:var(--band);stroke-width:1.2} .line{fill:none;
stroke:var(--line);stroke-width:1.3} .volume{stroke:var(--band)} .bad{stroke:var(--bad);stroke-opacity:.5}
.oddbar{stroke:var(--odd);stroke-width:2.5}
.odd{fill:none;stroke:var(--odd);stroke-width:2} .key{display:inline-block;width:.9rem;height:.7rem;margin-right:.4rem}
.key.line{background:var(--line);height:.2rem;vertical-align:.2rem} .key.volume{background:var(--band)}
.key.bad{background:var(--bad);width:.2rem} .key.odd{background:var(--odd);width:.3rem}
.key.dot{background:none;border:2px solid var(--odd);border-radius:50%;width:.45rem;height:.45rem}
table{border-collapse:collapse;width:100%} th,td{text-align:left;padding:.35rem .8rem .35rem .4rem;vertical-align:top;
border-bottom:1px solid var(--rule)} thead th{color:var(--soft);font-weight:500;font-size:.85rem;white-space:nowrap}
tbody th{font-weight:600;min-width:11rem} th small{display:block;font-weight:400}
td small{display:block} table:not(.quiet) td:last-child{font-size:.88rem}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums} .mark{white-space:nowrap}
tr.fail>*{background:var(--badground)} .fail .mark{color:var(--bad);font-weight:600}
code{font-size:.85em;white-space:nowrap}
.quiet th small{display:inline;margin-left:.6rem}
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
        "refused_by": list(report.refused_by),
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
        "quarantined": finding.quarantined,
        "note": finding.note,
        "offenders": [{"time": time, "value": value} for time, value in finding.offenders],
    }


def as_csv(report: GateReport, bars: Bars) -> bytes:
    """Return the quarantined rows as CSV, with the rule that took each one out in front."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("rule", "opens", *COLUMNS))
    bad = ~report.clean
    columns = [column.tolist() for column in bars.take(bad).columns().values()]
    opens = [instant(time) for time in columns[0]]
    writer.writerows(zip(report.rule_of[bad].tolist(), opens, *columns, strict=True))
    return text.getvalue().encode("utf-8", "backslashreplace")


def as_html(report: GateReport, bars: Bars) -> bytes:
    """Return the report as a page. Everything that came from a market is escaped."""
    name, moment = escape(f"{report.symbol}/{report.quote}"), instant(report.as_of)
    verdict = (
        '<span class="verdict no">✕ refused</span>' if report.refused else '<span class="verdict ok">✓ passed</span>'
    )
    telling = [finding for finding in report.findings if finding.found or not finding.passed]
    quiet = [finding for finding in report.findings if finding not in telling]
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>Gate {"refused" if report.refused else "passed"}: {name} {moment}</title><style>{STYLE}</style></head><body><main>
<h1>Gate report {name} {verdict}</h1><small>hourly bars closed by {moment}</small>
{_counts(report)}{_reasons(report)}{chart.figure(report, bars)}
{_table("Rules that found something", telling, report)}{_table("Rules that found nothing", quiet)}</main></body></html>
"""
    return page.encode("utf-8", "xmlcharrefreplace")


def _counts(report: GateReport) -> str:
    clean, counted = int(report.clean.sum()), sum(len(rows) for rows in report.marks.values())
    numbers = {"rows": report.rows, "clean": clean, "quarantined": report.rows - clean, "counted, left in": counted}
    return f"<dl>{''.join(f'<div><dt>{k}</dt><dd>{v:,}</dd></div>' for k, v in numbers.items())}</dl>"


def _reasons(report: GateReport) -> str:
    if not report.refused:
        return ""
    items = "".join(f"<li>{escape(reason)}</li>" for reason in report.reasons)
    return f'<section class="why"><h2>Why it was refused</h2><ul>{items}</ul></section>'


def _table(title: str, findings: Sequence[Finding], report: GateReport | None = None) -> str:
    """Return a table of rules; with the report, their first offenders and what became of these rows stand in it."""
    if not findings:
        return ""
    names = (*NUMBERED, *(TOLD if report else ()))
    heads = "".join(f'<th scope="col"{_right(name)}>{name}</th>' for name in names)
    rows = "\n".join(_row(finding, report) for finding in findings)
    kind = "" if report else ' class="quiet"'
    return f"<h2>{title}</h2><table{kind}><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table>\n"


def _right(name: str) -> str:
    return ' class="n"' if name in NUMBERED[2:] else ""


def _row(finding: Finding, report: GateReport | None) -> str:
    measured = "–" if finding.measured is None else shown(finding.measured, finding.unit)
    note = f"<small>{escape(finding.note)}</small>" if finding.note else ""
    verdict, kind = ("✓ passed", "") if finding.passed else ("✕ refused", ' class="fail"')
    rest = ""
    if report is not None:
        fate = "quarantined" if finding.quarantined else "counted" if finding.rule in report.marks else ""
        offenders = "<br>".join(f"<code>{escape(time)}</code> {escape(value)}" for time, value in finding.offenders)
        rest, note = f"<td>{fate}</td><td>{offenders}{note}</td>", ""
    return (
        f'<tr{kind}><th scope="row">{escape(finding.rule)}<small>{MEANING[finding.rule]}</small>{note}</th>'
        f'<td class="mark">{verdict}</td><td class="n">{finding.found:,}</td><td class="n">{measured}</td>'
        f'<td class="n">{shown(finding.limit, finding.unit)}</td>{rest}</tr>'
    )
