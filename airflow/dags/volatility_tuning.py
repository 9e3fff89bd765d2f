"""The search for better parameters: once a week, per symbol, on the newest feature table the pipeline has stored.

On demand: ``airflow dags trigger volatility_tuning --conf '{"symbols": ["BTC"]}'``, or ``cryptovol tune``. The function
keeps its search trial by trial, so a retried or repeated run goes on where it was and computes nothing twice. The next
training uses what was found.

Deployment comes from the environment, as for `volatility_pipeline`: ``CRYPTOVOL_SYMBOLS``, ``CRYPTOVOL_QUOTE``,
``CRYPTOVOL_FUNCTION_PREFIX``, ``CRYPTOVOL_RETRY_SECONDS``. The file stands alone: not every program that reads a DAG
folder can import one file of it from another.
"""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta

from airflow.providers.amazon.aws.operators.lambda_function import LambdaInvokeFunctionOperator
from airflow.sdk import DAG, Param, get_current_context, task

PREFIX = os.environ.get("CRYPTOVOL_FUNCTION_PREFIX", "cryptovol-")
SYMBOLS = [text.strip() for text in os.environ.get("CRYPTOVOL_SYMBOLS", "BTC").split(",") if text.strip()]


@task(doc_md="Writes one event per symbol: `as_of` is the end of the data interval, or the one asked for.")
def plan() -> list[str]:
    """Return the function's event for each symbol, as JSON texts."""
    context = get_current_context()
    asked, run = context["params"], context["dag_run"]
    moment = context.get("data_interval_end") or run.run_after
    own = {
        "quote": asked["quote"],
        "as_of": asked["as_of"] or moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "run_id": asked["run_id"] or re.sub(r"[^A-Za-z0-9_.:+-]", "-", run.run_id)[:128],
    }
    return [json.dumps({"symbol": symbol, **own}, sort_keys=True) for symbol in asked["symbols"]]


with DAG(
    dag_id="volatility_tuning",
    schedule="@weekly",
    start_date=datetime(2009, 1, 3, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # A search takes every core its function has: one symbol at a time.
    max_active_tasks=1,
    doc_md=__doc__,
    tags=["cryptovol"],
    params={
        "symbols": Param(SYMBOLS, type="array", items={"type": "string", "pattern": "^[A-Z0-9]{1,12}$"}, minItems=1),
        "quote": Param(os.environ.get("CRYPTOVOL_QUOTE", "USD"), type="string", pattern="^[A-Z0-9]{1,12}$"),
        "as_of": Param(None, type=["null", "string"], description="ISO 8601 UTC; empty: the data interval's end"),
        "run_id": Param(None, type=["null", "string"], description="name of the run in the store; empty: Airflow's"),
    },
):
    LambdaInvokeFunctionOperator.partial(
        task_id="tune",
        function_name=f"{PREFIX}tune",
        log_type="Tail",
        doc_md="Searches ridge and forest parameters before the hours a promotion is decided on. Retried; it resumes.",
        retries=2,
        retry_delay=timedelta(seconds=float(os.environ.get("CRYPTOVOL_RETRY_SECONDS", "30"))),
        retry_exponential_backoff=True,
        max_retry_delay=timedelta(minutes=10),
    ).expand(payload=plan())
