"""One line in, points out: the shapes Powertools prints, and everything that is not quite one of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol.sidecar import emf


def blob(
    metrics: dict[str, Any], *, unit: str = "Count", namespace: str = "Cryptovol", **fields: Any
) -> dict[str, Any]:
    """Return an EMF object with the given metric values and further top-level fields."""
    described = [{"Name": name, "Unit": unit} for name in metrics]
    directive = {"Namespace": namespace, "Dimensions": [sorted(fields)], "Metrics": described}
    return {"_aws": {"Timestamp": 1_700_000_000_000, "CloudWatchMetrics": [directive]}, **fields, **metrics}


REQUEST = {"endpoint": "/predict", "method": "POST", "status": "200"}
GOOD = blob({"http_requests_total": [1.0]}, **REQUEST)


def parse(value: Any) -> emf.Line:
    """Return the parsed line of a JSON value."""
    return emf.parse(json.dumps(value).encode())


def test_parse_returns_name_labels_values_and_stamp() -> None:
    """A plain blob gives one point with the contract's labels in the contract's order."""
    (point,) = parse({**GOOD, "request_id": "r-1"}).points
    assert point == emf.Point("http_requests_total", ("/predict", "POST", "200"), (1.0,), 1_700_000_000_000)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_parse_finds_a_blob_with_and_without_spaces(separators: tuple[str, str]) -> None:
    """The overflow print of Powertools, which has spaces, counts like the usual one."""
    assert emf.parse(json.dumps(GOOD, separators=separators).encode()).result == "applied"


def test_parse_counts_each_metric_once_whatever_the_dimension_sets() -> None:
    """A blob with two dimension sets and two directives of the same metric is one value."""
    doubled = json.loads(json.dumps(GOOD))
    directive = doubled["_aws"]["CloudWatchMetrics"][0]
    directive["Dimensions"] = [["endpoint"], ["endpoint", "status"]]
    doubled["_aws"]["CloudWatchMetrics"] *= 2
    assert parse(doubled).points == parse(GOOD).points


@pytest.mark.parametrize(
    ("unit", "raw", "seconds"), [("Milliseconds", 300.0, 0.3), ("Microseconds", 5e5, 0.5), ("Seconds", 2, 2.0)]
)
def test_parse_converts_units_to_the_contracts(unit: str, raw: float, seconds: float) -> None:
    """Milliseconds and microseconds arrive as exactly rounded seconds."""
    (point,) = parse(blob({"prediction_latency": [raw]}, unit=unit, endpoint="/predict")).points
    assert point.values == (seconds,)


def test_parse_takes_a_scalar_value() -> None:
    """A value outside an array counts too."""
    assert parse(blob({"http_requests_total": 3}, **REQUEST)).points[0].values == (3.0,)


def test_parse_applies_and_reports_a_missing_label() -> None:
    """Without a declared label the value still counts, under an empty one."""
    line = parse(blob({"http_requests_total": [1.0]}, endpoint="/predict", method="POST"))
    assert line.result == "unlabelled" and line.points[0].labels == ("/predict", "POST", "")


@pytest.mark.parametrize(
    "value",
    [
        blob({"ColdStart": [1.0]}, function_name="f", service="s"),
        blob({"http_requests_total": [1.0]}, namespace="SomebodyElse", **REQUEST),
    ],
)
def test_parse_leaves_other_peoples_metrics_alone(value: dict[str, Any]) -> None:
    """Metrics outside the contract or of another namespace are EMF, and not ours."""
    assert parse(value) == emf.Line("foreign", ())


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"START RequestId: 1 Version: $LATEST", b'{"level":"INFO","message":"hello"}', b"\xff\xfe", b"{{{{"],
)
def test_parse_ignores_lines_that_are_not_emf(line: bytes) -> None:
    """Log lines, the `null` of a failed single_metric and binary noise are no EMF."""
    assert emf.parse(line) == emf.Line("other", ())


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(GOOD).encode()[:-1],
        b'the text "_aws" alone',
        json.dumps(blob({"http_requests_total": [float("nan")]}, **REQUEST)).encode(),
        json.dumps(blob({"prediction_latency": [float("inf")]}, unit="Seconds", endpoint="/")).encode(),
        json.dumps(blob({"http_requests_total": [1e300]}, **REQUEST)).encode(),
        json.dumps(blob({"http_requests_total": [-1.0]}, **REQUEST)).encode(),
        json.dumps(blob({"http_requests_total": []}, **REQUEST)).encode(),
        json.dumps(blob({"http_requests_total": ["1"]}, **REQUEST)).encode(),
        json.dumps(blob({"http_requests_total": [True]}, **REQUEST)).encode(),
        json.dumps(blob({"http_requests_total": [1.0]}, unit="Bytes", **REQUEST)).encode(),
        json.dumps(blob({"http_requests_total": [1.0]}, unit="Seconds", **REQUEST)).encode(),
        b'{"_aws": {"Timestamp": 1, "CloudWatchMetrics": 7}}',
        b'{"_aws": [1]}',
        b'{"_aws":' * 100_000,
        b'{"_aws": {"Timestamp": ' + b"9" * 5000 + b"}}",
        b'{"_aws": "\xff"}',
    ],
)
def test_parse_counts_broken_emf_as_invalid_and_applies_nothing(line: bytes) -> None:
    """A blob that cannot be trusted in one place is not trusted in another."""
    assert emf.parse(line) == emf.Line("invalid", ())


def test_parse_reads_a_blob_behind_a_prefix() -> None:
    """A time stamp, a request id and even braces may stand before the blob."""
    text = json.dumps(GOOD)
    for prefix in ("2026-01-01T00:00:00Z\tid\t", "[INFO] {not json} ", "{} "):
        assert emf.parse((prefix + text).encode()).points == parse(GOOD).points


def test_parse_reads_a_blob_inside_a_log_events_message() -> None:
    """A log shipper's own JSON around the line changes nothing."""
    assert parse({"time": "now", "message": json.dumps(GOOD)}).points == parse(GOOD).points


def test_parse_reads_blobs_glued_into_one_line() -> None:
    """Two blobs without a newline between them are two counts."""
    line = emf.parse((json.dumps(GOOD) * 2).encode())
    assert line.result == "applied" and len(line.points) == 2


def test_parse_reads_a_line_of_64_kilobytes() -> None:
    """A long line is a line."""
    assert parse({**GOOD, "note": "x" * 65_536}).result == "applied"


def test_parse_returns_labels_that_can_be_encoded() -> None:
    """Half a surrogate pair in a label is replaced, and endless labels are cut."""
    (point,) = parse(blob({"gate_findings_total": [1.0]}, rule="\ud800" + "x" * 1000)).points
    assert point.labels[0].encode().startswith(b"?x") and len(point.labels[0]) == emf.LABEL_LENGTH


@given(st.binary(max_size=300))
def test_parse_never_raises_on_any_bytes(noise: bytes) -> None:
    """Whatever bytes surround the mark, a line gives a result."""
    for line in (noise, b'{"_aws"' + noise, noise + b'"_aws"}', json.dumps(GOOD).encode()[:-3] + noise):
        assert emf.parse(line).result in ("applied", "unlabelled", "foreign", "invalid", "other")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from(["_aws", "http_requests_total", "endpoint"]))
def test_parse_never_raises_on_any_json_in_a_blobs_place(value: Any, place: str) -> None:
    """Any JSON value in any place of a blob gives a result, and only finite values."""
    line = parse({**GOOD, place: value})
    assert all(abs(found) <= emf.LARGEST for point in line.points for found in point.values)
