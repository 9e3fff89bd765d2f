"""EMF lines and log lines, as Powertools really prints them."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest
from aws_lambda_powertools.metrics import EphemeralMetrics
from hypothesis import given
from hypothesis import strategies as st

from cryptovol.adapters import telemetry
from cryptovol.adapters.telemetry import EmfMeter, MemoryMeter, QuietMeter, logger
from cryptovol.metrics import CONTRACT, NAMESPACE
from cryptovol.sidecar import emf

HTTP = {"endpoint": "/predict", "method": "POST", "status": "200"}


def flushed(*values: tuple[str, float, dict[str, str]]) -> list[dict[str, Any]]:
    """Return the blobs a meter writes for the given values."""
    stream = io.StringIO()
    meter = EmfMeter(stream)
    for name, value, labels in values:
        meter.add(name, value, labels)
    meter.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_meter_writes_one_blob_per_label_set_at_a_flush() -> None:
    """Metrics of different labels stand in different blobs, values of the same labels in one."""
    blobs = flushed(
        ("http_requests_total", 1, HTTP),
        ("http_requests_total", 1, HTTP),
        ("prediction_latency", 0.25, {"endpoint": "/predict"}),
    )
    assert [blob.get("http_requests_total") for blob in blobs] == [[1.0, 1.0], None]
    assert blobs[1]["prediction_latency"] == [0.25]
    described = blobs[0]["_aws"]["CloudWatchMetrics"][0]
    assert described["Namespace"] == NAMESPACE and described["Dimensions"] == [["endpoint", "method", "status"]]


@pytest.mark.parametrize("service", ["", "forecasts"])
def test_meter_writes_what_powertools_would(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the time, a blob is the one that Powertools makes of the same labels and values."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", service)
    telemetry._described.cache_clear()
    (found,) = flushed(("http_requests_total", 1, HTTP), ("http_requests_total", 2.5, HTTP))
    telemetry._described.cache_clear()
    own = EphemeralMetrics(namespace=NAMESPACE)
    for label, text in HTTP.items():
        own.add_dimension(label, text)
    for value in (1, 2.5):
        own.add_metric("http_requests_total", CONTRACT["http_requests_total"].unit, value)
    wanted: dict[str, Any] = dict(own.serialize_metric_set())
    assert abs(found["_aws"].pop("Timestamp") - wanted["_aws"].pop("Timestamp")) < 60_000
    assert found == wanted and list(found) == list(wanted)


def test_meter_writes_nothing_at_a_flush_without_values() -> None:
    """A flush with nothing recorded prints no line."""
    assert flushed() == []


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_meter_loses_no_value_at_powertools_own_limit_of_a_hundred(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any number of values of one metric arrives whole, on our stream, with its labels."""
    blobs = flushed(*[("prediction_latency", 0.1, {"endpoint": "/predict"})] * count)
    assert sum(len(blob["prediction_latency"]) for blob in blobs) == count
    assert all(blob["endpoint"] == "/predict" for blob in blobs)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "value", "labels"),
    [
        ("no_such_metric", 1.0, {}),
        ("http_requests_total", 1.0, {"endpoint": "/predict"}),
        ("prediction_latency", 1.0, {"endpoint": "/predict", "symbol": "BTC"}),
        ("prediction_latency", 1.0, {"endpoint": " "}),
        ("prediction_latency", float("nan"), {"endpoint": "/predict"}),
        ("prediction_latency", float("inf"), {"endpoint": "/predict"}),
        ("gate_findings_total", -1.0, {"rule": "nulls"}),
    ],
)
@pytest.mark.parametrize("meter", [EmfMeter(io.StringIO()), QuietMeter(), MemoryMeter()])
def test_meter_refuses_what_the_contract_does_not_hold(
    meter: EmfMeter | QuietMeter | MemoryMeter, name: str, value: float, labels: dict[str, str]
) -> None:
    """Every meter refuses unknown names, other labels and values that are no numbers."""
    with pytest.raises(ValueError):
        meter.add(name, value, labels)


def test_meter_counts_exactly_when_threads_add_and_flush() -> None:
    """Sixteen threads that add and flush lose nothing, and no two lines are glued together."""
    stream = io.StringIO()
    meter = EmfMeter(stream)

    def work() -> None:
        for _ in range(50):
            meter.add("http_requests_total", 1, HTTP)
            meter.flush()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [emf.parse(line.encode()) for line in stream.getvalue().splitlines()]
    assert {line.result for line in lines} == {"applied"}
    assert sum(sum(point.values) for line in lines for point in line.points) == 800


@given(st.lists(st.sampled_from(sorted(CONTRACT)), min_size=1, max_size=20), st.floats(0, 1e6))
def test_meter_lines_are_read_back_by_the_sidecar_for_every_metric(names: list[str], value: float) -> None:
    """What the meter prints of any metric, the sidecar's parser returns unchanged."""
    stream = io.StringIO()
    meter = EmfMeter(stream)
    for name in names:
        meter.add(name, value, {label: f"a {label}" for label in CONTRACT[name].labels})
    meter.flush()
    points = [point for line in stream.getvalue().splitlines() for point in emf.parse(line.encode()).points]
    read = sorted((point.name, found) for point in points for found in point.values)
    assert read == sorted((name, value) for name in names)


def test_memory_meter_sums_the_values_whose_labels_match() -> None:
    """`total` adds up the values of a metric that carry the labels asked for."""
    meter = MemoryMeter()
    meter.add("http_requests_total", 1, HTTP)
    meter.add("http_requests_total", 2, {**HTTP, "status": "503"})
    meter.flush()
    assert meter.total("http_requests_total") == 3
    assert meter.total("http_requests_total", status="503") == 2
    assert meter.flushes == 1


def test_logger_writes_one_json_line_per_event() -> None:
    """An event is one line of JSON with its message and its ids."""
    stream = io.StringIO()
    logger("test-telemetry", stream).info("forecast served", request_id="r-1", run_id="x")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["message"] == "forecast served" and event["level"] == "INFO"
    assert (event["request_id"], event["run_id"], event["service"]) == ("r-1", "x", "test-telemetry")
