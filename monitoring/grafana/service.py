"""The page for whoever is on call: is the API answering, how fast, and is anything filling up?"""

from __future__ import annotations

from monitoring.grafana.panels import BYTES, EVENTS_PER_SECOND, PER_SECOND, PLAIN, SECONDS, SHARE, Page, Panel, Query

_REQUESTS = 'http_requests_total{endpoint=~"$endpoint"}'
_FAILED = 'http_requests_total{endpoint=~"$endpoint",status=~"5.."}'
_RATE = "[$__rate_interval]"
_ALL = f"sum(rate({_REQUESTS}{_RATE}))"


def _quantile(share: float) -> str:
    buckets = f'sum by (le) (rate(prediction_latency_bucket{{endpoint=~"$endpoint"}}{_RATE}))'
    return f"histogram_quantile({share}, {buckets})"


_SLOW = (
    f'1 - sum(rate(prediction_latency_bucket{{endpoint=~"$endpoint",le="0.5"}}{_RATE}))'
    f' / sum(rate(prediction_latency_count{{endpoint=~"$endpoint"}}{_RATE}))'
)

_NUMBERS = [
    Panel("number", "Requests", PER_SECOND, (Query(_ALL, "requests"),), "Requests answered per second.", 6),
    Panel(
        "number", "Failed", SHARE, (Query(f"(sum(rate({_FAILED}{_RATE})) or vector(0)) / {_ALL}", "status 5xx"),),
        "Share of requests answered with a 5xx. The objective is 0.5 % over 30 days.", 6, limit=0.005,
    ),
    Panel("number", "P95 latency", SECONDS, (Query(_quantile(0.95), "P95"),), "The alert is at 500 ms.", 6, limit=0.5),
    Panel(
        "number", "Store", PLAIN, (Query("min(store_reachable)", "reachable"),),
        "1 if the object store answered the API when it was last asked.", 6, limit=1.0, low=True,
    ),
]  # fmt: skip

_LINES = [
    Panel(
        "lines", "Request rate", PER_SECOND,
        (Query(f"sum by (endpoint, method) (rate({_REQUESTS}{_RATE}))", "{{method}} {{endpoint}}"),),
        "By route. /metrics and /health are not counted.",
    ),
    Panel(
        "lines", "Latency", SECONDS, tuple(Query(_quantile(share), f"P{100 * share:.0f}") for share in (0.5, 0.95, 0.99)),
        "From request to response. Interpolated inside a bucket; 500 ms is an edge of one, so that side is exact.",
        limit=0.5,
    ),
    Panel(
        "lines", "Status codes", PER_SECOND, (Query(f"sum by (status) (rate({_REQUESTS}{_RATE}))", "{{status}}"),),
        "4xx are the callers' mistakes, 5xx are ours.",
    ),
    Panel(
        "lines", "Slower than 500 ms", SHARE, (Query(_SLOW, "share of requests"),),
        "Counted, not interpolated. P95 is above 500 ms exactly when this is above 5 %.", limit=0.05,
    ),
    Panel(
        "lines", "Requests in flight", PLAIN,
        (Query(f'sum by (endpoint) (rate(prediction_latency_sum{{endpoint=~"$endpoint"}}{_RATE}))', "{{endpoint}}"),),
        "Saturation: seconds spent answering per second, which is the mean number of requests being answered at once.",
    ),
    Panel(
        "lines", "Records not in the store yet", BYTES, (Query("answers_pending_bytes", "waiting"),),
        "Saturation of the spool: it grows while the store is away, and forecasts go unrecorded when it is full.",
    ),
    Panel(
        "lines", "Sidecar: lag", SECONDS, (Query("emf_ingest_lag_seconds", "age of the newest event"),),
        "How old the newest event was when it was committed. Everything on these pages is at least as old.",
    ),
    Panel(
        "lines", "Sidecar: lines read", EVENTS_PER_SECOND,
        (Query(f"sum by (result) (rate(emf_lines_total{_RATE}))", "{{result}}"),),
        "invalid: meant to be a metric and unreadable. unlabelled: counted, with a label missing.",
    ),
    Panel(
        "bars", "Refused or lost", PLAIN,
        (
            Query("sum by (reason) (answers_unrecorded_total)", "unrecorded: {{reason}}"),
            Query("sum by (series) (bundle_refusals_total)", "bundle refused: {{series}}"),
            Query("sum by (metric) (emf_series_rejected_total)", "label sets over the cap: {{metric}}"),
        ),
        "Totals since the sidecar's state began. Each should stay where it is.",
    ),
    Panel(
        "lines", "Sidecar: newest event", SECONDS,
        (Query("time() - emf_last_event_timestamp_seconds", "age"),),
        "It climbs while nothing emits anything, and while the sidecar cannot read.",
    ),
    Panel(
        "lines", "Sidecar: position", BYTES, (Query("emf_source_bytes", "{{source}}"),),
        "How far each log file has been read.",
    ),
]  # fmt: skip

PAGE = Page(
    uid="cryptovol-service",
    title="Cryptovol: Service",
    about="Is the API answering, how fast, and is anything filling up?",
    since="now-2h",
    panels=[*_NUMBERS, *_LINES],
    selectors={"endpoint": "http_requests_total"},
    events={"Alerts": Query('ALERTS{alertstate="firing"}', "{{alertname}}")},
)
