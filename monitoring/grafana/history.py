"""Two invented hours of every metric of the contract, as OpenMetrics, for a Prometheus to be filled with.

Nothing here was measured. It lets each panel's query be run, and the dashboards be drawn, without waiting two hours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from cryptovol.metrics import Metric
from cryptovol.sidecar.state import EXPOSED

STEP = 10
HOURS = 2
VALUES = {
    "endpoint": ("/predict", "/forecast/{symbol}"), "method": ("POST",), "status": ("200", "422", "503"),
    "model": ("cryptovol-BTC-USD-h6", "cryptovol-BTC-USD-h24"),
    "feature": ("rsi_14", "log_rv_24"), "reason": ("range", "missing"),
    "stage": ("ingest", "validate", "featurize", "train", "score"), "outcome": ("done", "refused"),
    "series": ("BTC-USD",), "rule": ("gaps", "ranges"), "kind": ("new", "revised"), "window": ("24", "720"),
    "source": ("api.log",), "metric": ("feature_ood_total",),
    "result": ("applied", "other"),
}  # fmt: skip
# Where a gauge stands and how far it swings; what is not named swings by a tenth around a half.
LEVELS = {
    "data_drift_ratio": (0.09, 0.05), "stage_rows": (4300.0, 20.0), "store_reachable": (1.0, 0.0),
    "answers_pending_bytes": (60_000.0, 40_000.0), "live_qlike": (0.14, 0.01), "live_qlike_har": (0.17, 0.01),
    "live_coverage": (0.905, 0.01), "emf_ingest_lag_seconds": (0.12, 0.05),
    "live_rmse": (0.0021, 0.0001), "live_rmse_har": (0.0023, 0.0001), "live_bias": (1.01, 0.03),
    "emf_source_bytes": (4e6, 1e6),
}  # fmt: skip
# What a counter gains per step; those not named gain 0.05.
PACE = {"http_requests_total": 40.0, "emf_lines_total": 120.0, "stage_cost_usd_total": 1e-5}


def openmetrics(end: int) -> Iterator[str]:
    """Yield the lines of a history of every metric, oldest sample first, that ends at unix second `end`."""
    stamps = range(end - HOURS * 3600, end + 1, STEP)
    for name, metric in EXPOSED.items():
        yield f"# TYPE {name.removesuffix('_total') if metric.kind == 'counter' else name} {metric.kind}"
        choices = [VALUES.get(label, ("a", "b")) for label in metric.labels]
        for place, values in enumerate(product(*choices)):
            labels = [f'{label}="{value}"' for label, value in zip(metric.labels, values, strict=True)]
            for step, stamp in enumerate(stamps):
                yield from _samples(name, metric, labels, place, step, stamp)
    yield "# EOF"


def _samples(name: str, metric: Metric, labels: list[str], place: int, step: int, stamp: int) -> Iterator[str]:
    if metric.kind == "histogram":
        yield from _histogram(name, metric.buckets, labels, step * 40 // (place + 1), stamp)
        return
    if metric.kind == "counter":
        pace = PACE.get(name, 0.05)
        value = step * pace / (1 + 8 * place)
        value = value if pace < 0.01 else math.floor(value)
    elif name.endswith("timestamp_seconds"):
        value = stamp - 1800 - stamp % 3600 - 600 * place
    else:
        middle, swing = LEVELS.get(name, (0.5, 0.1))
        value = middle + swing * math.sin(step / 60 + place)
    yield f"{_series(name, labels)} {value} {stamp}"


def _histogram(name: str, edges: tuple[float, ...], labels: list[str], count: int, stamp: int) -> Iterator[str]:
    """Yield buckets as of values spread evenly, on the logarithm, over the middle third of the edges."""
    low, high = edges[len(edges) // 3], edges[2 * len(edges) // 3]
    share = [min(1.0, max(0.0, math.log(edge / low) / math.log(high / low))) for edge in edges]
    for edge, part in zip((*map(str, edges), "+Inf"), (*share, 1.0), strict=True):
        bucket = _series(f"{name}_bucket", [*labels, f'le="{edge}"'])
        yield f"{bucket} {math.floor(count * part)} {stamp}"
    yield f"{_series(f'{name}_sum', labels)} {count * math.sqrt(low * high)} {stamp}"
    yield f"{_series(f'{name}_count', labels)} {count} {stamp}"


def _series(name: str, labels: list[str]) -> str:
    return f"{name}{{{','.join(labels)}}}" if labels else name
