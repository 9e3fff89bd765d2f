"""Committed state → Prometheus text. The sidecar's ``/metrics`` and the API's are this same code."""

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from cryptovol.errors import StoreUnavailableError
from cryptovol.metrics import Metric
from cryptovol.sidecar.state import EXPOSED

Series = dict[tuple[str, ...], dict[str, float]]  # label values → part → value
_labels = msgspec.json.Decoder(tuple[str, ...]).decode


def render(path: Path, accept: str) -> tuple[bytes, str]:
    """Return the exposition of a state file and its content type, as an ``Accept`` header asks for it.

    Raises
    ------
    StoreUnavailableError
        If there is no state file, or nothing was committed to it yet.
    """
    encoder, content_type = choose_encoder(accept)
    return encoder(Committed(path)), content_type


class Committed(Collector):
    """What a state file holds, read in one statement: a consistent picture, never half a portion."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterator[Family]:
        """Yield one family per metric that has series, in the contract's order."""
        found = self._rows()
        for name, metric in EXPOSED.items():
            if name in found:
                yield _family(name, metric, found[name])

    def _rows(self) -> dict[str, Series]:
        found: dict[str, Series] = defaultdict(lambda: defaultdict(dict))
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=5.0)) as db:
                for name, labels, part, value in db.execute("SELECT name, labels, part, value FROM series"):
                    found[name][_labels(labels)][part] = value
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"no metrics to show yet ({error}); is `cryptovol sidecar` running?") from error
        return found


def _family(name: str, metric: Metric, series: Series) -> Family:
    # Rows of an older contract, with fewer or more labels, have no place in this one's family.
    fitting = {labels: parts for labels, parts in sorted(series.items()) if len(labels) == len(metric.labels)}
    if metric.kind == "counter":
        counter = CounterMetricFamily(name, metric.help, labels=metric.labels)
        for labels, parts in fitting.items():
            counter.add_metric(labels, parts[""])
        return counter
    if metric.kind == "gauge":
        gauge = GaugeMetricFamily(name, metric.help, labels=metric.labels)
        for labels, parts in fitting.items():
            gauge.add_metric(labels, parts[""])
        return gauge
    histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
    for labels, parts in fitting.items():
        histogram.add_metric(labels, _cumulative(parts, metric.buckets), parts["sum"])
    return histogram


def _cumulative(parts: dict[str, float], edges: tuple[float, ...]) -> list[tuple[str, float]]:
    """Return (edge, count up to it); counts under edges the contract no longer has go to the next one above."""
    counts = [0.0] * (len(edges) + 1)
    for part, count in parts.items():
        if part != "sum":
            counts[bisect_left(edges, float(part))] += count
    total, out = 0.0, []
    for edge, count in zip((*edges, math.inf), counts, strict=True):
        total += count
        out.append(("+Inf" if edge == math.inf else repr(edge), total))
    return out
