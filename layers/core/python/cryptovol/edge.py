"""What every stage function does around its stage: read the event, run, record the outcome, tell the error's kind.

The status object under ``runs/<run_id>/…`` is how people and the progress display see a run, on any cloud.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from cryptovol import cost, events, keys, settings, tables, tracing
from cryptovol.errors import CryptovolError, GateRefusedError, KeyNotFoundError
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.ports import Log, Meter, Store
from cryptovol.times import HOUR, format_instant, parse_instant
from cryptovol.wiring import Ports, open_ports

Step = Callable[[StageEvent, Ports, Params], Result]
Handler = Callable[[Mapping[str, Any], object], Result]

# The number of a stage's result that says how much it did; results also carry what earlier stages returned.
ROWS = {
    "ingest": "rows_new", "validate": "rows_clean", "featurize": "rows_features", "train": "rows_trained",
    "version": "rows_versioned", "score": "rows_scored",
    "forecast": "rows_forecast",
    "tune": "rows_tuned",
    "watch": "rows_evaluated",
}  # fmt: skip


@cache
def _ports() -> Ports:
    """Return the process's ports: clients are made once and kept warm between invocations."""
    return open_ports(bounded=True)


def stage_handler(stage: str, step: Step, ports: Callable[[], Ports] = _ports) -> Handler:
    """Return the Lambda handler of one stage.

    An expected error is raised again with its code in front, ``[code] text`` or ``[code, retryable] text``, because
    emulators differ in `errorType` but all pass on the message.
    """

    def handler(event: Mapping[str, Any], context: object) -> Result:
        # Nothing in the context may change a result; its id leads from a log line to the invocation's own lines.
        own = str(getattr(context, "aws_request_id", ""))
        try:
            return perform(stage, step, events.parse(event), ports(), request_id=own)
        except CryptovolError as error:
            error.args = (tagged(error), *error.args[1:])
            raise

    return handler


def tagged(error: CryptovolError) -> str:
    """Return the error's text with its kind in front."""
    return f"[{error.code}{', retryable' if error.retryable else ''}] {error}"


def perform(stage: str, step: Step, event: StageEvent, ports: Ports, *, request_id: str = "") -> Result:
    """Run one stage, keep its status object up to date, log start and outcome, count outcome, duration and cost."""
    started = time.monotonic()
    status = _Status(stage, event, ports, format_instant(ports.clock()))
    who = _who(stage, event, request_id)
    ports.log.info("stage started", **who)
    outcome, code = "failed", ""
    try:
        status.write("running", 0.0)
        result = step(event, ports, ports.params)
        _count(stage, event, ports.meter, result)
        status.write("done", time.monotonic() - started, result=result)
        outcome = "done"
        return result
    except BaseException as error:
        outcome, fault = _judged(error)
        code = fault["code"]
        if isinstance(error, GateRefusedError):
            _count_refusal(event, ports.meter, error)
        status.write(outcome, time.monotonic() - started, error=fault)
        raise
    finally:
        seconds = time.monotonic() - started
        _tell(ports.log, who, outcome, seconds, code)
        _measure(stage, event, ports, outcome, seconds)


def _who(stage: str, event: StageEvent, request_id: str) -> dict[str, str]:
    """Return what identifies a stage's log lines: its run, its invocation and, where one was given, its trace."""
    own = {"stage": stage, "symbol": event.symbol, "quote": event.quote, "as_of": event.as_of_text}
    ids = {"run_id": event.run_id, **({"request_id": request_id} if request_id else {})}
    trace = {tracing.XRAY: settings.trace_header(os.environ), **event.given}
    return {**own, **ids, **tracing.fields(trace)}


def _tell(log: Log, who: Mapping[str, str], outcome: str, seconds: float, code: str) -> None:
    """Log how a stage ended. The error's text stays in the status object: it may quote what a market answered."""
    if outcome == "done":
        log.info("stage done", **who, outcome=outcome, seconds=round(seconds, 4))
    else:
        log.error(f"stage {outcome}", **who, outcome=outcome, seconds=round(seconds, 4), code=code)


def _judged(error: BaseException) -> tuple[str, dict[str, Any]]:
    """Return the outcome that an error means, and how the status object describes it."""
    if isinstance(error, CryptovolError):
        return "refused" if error.exit_code == 1 else "failed", describe(error)
    message = f"{type(error).__name__}: {error}"
    return "failed", {"code": "crash", "message": message, "reasons": [], "retryable": True}


