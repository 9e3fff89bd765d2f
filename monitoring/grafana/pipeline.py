"""The page for whoever runs the pipeline: did each stage run, how long, on how much, and what did the gate find?"""

from __future__ import annotations

from monitoring.grafana.panels import PLAIN, SECONDS, USD, Page, Panel, Query, gained

_SERIES = '{series=~"$series"}'
_SPENT, _TIMED = gained("stage_duration_seconds_sum", "stage"), gained("stage_duration_seconds_count", "stage")
_NOT_DONE = '{outcome!="done"}'

_NUMBERS = [
    Panel(
        "number", "Stage runs", PLAIN, (Query(f"sum({gained('stage_runs_total', 'stage')})", "runs"),),
        "In the time range shown.", 6,
    ),
    Panel(
        "number", "Not done", PLAIN,
        (Query(f"sum({gained('stage_runs_total', 'stage', _NOT_DONE)}) or vector(0)", "refused or failed"),),
        "Runs that were refused or failed, in the time range shown.", 6, limit=1.0,
    ),
    Panel(
        "number", "Refusals of the gate", PLAIN,
        (Query(f"sum({gained('gate_refusals_total', 'series', _SERIES)}) or vector(0)", "batches"),),
        "Batches refused in the time range shown; nothing downstream of them ran.", 6, limit=1.0,
    ),
    Panel(
        "number", "Data age", SECONDS, (Query(f"max(time() - data_newest_timestamp_seconds{_SERIES})", "oldest series"),),
        "Time since the newest bar closed, of the series that is furthest behind.", 6, limit=7200.0,
    ),
]  # fmt: skip

_PANELS = [
    Panel(
        "bars", "Outcomes", PLAIN, (Query(gained("stage_runs_total", "stage, outcome"), "{{stage}} {{outcome}}"),),
        "Runs per stage and outcome in the time range shown.",
    ),
    Panel(
        "lines", "Runs", PLAIN, (Query("sum by (stage, outcome) (stage_runs_total)", "{{stage}} {{outcome}}"),),
        "Since the sidecar's state began: each step up is a run.",
    ),
    Panel(
        "bars", "Duration: P95", SECONDS,
        (Query(f"histogram_quantile(0.95, {gained('stage_duration_seconds_bucket', 'stage, le')})", "{{stage}}"),),
        "Of the runs in the time range shown, interpolated in the buckets of stage_duration_seconds.",
    ),
    Panel(
        "bars", "Duration: mean", SECONDS,
        (Query(f"{_SPENT} / {_TIMED}", "{{stage}}"),),
        "Of the runs in the time range shown.",
    ),
    Panel(
        "lines", "Rows", PLAIN, (Query(f"stage_rows{_SERIES}", "{{stage}} {{series}}"),),
        "Rows that the stage's newest run wrote.",
    ),
    Panel(
        "bars", "Bars ingested", PLAIN, (Query(gained("bars_ingested_total", "series, kind", _SERIES), "{{series}} {{kind}}"),),
        "New, revised and repaired bars in the time range shown.",
    ),
    Panel(
        "bars", "Findings of the gate", PLAIN, (Query(gained("gate_findings_total", "rule"), "{{rule}}"),),
        "Rows found by each rule in the time range shown; up to the rule's limit they are set aside.",
    ),
    Panel(
        "bars", "Refusals by rule", PLAIN, (Query(gained("gate_rule_refusals_total", "rule"), "{{rule}}"),),
        "Batches each rule refused in the time range shown. One batch can break several rules.",
    ),
    Panel(
        "lines", "Data age", SECONDS, (Query(f"time() - data_newest_timestamp_seconds{_SERIES}", "{{series}}"),),
        "Since the newest bar closed. Hourly bars: it climbs to an hour and falls with every ingest.", limit=7200.0,
    ),
    Panel(
        "bars", "Since each stage last ended well", SECONDS,
        (Query(f"time() - stage_last_success_timestamp_seconds{_SERIES}", "{{stage}} {{series}}"),),
        "The pipeline runs every six hours.",
    ),
    Panel(
        "bars", "Cost", USD, (Query(gained("stage_cost_usd_total", "stage"), "{{stage}}"),),
        "Lambda's list prices from params.yaml, free tier ignored, in the time range shown.",
    ),
    Panel(
        "bars", "GB-seconds", PLAIN, (Query(gained("stage_gigabyte_seconds_total", "stage"), "{{stage}}"),),
        "What Lambda bills for: seconds times memory, in the time range shown.",
    ),
]  # fmt: skip

PAGE = Page(
    uid="cryptovol-pipeline",
    title="Cryptovol: Pipeline",
    about="Did each stage run, how long did it take, on how much, and what did the gate find?",
    since="now-7d",
    panels=[*_NUMBERS, *_PANELS],
    selectors={"series": "stage_rows"},
    events={"Alerts": Query('ALERTS{alertstate="firing"}', "{{alertname}}")},
)
