"""Trace identifiers: the known forms pass, anything else a caller sends does not reach a log line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import tracing

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ROOT = "1-5759e988-bd862e3fe1be46a994272793"


def test_both_headers_pass_through() -> None:
    """A request behind API Gateway and a tracing client carries both; X-Ray's root alone is kept."""
    headers = {"traceparent": PARENT, "x-amzn-trace-id": f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"}
    assert tracing.fields(headers) == {"traceparent": PARENT, "xray_trace_id": ROOT}


def test_root_may_stand_behind_a_load_balancers_self() -> None:
    """A load balancer puts its own part in front."""
    assert tracing.fields({"x-amzn-trace-id": f"Self=1-1-1;Root={ROOT}"}) == {"xray_trace_id": ROOT}


@pytest.mark.parametrize(
    "value",
    ["", PARENT.upper(), PARENT + "\n", PARENT[:-1], PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)],
)
def test_other_forms_are_dropped(value: str) -> None:
    """Upper case, a newline behind, a cut id and the zero id are none by the standard."""
    assert tracing.fields({"traceparent": value, "x-amzn-trace-id": value}) == {}


@given(st.dictionaries(st.sampled_from(["traceparent", "x-amzn-trace-id"]), st.text() | st.integers() | st.none()))
def test_whatever_a_caller_sends_is_harmless(headers: dict[str, object]) -> None:
    """What is kept has hexadecimal digits, dashes and nothing else."""
    assert all(set(kept) <= set("0123456789abcdef-") for kept in tracing.fields(headers).values())