def describe(error: CryptovolError) -> dict[str, Any]:
    """Return the error as it stands in a status object; a refusal of the gate also with its findings and report."""
    told = {"code": error.code, "message": str(error), "reasons": [], "retryable": error.retryable}
    if not isinstance(error, GateRefusedError):
        return told
    own = {"findings": error.findings, "refused_by": list(error.refused_by), "report_key": error.report_key}
    return {**told, "reasons": list(error.reasons), **own}


class _Status:
    """The status object of one stage of one run."""

    def __init__(self, stage: str, event: StageEvent, ports: Ports, started: str) -> None:
        self._ports = ports
        self._key = keys.run(event.run_id, event.pair, stage)
        self._base = {"stage": stage, "symbol": event.symbol, "quote": event.quote, "started": started}

    def write(self, state: str, seconds: float, **more: Any) -> None:
        body = {**self._base, "state": state, "seconds": round(seconds, 3), **more}
        self._ports.store.put(self._key, tables.encode_json(body))


def read_result(store: Store, event: StageEvent, stage: str) -> Result | None:
    """Return what a finished stage of the event's run returned, or None if it has not finished."""
    try:
        status = json.loads(store.get(keys.run(event.run_id, event.pair, stage)).data)
    except KeyNotFoundError:
        return None
    result: Result | None = status.get("result")
    return result


def _measure(stage: str, event: StageEvent, ports: Ports, outcome: str, seconds: float) -> None:
    meter = ports.meter
    meter.add("stage_runs_total", 1, {"stage": stage, "outcome": outcome})
    meter.add("stage_duration_seconds", seconds, {"stage": stage})
    if outcome == "done":
        labels = {"stage": stage, "series": event.pair}
        meter.add("stage_last_success_timestamp_seconds", ports.clock(), labels)
    if stage not in cost.UNBILLED:
        used = cost.use(stage, [seconds])
        meter.add("stage_gigabyte_seconds_total", used.gb_seconds, {"stage": stage})
        meter.add("stage_cost_usd_total", used.usd(ports.params.cost), {"stage": stage})
    meter.flush()


def _count(stage: str, event: StageEvent, meter: Meter, result: Result) -> None:
    """Count what a finished stage did, from the numbers in its result."""
    meter.add("stage_rows", result[ROWS[stage]], {"stage": stage, "series": event.pair})
    counters = {"ingest": _count_ingest, "validate": _count_validate, "train": _count_train, "score": _count_score}
    if stage in counters:
        counters[stage](event, meter, result)


def _count_ingest(event: StageEvent, meter: Meter, result: Result) -> None:
    for kind in ("new", "revised", "repaired"):
        meter.add("bars_ingested_total", result[f"rows_{kind}"], {"series": event.pair, "kind": kind})
    newest = parse_instant(result["last"]) + HOUR
    meter.add("data_newest_timestamp_seconds", newest, {"series": event.pair})


def _count_validate(event: StageEvent, meter: Meter, result: Result) -> None:
    _count_findings(meter, result["findings"])


def _count_refusal(event: StageEvent, meter: Meter, error: GateRefusedError) -> None:
    meter.add("gate_refusals_total", 1, {"series": event.pair})
    for rule in error.refused_by:
        meter.add("gate_rule_refusals_total", 1, {"rule": rule})
    _count_findings(meter, error.findings)


def _count_findings(meter: Meter, findings: Mapping[str, int]) -> None:
    for rule, found in findings.items():
        meter.add("gate_findings_total", found, {"rule": rule})


def _count_train(event: StageEvent, meter: Meter, result: Result) -> None:
    for model in result["models"].values():
        champion = model["champion"]
        if champion:
            trained = parse_instant(champion["trained_at"])
            meter.add("model_trained_timestamp_seconds", trained, {"model": champion["name"]})


def _count_score(event: StageEvent, meter: Meter, result: Result) -> None:
    for row in result["live"]:
        labels = {"model": row["model"], "window": str(row["hours"])}
        meter.add("live_qlike", row["qlike"]["model"], labels)
        meter.add("live_qlike_har", row["qlike"]["har"], labels)
        meter.add("live_rmse", row["rmse"]["model"], labels)
        meter.add("live_rmse_har", row["rmse"]["har"], labels)
        meter.add("live_bias", row["bias"], labels)
        meter.add("live_coverage", row["coverage"], labels)
    for name, found in (("forecasts_matured_total", "matured"), ("forecasts_late_total", "matured_late")):
        for model, count in result[found].items():
            meter.add(name, count, {"model": model})
    for model, ratio in result["drift"].items():
        meter.add("data_drift_ratio", ratio, {"model": model})
        meter.add("data_drift_last_evaluation_timestamp_seconds", event.as_of, {"model": model})
        for feature, score in result["drift_scores"][model].items():
            meter.add("feature_drift_score", score, {"model": model, "feature": feature})
