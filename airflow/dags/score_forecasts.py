"""Every hour: ingest → validate → featurize → forecast → score, per symbol, without training.

A forecast can be scored when the hours it is of have bars, so the hourly run brings the bars first, by the same stages
as `volatility_pipeline` and through the same gate; what one of them has stored the other finds. `forecast` then logs the
hour's own forecast of each horizon, so that every hour has one whoever asks, and `score` joins what matured. Where the
gate refuses, the run stops: what could not be scored is scored by a later run, once.

It starts ten minutes past the hour: sources are late by minutes, and the six-hourly pipeline starts on the hour.

Deployment comes from the environment, as for `volatility_pipeline`: ``CRYPTOVOL_SYMBOLS``, ``CRYPTOVOL_QUOTE``,
``CRYPTOVOL_FUNCTION_PREFIX``, ``CRYPTOVOL_RETRY_SECONDS``. The file stands alone, as each of this folder does.
"""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.operators.lambda_function import LambdaInvokeFunctionOperator
from airflow.sdk import DAG, Param, get_current_context, task, task_group

PREFIX = os.environ.get("CRYPTOVOL_FUNCTION_PREFIX", "cryptovol-")
SYMBOLS = [text.strip() for text in os.environ.get("CRYPTOVOL_SYMBOLS", "BTC").split(",") if text.strip()]
RETRY = {
    "retries": 3,
    "retry_delay": timedelta(seconds=float(os.environ.get("CRYPTOVOL_RETRY_SECONDS", "30"))),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}


def stage(name: str, payload: Any, doc: str, **more: Any) -> LambdaInvokeFunctionOperator:
    """Return the task of one stage."""
    return LambdaInvokeFunctionOperator(
        task_id=name, function_name=f"{PREFIX}{name}", payload=payload, log_type="Tail", doc_md=doc, **more
    )


@task(doc_md="Writes one event per symbol: `as_of` is the end of the data interval, or the one asked for.")
def plan() -> list[str]:
    """Return the first stage's event for each symbol, as JSON texts."""
    context = get_current_context()
    asked, run = context["params"], context["dag_run"]
    moment = context.get("data_interval_end") or run.run_after
    own = {
        "quote": asked["quote"],
        "as_of": asked["as_of"] or moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "run_id": asked["run_id"] or re.sub(r"[^A-Za-z0-9_.:+-]", "-", run.run_id)[:128],
    }
    return [json.dumps({"symbol": symbol, **own}, sort_keys=True) for symbol in asked["symbols"]]


@task_group(group_id="pair", prefix_group_id=False)
def pair(event: str) -> None:
    """Run one symbol's stages; another symbol's failure does not touch them."""
    ingest = stage("ingest", event, "Fetches bars closed by `as_of` that are not stored yet. Retried.", **RETRY)
    validate = stage("validate", ingest.output, "The gate. A refused batch ends the run: no retry.", retries=0)
    featurize = stage("featurize", validate.output, "Features and targets from the clean bars.", retries=0)
    forecast = stage("forecast", featurize.output, "Logs the hour's forecasts; one that is there stays.", **RETRY)
    stage("score", forecast.output, "Scores each forecast that matured, once. Retried: the same again.", **RETRY)


with DAG(
    dag_id="score_forecasts",
    schedule="10 * * * *",
    start_date=datetime(2009, 1, 3, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["cryptovol"],
    params={
        "symbols": Param(SYMBOLS, type="array", items={"type": "string", "pattern": "^[A-Z0-9]{1,12}$"}, minItems=1),
        "quote": Param(os.environ.get("CRYPTOVOL_QUOTE", "USD"), type="string", pattern="^[A-Z0-9]{1,12}$"),
        "as_of": Param(None, type=["null", "string"], description="ISO 8601 UTC; empty: the data interval's end"),
        "run_id": Param(None, type=["null", "string"], description="name of the run in the store; empty: Airflow's"),
    },
):
    pair.expand(event=plan())
