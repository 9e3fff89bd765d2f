"""The volatility pipeline: ingest → validate → featurize → train → version → score, every six hours, per symbol.

The DAG knows the functions by name only and imports none of the project's code, so it parses in milliseconds and
an Airflow of any kind can run it. Deployment comes from the environment:

``CRYPTOVOL_SYMBOLS``          comma-separated default symbols, for instance ``BTC,ETH``
``CRYPTOVOL_QUOTE``            quote currency, default ``USD``
``CRYPTOVOL_FUNCTION_PREFIX``  default ``cryptovol-``
``CRYPTOVOL_BUCKET``           where the functions keep their objects, default ``cryptovol``
``CRYPTOVOL_RETRY_SECONDS``    first delay before a retry, doubled each time, default 30
``CRYPTOVOL_HOME``             the project folder, and
``CRYPTOVOL_PYTHON``           its interpreter, for the version step
``CRYPTOVOL_VERSION_LOG``      file that also receives what the version step prints, its metrics among it
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.lambda_function import LambdaInvokeFunctionOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException

PREFIX = os.environ.get("CRYPTOVOL_FUNCTION_PREFIX", "cryptovol-")
BUCKET = os.environ.get("CRYPTOVOL_BUCKET") or "cryptovol"
SYMBOLS = [text.strip() for text in os.environ.get("CRYPTOVOL_SYMBOLS", "BTC").split(",") if text.strip()]
QUOTE = os.environ.get("CRYPTOVOL_QUOTE", "USD")
RETRY = {
    "retries": 3,
    "retry_delay": timedelta(seconds=float(os.environ.get("CRYPTOVOL_RETRY_SECONDS", "30"))),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}
VERSION = (
    'set -o pipefail; cd "${CRYPTOVOL_HOME:-.}" && "${CRYPTOVOL_PYTHON:-python3}" -m cryptovol version'
    ' --run-id "$RUN_ID" --symbol "$SYMBOL" --quote "$QUOTE" --as-of "$AS_OF"'
    ' | tee -a "${CRYPTOVOL_VERSION_LOG:-/dev/null}"'
)
# The functions put their error's kind in front of the message: "[code] text" or "[code, retryable] text".
RETRYABLE = ", retryable]"
# A refusal's message ends with the key of its page.
PAGE = re.compile(r"Report: (\S+\.html)")
LINK_DAYS = 7  # AWS signs for no longer


class StageOperator(LambdaInvokeFunctionOperator):
    """Invokes one stage's function and hands its JSON answer to the next task.

    A failure that no retry can cure (a refused batch, a wrong setting) fails the task at once, whatever retries it
    has; a retryable one, and a crash of unknown kind, is left to the task's retries. Either way the function's
    message is in the task log as plain lines. If the stage wrote a report, a link to its page is there, too.
    """

    def execute(self, context: Any) -> str:
        """Return the function's answer, a JSON text; raise `AirflowFailException` where a retry is useless."""
        try:
            answer = str(super().execute(context))
        except ValueError as error:
            message = failure_message(error)
            for line in message.splitlines() or ["the function failed and said nothing"]:
                self.log.error("%s: %s", self.task_id, line)
            self._link(refusal_page(message))
            if is_final(message):
                raise AirflowFailException(message) from error
            raise
        self._link(new_page(answer, self.payload))
        return answer

    def _link(self, key: str) -> None:
        """Log a link that opens a report's page in a browser, or its key where none can be made."""
        if not key:
            return
        try:
            self.log.info("%s: report, for %d days: %s", self.task_id, LINK_DAYS, self._signed(key))
        except Exception as error:  # a link must not decide whether a task fails
            self.log.warning("%s: report: s3://%s/%s (no link: %s)", self.task_id, BUCKET, key, error)

    def _signed(self, key: str) -> str:
        """Return a presigned link to an object, made with the connection that invokes the functions."""
        # Left to itself the client signs by the old version 2, which newer buckets do not accept.
        config = self.hook.config.merge(type(self.hook.config)(signature_version="s3v4"))
        hook = S3Hook(**{**self._hook_parameters, "config": config})
        link = hook.generate_presigned_url(
            "get_object", {"Bucket": BUCKET, "Key": key}, expires_in=LINK_DAYS * 24 * 3600
        )
        if not link:
            raise ValueError("the client signed nothing")
        return str(link)


