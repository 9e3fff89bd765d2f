"""The forecast API. Each route hands over to `chalicelib.views`; nothing is opened before the first request."""

from __future__ import annotations

import os
from typing import Any

from chalice.app import Chalice
from chalice.app import Request as HttpRequest
from chalice.app import Response
from chalicelib import guard, page, views
from chalicelib import history as past
from chalicelib.serve import answering, observed
from chalicelib.service import current

app = Chalice(app_name="cryptovol-predict")
app.register_middleware(observed, "http")
app.api.cors = guard.preflight(os.environ)
answers = answering(lambda: app.current_request)
authorize = guard.authorizer(app, os.environ)  # the name under which API Gateway's function finds it


@app.route("/predict", methods=["POST"], authorizer=authorize)
@answers
def predict(event: HttpRequest) -> Any:
    """Forecast from a symbol, the caller's bars, or ready features."""
    return views.predict(current(), event)


@app.route("/forecast/{symbol}", methods=["GET"], authorizer=authorize)
@answers
def forecast(event: HttpRequest, symbol: str) -> Response:
    """Forecast from stored bars, cacheable."""
    return views.forecast(current(), event, symbol)


@app.route("/scoreboard/{symbol}", methods=["GET"], authorizer=authorize)
@answers
def scoreboard(event: HttpRequest, symbol: str) -> Any:
    """Show served forecasts against what was realized."""
    return views.scoreboard(current(), symbol)


@app.route("/history/{symbol}", methods=["GET"], authorizer=authorize)
@answers
def history(event: HttpRequest, symbol: str) -> Response:
    """Show forecasts of the past days against what was realized."""
    return past.view(current(), event, symbol)


@app.route("/model", methods=["GET"], authorizer=authorize)
@answers
def model(event: HttpRequest) -> Any:
    """Show the card of the model that serves."""
    return views.model(current(), event)


@app.route("/health", methods=["GET"])
@answers
def health(event: HttpRequest) -> Response:
    """Tell whether forecasts can be served, and how old model and data are."""
    return views.health(current())


@app.route("/metrics", methods=["GET"])
@answers
def metrics(event: HttpRequest) -> Response:
    """Show the metrics sidecar's committed series."""
    return views.metrics(current(), event)


@app.route("/openapi.json", methods=["GET"])
@answers
def openapi(event: HttpRequest) -> Response:
    """Show the contract."""
    return views.contract()


@app.route("/", methods=["GET"])
@answers
def index(event: HttpRequest) -> Response:
    """Show the page, or list the routes."""
    return page.view(event, app.routes)
