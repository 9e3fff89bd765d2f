"""What ships around the sidecar: its benchmark, its container file, and the traps of the Powertools version in use."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit, single_metric

from cryptovol.metrics import NAMESPACE
from cryptovol.sidecar import emf

DOCKERFILE = Path("monitoring/sidecar/Dockerfile")


def test_benchmark_prints_every_row() -> None:
    """Small sizes go through every part, and are not judged."""
    command = [sys.executable, "bench/run.py", "--only", "sidecar", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ") and "not judged" in line]
    patterns = (r"EMF lines .* lines/s", r"exposition of 3\d\d series", r"from a written line to a scrape")
    assert len(rows) == len(patterns)
    assert all(re.search(pattern, row) for pattern, row in zip(patterns, rows, strict=True))


def test_container_runs_without_rights_and_installs_by_hash() -> None:
    """The last stage has a numeric user, a health check and a volume; packages come from the pinned file alone."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert "\nUSER 10001:10001\n" in text and "\nHEALTHCHECK " in text and "\nVOLUME /state\n" in text
    assert "--require-hashes" in text and ":latest" not in text
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M)
    assert copied and all(Path(path).exists() for line in copied for path in line.split())


def test_hundredth_value_of_powertools_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """What Powertools prints by itself, in another spelling, and what is left, add up to all values."""
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension("rule", "nulls")
    for _ in range(130):
        metrics.add_metric("gate_findings_total", MetricUnit.Count, 1)
    printed = capsys.readouterr().out.splitlines()
    rest = json.dumps(metrics.serialize_metric_set())
    points = [point for line in (*printed, rest) for point in emf.parse(line.encode()).points]
    assert printed and sum(sum(point.values) for point in points) == 130


def test_second_dimension_set_of_powertools_counts_once() -> None:
    """`add_dimensions` makes two CloudWatch metrics of one value, and one value of ours."""
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension("rule", "nulls")
    metrics.add_dimensions(service="validate")
    metrics.add_metric("gate_findings_total", MetricUnit.Count, 3)
    line = emf.parse(json.dumps(metrics.serialize_metric_set()).encode())
    assert [(point.labels, point.values) for point in line.points] == [(("nulls",), (3.0,))]


def test_nan_of_powertools_is_invalid(capsys: pytest.CaptureFixture[str]) -> None:
    """Powertools prints NaN, which is no JSON; the line is counted as invalid and changes no series."""
    with single_metric("gate_findings_total", MetricUnit.Count, float("nan"), namespace=NAMESPACE) as metric:
        metric.add_dimension("rule", "nulls")
    (line,) = capsys.readouterr().out.splitlines()
    assert emf.parse(line.encode()) == emf.Line("invalid", ())
