"""The usual handler with what Powertools' pages put around it: three metrics, and one log line."""

import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from chalice_frame import app

metrics = Metrics(namespace="rival", service="rival")
logger = Logger(service="rival")


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> Any:
    """Answer, measure and log."""
    started = time.perf_counter()
    answer = app(event, context)
    seconds = time.perf_counter() - started
    metrics.add_metric(name="http_requests_total", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="prediction_latency", unit=MetricUnit.Seconds, value=seconds)
    metrics.add_metric(name="model_predictions", unit=MetricUnit.Count, value=1)
    logger.info("request", extra={"status": answer["statusCode"]})
    return answer