def new_page(answer: str, event: Any) -> str:
    """Return the key of the page that a stage wrote, or an empty text; the stages after it only pass the key on."""
    key = fields(answer).get("page_key", "")
    return str(key) if key and key != fields(event).get("page_key") else ""


def refusal_page(message: str) -> str:
    """Return the key of the page that a refusal names at its end, or an empty text."""
    found = PAGE.findall(message)
    return str(found[-1]) if found else ""


def fields(text: Any) -> dict[str, Any]:
    """Return the fields of a JSON object; none where the text is not one."""
    try:
        body = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def failure_message(error: ValueError) -> str:
    """Return what a failed function said of itself, from the operator's exception."""
    details = error.args[1] if len(error.args) > 1 else None
    payload = details.get("Payload") if isinstance(details, dict) else None
    if not isinstance(payload, str):
        return str(error)
    try:
        body = json.loads(payload)
    except ValueError:
        return payload
    return str(body.get("errorMessage", payload)) if isinstance(body, dict) else payload


def is_final(message: str) -> bool:
    """Return whether the message is one of the project's own errors that a retry cannot cure."""
    head = message.partition("]")[0] + "]"
    return message.startswith("[") and not head.endswith(RETRYABLE)


def payloads(symbols: Sequence[str], quote: str, as_of: str, run_id: str) -> list[str]:
    """Return the first stage's event for each symbol, as JSON texts."""
    return [
        json.dumps({"symbol": symbol, "quote": quote, "as_of": as_of, "run_id": run_id}, sort_keys=True)
        for symbol in symbols
    ]


def stage(name: str, payload: Any, doc: str, **more: Any) -> StageOperator:
    """Return the task of one stage."""
    return StageOperator(
        task_id=name, function_name=f"{PREFIX}{name}", payload=payload, log_type="Tail", doc_md=doc, **more
    )


def field(name: str) -> str:
    """Return the template of one field of the symbol's event."""
    return "{{ (ti.xcom_pull(task_ids='train', map_indexes=ti.map_index) | fromjson)['" + name + "'] }}"


@task(
    task_id="plan", doc_md="Writes one event per symbol: `as_of` is the end of the data interval, or the one asked for."
)
def plan() -> list[str]:
    """Return the first stage's event for each symbol."""
    context = get_current_context()
    asked, run = context["params"], context["dag_run"]
    moment = context.get("data_interval_end") or run.run_after
    as_of = asked["as_of"] or moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    run_id = asked["run_id"] or re.sub(r"[^A-Za-z0-9_.:+-]", "-", run.run_id)[:128]
    return payloads(asked["symbols"], asked["quote"], as_of, run_id)


@task_group(group_id="pair", prefix_group_id=False)
def pair(event: str) -> None:
    """Run one symbol's stages; another symbol's failure does not touch them."""
    ingest = stage("ingest", event, "Fetches bars closed by `as_of` that are not stored yet. Retried.", **RETRY)
    validate = stage("validate", ingest.output, "The gate. A refused batch fails the run at once: no retry.", retries=0)
    featurize = stage("featurize", validate.output, "Features and targets from the clean bars.", retries=0)
    train = stage("train", featurize.output, "Trains, scores and promotes or not. Retried.", **RETRY)
    version = BashOperator(
        task_id="version",
        bash_command=VERSION,
        env={"RUN_ID": field("run_id"), "SYMBOL": field("symbol"), "QUOTE": field("quote"), "AS_OF": field("as_of")},
        append_env=True,
        retries=0,
        doc_md="Records data and model under DVC, with the project's own interpreter.",
    )
    score = stage("score", train.output, "Scores matured forecasts against what came true.", retries=0)
    train >> version >> score


with DAG(
    dag_id="volatility_pipeline",
    schedule="0 */6 * * *",
    # Before any bar there is: a run as of an earlier instant would have no tasks, and succeed.
    start_date=datetime(2009, 1, 3, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["cryptovol"],
    user_defined_filters={"fromjson": json.loads},
    params={
        "symbols": Param(SYMBOLS, type="array", items={"type": "string", "pattern": "^[A-Z0-9]{1,12}$"}, minItems=1),
        "quote": Param(QUOTE, type="string", pattern="^[A-Z0-9]{1,12}$"),
        "as_of": Param(None, type=["null", "string"], description="ISO 8601 UTC; empty: the data interval's end"),
        "run_id": Param(None, type=["null", "string"], description="name of the run in the store; empty: Airflow's"),
    },
):
    pair.expand(event=plan())
