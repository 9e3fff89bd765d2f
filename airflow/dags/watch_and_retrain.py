"""Every hour: is a model to be trained anew, out of turn? If so, tuning, then the volatility pipeline.

The function `watch` decides on the newest scoreboards: drift or decay beyond its limit in two evaluations in a row, and
no retraining started in the hours before (`params.yaml`, block `watch`). It writes each decision to retrain into the
store, once. For a symbol that it decides so on, `tune` searches parameters, whose study the next training uses, and
`volatility_pipeline` is triggered for that symbol as of the decision. If the search fails the pipeline is triggered
all the same: a model on newer bars with the old parameters is better than none.

A task that is tried again, or a run that is cleared, finds the decision it made and triggers the same run id, which
Airflow has once. It starts a quarter of an hour after `score_forecasts`, whose scoreboards it reads.

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
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, get_current_context, task, task_group

PREFIX = os.environ.get("CRYPTOVOL_FUNCTION_PREFIX", "cryptovol-")
SYMBOLS = [text.strip() for text in os.environ.get("CRYPTOVOL_SYMBOLS", "BTC").split(",") if text.strip()]
RETRY: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=float(os.environ.get("CRYPTOVOL_RETRY_SECONDS", "30"))),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}
OWN = ("symbol", "quote", "as_of")


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


# One symbol whose scoreboards cannot be read keeps no other from being retrained.
@task(doc_md="Picks the symbols to retrain; each with the id that its runs have.", trigger_rule="all_done")
def started(answers: Any) -> list[dict[str, Any]]:
    """Return, per symbol to retrain, the tuning's event and the pipeline's run id and parameters."""
    found = []
    for answer in (json.loads(text) for text in answers if text):
        if answer["retrain"]:
            own = {name: answer[name] for name in OWN}
            tune = {**own, "run_id": answer["retraining"], "market": answer["market"]}
            conf = {"symbols": [own["symbol"]], "quote": own["quote"], "as_of": own["as_of"]}
            found.append({
                "tune": json.dumps(tune, sort_keys=True), "run_id": answer["retraining"],
                "conf": {**conf, "run_id": answer["retraining"]},
            })  # fmt: skip
    return found


@task(doc_md="Fails the run, which `started` would let pass, where a symbol could not be judged.")
def judged(answers: Any) -> int:
    """Return how many symbols were judged: all, or this does not run."""
    return len(list(answers))


@task_group(group_id="retraining", prefix_group_id=False)
def retraining(tune: str, run_id: str, conf: dict[str, Any]) -> None:
    """Tune and trigger for one symbol; another symbol's failure does not touch it."""
    search = LambdaInvokeFunctionOperator(
        task_id="tune", function_name=f"{PREFIX}tune", payload=tune, log_type="Tail",
        doc_md="Searches parameters for the training that follows. Retried; it resumes.", **RETRY,
    )  # fmt: skip
    pipeline = TriggerDagRunOperator(
        task_id="pipeline", trigger_dag_id="volatility_pipeline", trigger_run_id=run_id, conf=conf,
        skip_when_already_exists=True, trigger_rule="all_done", logical_date=None,
        doc_md="Triggers the pipeline once per decision, whether or not the search came to its end.",
    )  # fmt: skip
    search >> pipeline


with DAG(
    dag_id="watch_and_retrain",
    schedule="25 * * * *",
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
    watch = LambdaInvokeFunctionOperator.partial(
        task_id="watch",
        function_name=f"{PREFIX}watch",
        log_type="Tail",
        doc_md="Decides on the newest scoreboards, and writes down a retraining it starts. Retried: the same again.",
        **RETRY,
    ).expand(payload=plan())
    retraining.expand_kwargs(started(watch.output))
    judged(watch.output)
