"""The operator that invokes a stage: what is final, what is retried, and the link to the gate's report."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is in .venv-airflow; `make test` runs this file there")

from airflow.sdk.exceptions import AirflowFailException  # noqa: E402

PAGE = "reports/gate/live/btc-usd/20250501T000000Z.html"
CLOUD = {
    "conn_type": "aws", "login": "someone", "password": "something",
    "extra": {"region_name": "us-east-1", "endpoint_url": "http://127.0.0.1:4566"},
}  # fmt: skip


def lines_of(task: Any) -> list[str]:
    """Return the list into which the task's log is written from now on."""
    lines: list[str] = []
    for level in ("info", "warning", "error"):
        setattr(task.log, level, lambda text, *words: lines.append(text % words if words else text))
    return lines


def stage(module: Any, name: str, **event: Any) -> Any:
    """Return the task of one stage on one event."""
    payload = json.dumps({"symbol": "BTC", **event})
    return module.StageOperator(task_id=name, function_name=f"cryptovol-{name}", payload=payload)


@pytest.mark.parametrize(
    ("message", "final"),
    [
        ("[gate_refused] 3 rows too many", True),
        ("[config] CRYPTOVOL_SOURCE is 'x'", True),
        ("[source_unavailable, retryable] no answer", False),
        ("[gate_refused] a text that quotes [x, retryable] later", True),
        ("Task timed out after 900.00 seconds", False),
        ("Runtime exited before returning a response", False),
        ("", False),
    ],
)
def test_a_failure_is_final_only_if_it_is_ours_and_not_retryable(message: str, final: bool, module: Any) -> None:
    """Our own refusals are final; retryable errors and crashes are not."""
    assert module.is_final(message) is final


def test_operator_turns_a_refusal_into_a_failure_without_retry(
    dag: Any, functions: Any, module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal raises `AirflowFailException`, and each of its lines is a line of the task log."""
    functions.failures["validate", "BTC"] = [
        "[gate_refused] the gate refused btc-usd\n- nulls: 41 rows\n- gaps: 7 rows"
    ]
    task = module.StageOperator(
        task_id="validate", function_name="cryptovol-validate", payload='{"symbol": "BTC"}', retries=3
    )
    lines: list[str] = []
    task.log.error = lambda text, *words: lines.append(text % words)  # type: ignore[method-assign]
    with pytest.raises(AirflowFailException, match="the gate refused"):
        task.execute({})
    assert lines == [
        "validate: [gate_refused] the gate refused btc-usd",
        "validate: - nulls: 41 rows",
        "validate: - gaps: 7 rows",
    ]


def test_operator_leaves_a_retryable_failure_to_the_retries(functions: Any, module: Any) -> None:
    """A retryable error stays what it was, so that Airflow tries again."""
    functions.failures["ingest", "BTC"] = ["[source_unavailable, retryable] no answer"]
    task = module.StageOperator(task_id="ingest", function_name="cryptovol-ingest", payload='{"symbol": "BTC"}')
    with pytest.raises(ValueError, match="no answer"):
        task.execute({})
    assert json.loads(task.execute({})) == {"symbol": "BTC", "ingest": "done"}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("plain"), "plain"),
        (ValueError("text", {"Payload": "not json"}), "not json"),
        (ValueError("text", {"Payload": "[1]"}), "[1]"),
        (ValueError("text", {"Payload": '{"errorMessage": "m"}'}), "m"),
        (ValueError("text", {"Payload": '{"other": 1}'}), '{"other": 1}'),
        (ValueError("text", {}), "('text', {})"),
    ],
)
def test_failure_message_reads_any_shape_of_error(error: ValueError, says: str, module: Any) -> None:
    """Whatever the emulator answered, some text comes out."""
    assert module.failure_message(error) == says


# ---------------------------------------------------------------- the link to the report


def test_a_passed_gate_leaves_a_link_that_a_browser_can_open(
    functions: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link names bucket and key at the connection's own endpoint and is signed for a week, by version 4."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(CLOUD))
    functions.answers["validate"] = {"page_key": PAGE}
    task = stage(module, "validate")
    lines = lines_of(task)
    assert json.loads(task.execute({}))["page_key"] == PAGE
    (line,) = [line for line in lines if line.startswith("validate: report")]
    link = urlsplit(line.partition("days: ")[2])
    assert (link.scheme, link.netloc, link.path) == ("http", "127.0.0.1:4566", f"/cryptovol/{PAGE}")
    signed = parse_qs(link.query)
    assert signed["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"] and signed["X-Amz-Expires"] == ["604800"]


def test_a_refused_gate_leaves_the_link_too(functions: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key at the end of the refusal's message becomes a link; the refusal stays final."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(CLOUD))
    functions.failures["validate", "BTC"] = [f"[gate_refused] the gate refused 9 bars: gaps: 3 %. Report: {PAGE}"]
    task = stage(module, "validate")
    lines = lines_of(task)
    with pytest.raises(AirflowFailException):
        task.execute({})
    assert any(f"http://127.0.0.1:4566/cryptovol/{PAGE}?X-Amz-" in line for line in lines)


def test_without_credentials_the_key_itself_is_in_the_log(
    functions: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that cannot be made costs the task nothing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    functions.answers["validate"] = {"page_key": PAGE}
    task = stage(module, "validate")
    lines = lines_of(task)
    task.execute({})
    (line,) = [line for line in lines if line.startswith("validate: report")]
    assert line.startswith(f"validate: report: s3://cryptovol/{PAGE} (no link: ")


def test_a_later_stage_does_not_repeat_the_link(functions: Any, module: Any) -> None:
    """What the gate wrote travels on in the events; only the gate's own task tells of it."""
    task = stage(module, "featurize", page_key=PAGE)
    lines = lines_of(task)
    assert json.loads(task.execute({}))["page_key"] == PAGE
    assert lines and not [line for line in lines if line.startswith("featurize: report")]


@pytest.mark.parametrize(
    ("message", "key"),
    [
        (f"[gate_refused] no. Report: {PAGE}", PAGE),
        (f"a text that says Report: x.html. Report: {PAGE}", PAGE),
        ("[config] the event lacks raw_key", ""),
        ("", ""),
    ],
)
def test_the_page_is_read_from_the_end_of_a_refusal(message: str, key: str, module: Any) -> None:
    """The last key named counts; a failure that names none has no page."""
    assert module.refusal_page(message) == key


@pytest.mark.parametrize("answer", ["", "null", "[1]", "{", '{"page_key": ""}'])
def test_an_answer_that_is_no_object_has_no_page(answer: str, module: Any) -> None:
    """Whatever a function answers, looking for a page in it does no harm."""
    assert module.new_page(answer, None) == ""
