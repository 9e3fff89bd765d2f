"""Trace identifiers of other systems, passed through into log lines; nothing here starts or reports a trace.

Two headers are known: W3C Trace Context's ``traceparent`` (w3.org/TR/trace-context, version 00) and AWS X-Ray's
``X-Amzn-Trace-Id``, whose root alone is kept. They come from callers, so what has not their exact form is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TRACEPARENT, XRAY = "traceparent", "x-amzn-trace-id"
_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_ROOT = re.compile(r"(?:^|;)\s*Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?=;|$)")


def fields(headers: Mapping[str, object]) -> dict[str, str]:
    """Return what a log line says of the caller's traces: ``traceparent`` and ``xray_trace_id``, each where present.

    Parameters
    ----------
    headers
        By lower-case name: a request's, or an event's fields.
    """
    found = {}
    parent, xray = headers.get(TRACEPARENT), headers.get(XRAY)
    if isinstance(parent, str) and _PARENT.fullmatch(parent):
        found["traceparent"] = parent
    if isinstance(xray, str) and (root := _ROOT.search(xray)):
        found["xray_trace_id"] = root[1]
    return found
