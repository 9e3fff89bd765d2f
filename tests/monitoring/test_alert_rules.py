"""Rules, routes and their own tests: valid, complete, tight at their limits, and about metrics that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cryptovol.params import Params
from cryptovol.sidecar.state import EXPOSED
from tests.prometheus import HOME, RULES, compress, promtool, tool

FOLDER = HOME / "prometheus"
RUNBOOK = Path("docs/runbook.md").read_text(encoding="utf-8")


def rules(name: str) -> list[dict[str, Any]]:
    """Return the rules of a file."""
    body = yaml.safe_load((RULES / name).read_text(encoding="utf-8"))
    return [rule for group in body["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
RECORDED = {rule["record"] for rule in rules("recording.yml")}
RECORDING = [group["name"] for group in yaml.safe_load((RULES / "recording.yml").read_text(encoding="utf-8"))["groups"]]
FILES = sorted((FOLDER / "tests").glob("*.yml"))
TESTS = {
    test["name"]: (body["evaluation_interval"], test)
    for path in FILES
    for body in [yaml.safe_load(path.read_text(encoding="utf-8"))]
    for test in body["tests"]
}
KEYWORDS = {
    "histogram_quantile", "sum", "rate", "by", "on", "and", "or", "unless", "min", "max", "time", "increase", "absent",
    "offset", "up",
}  # fmt: skip


def names(expression: str) -> set[str]:
    """Return the metrics an expression names."""
    plain = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"|(by|on) \([^)]*\)|offset \w+', " ", expression)
    return set(re.findall(r"[a-zA-Z_][\w:]*", plain)) - KEYWORDS


def exposed() -> set[str]:
    """Return every name the sidecar's exposition can have."""
    parts = {f"{n}_{part}" for n, m in EXPOSED.items() if m.kind == "histogram" for part in ("bucket", "count", "sum")}
    return parts | {name for name, metric in EXPOSED.items() if metric.kind != "histogram"}


def test_configuration_and_rules_are_valid() -> None:
    """Promtool accepts the configuration with its rules."""
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0 and "rules found" in done.stdout, done.stdout + done.stderr


def test_routes_are_valid() -> None:
    """Amtool accepts Alertmanager's configuration."""
    command = [tool("amtool"), "check-config", str(HOME / "alertmanager" / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rules_pass_their_own_tests(path: Path) -> None:
    """Promtool finds every alert as the test file says."""
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_alerts_stand_on_is_recorded_before_them(path: Path) -> None:
    """A test file about an alert on recorded series says in which order groups are evaluated; promtool's is random."""
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    if any(names(ALERTS[test["name"]]["expr"]) & RECORDED for test in body["tests"]):
        assert body["group_eval_order"] == [*RECORDING, "service"]


@pytest.mark.parametrize("name", ALERTS)
def test_alert_is_shown_quiet_firing_and_clear(name: str) -> None:
    """Each alert has, in order of time, a moment at its limit, one beyond it, and one after."""
    _, test = TESTS[name]
    shown = [bool(step["exp_alerts"]) for step in test["alert_rule_test"] if step["alertname"] == name]
    minutes = [int(step["eval_time"].removesuffix("m")) for step in test["alert_rule_test"]]
    assert minutes == sorted(minutes) and not shown[0] and shown[-2:] == [True, False]


@pytest.mark.parametrize("name", ALERTS)
def test_alert_has_severity_and_a_section_in_the_runbook(name: str) -> None:
    """Each alert says how urgent it is and leads to a section that tells what to look at and what to do."""
    rule = ALERTS[name]
    anchor = f"docs/runbook.md#{name.lower()}"
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["runbook"] == anchor and rule["annotations"]["summary"]
    section = RUNBOOK.split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert f"*{rule['labels']['severity']}.*" in section and "**Look**" in section and "**Do**" in section


def test_runbook_has_no_section_without_an_alert() -> None:
    """What the runbook describes can fire."""
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.M)) == set(ALERTS) == set(TESTS)


@pytest.mark.parametrize(
    "rule", rules("recording.yml") + rules("alerts.yml"), ids=lambda r: r.get("record", r.get("alert"))
)
def test_rule_names_only_metrics_that_exist(rule: dict[str, Any]) -> None:
    """A renamed metric breaks this test and not, silently, an alert."""
    assert names(rule["expr"]) <= exposed() | RECORDED
    assert names(rule["expr"]) or "up{" in rule["expr"]


def loosened(expression: str) -> str:
    """Return the expression with its limits drawn a little closer, so that the limits themselves are beyond them."""
    expression = expression.replace(" == 0", " >= 0").replace(" < ", " <= ")
    return re.sub(r" > (\S+)", lambda found: " >= 0" if found[1] == "0" else f" > 0.99 * {found[1]}", expression)


def mutated(tmp_path: Path, name: str, **changed: str | None) -> subprocess.CompletedProcess[str]:
    """Run the alert's own test against a changed rule."""
    rule = {key: value for key, value in {**ALERTS[name], **changed}.items() if value is not None}
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "changed", "rules": [rule]}]}))
    interval, test = TESTS[name]
    files = [str(RULES / "recording.yml"), "alerts.yml"]
    order = {"group_eval_order": [*RECORDING, "changed"]}
    body = {"rule_files": files, "evaluation_interval": interval, "tests": [test], **order}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(body))
    return promtool("test", "rules", "test.yml", cwd=tmp_path)


@pytest.mark.parametrize("name", ALERTS)
def test_alert_that_fires_at_its_limit_fails_its_own_test(name: str, tmp_path: Path) -> None:
    """With the limit itself let in, or drawn one per cent closer, the quiet moment is quiet no more."""
    done = mutated(tmp_path, name, expr=loosened(ALERTS[name]["expr"]))
    assert done.returncode == 1 and "got:[" in done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name, rule in ALERTS.items() if "for" in rule])
def test_alert_that_does_not_wait_fails_its_own_test(name: str, tmp_path: Path) -> None:
    """Without its `for` an alert fires too early, and its test sees that."""
    done = mutated(tmp_path, name, **{"for": None})
    assert done.returncode == 1 and "got:[" in done.stdout + done.stderr


def test_limits_of_age_follow_the_parameters(params: Params) -> None:
    """Stale bars alert where the API begins to refuse them, a stale model two days before."""
    assert f"> {params.predict.freshness_hours * 3600}" in ALERTS["DataStale"]["expr"]
    assert f"> {(params.predict.expiry_hours - 48) * 3600}" in ALERTS["ModelStale"]["expr"]
    assert {"168", "720"} <= {str(hours) for hours in params.score.windows_hours}


def test_compression_shortens_windows_and_waits_and_no_name() -> None:
    """The chain test's copy differs from the rules in durations only."""
    assert compress("a:b:ratio_rate1h[1h] offset 6h\n  for: 65m") == "a:b:ratio_rate1h[1m] offset 6m\n  for: 65s"
