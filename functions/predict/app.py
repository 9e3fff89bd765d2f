"""The forecast API. Each route hands over to `chalicelib.views`; nothing is opened before the first request."""

from __future__ import annotations

from typing import Any

from chalice.app import Chalice
from chalice.app import Request as HttpRequest
from chalice.app import Response
from chalicelib import views
from chalicelib.openapi import document
from chalicelib.serve import answering, observed
from chalicelib.service import current

from cryptovol import __version__

app = Chalice(app_name="cryptovol-predict")
app.register_middleware(observed, "http")
answers = answering(lambda: app.current_request)


@app.route("/predict", methods=["POST"])
@answers
def predict(event: HttpRequest) -> Any:
    """Forecast from a symbol, the caller's bars, or ready features."""
    return views.predict(current(), event)


@app.route("/forecast/{symbol}", methods=["GET"])
@answers
def forecast(event: HttpRequest, symbol: str) -> Response:
    """Forecast from stored bars, cacheable."""
    return views.forecast(current(), event, symbol)


@app.route("/scoreboard/{symbol}", methods=["GET"])
@answers
def scoreboard(event: HttpRequest, symbol: str) -> Any:
    """Show served forecasts against what was realized."""
    return views.scoreboard(current(), symbol)


@app.route("/model", methods=["GET"])
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
def openapi(event: HttpRequest) -> Any:
    """Show the contract."""
    return document()


@app.route("/", methods=["GET"])
@answers
def index(event: HttpRequest) -> Any:
    """List the routes."""
    routes = {path: sorted(entries) for path, entries in app.routes.items()}
    return {"name": "cryptovol", "version": __version__, "routes": routes}
