"""What is read and not forecast: the cacheable forecast, model card, scoreboard, health, metrics, contract."""

from __future__ import annotations

import io
import json
from pathlib import Path

import app as predict_app
import pytest

from cryptovol import __version__
from cryptovol.adapters.telemetry import EmfMeter
from cryptovol.features import FEATURE_NAMES
from cryptovol.sidecar.state import Portion, State
from cryptovol.times import HOUR
from tests.api import END, Api, assert_problem
from tests.served import MARKET

BOARD = f"scoreboard/{MARKET}/btc-usd/latest.json"


def test_forecast_route_has_an_etag_that_answers_304(api: Api) -> None:
    """The same hour and model need not be sent twice; another horizon is another answer."""
    first = api.get("/forecast/BTC")
    tag = first.headers["ETag"]
    api.now += 30
    again = api.get("/forecast/BTC", **{"if-none-match": tag})
    assert (again.status_code, again.body) == (304, b"") and "max-age" in again.headers["Cache-Control"]
    assert api.get("/forecast/BTC?horizon_hours=6").headers["ETag"] != tag


@pytest.mark.parametrize(
    "query", ["surprise=1", "level=0.5&level=0.9", "horizon_hours=x", "level=NaN", "allow_stale=7"]
)
def test_forecast_route_refuses_wrong_options(api: Api, query: str) -> None:
    """Options in the address are as strict as those in a body."""
    assert_problem(api.get(f"/forecast/BTC?{query}"), 422, "invalid_value")


def test_health_tells_ok_degraded_and_unready(api: Api) -> None:
    """Fresh is ok, old data is degraded and still 200, nothing to serve is 503."""
    good = api.get("/health")
    assert good.status_code == 200 and good.json_body["status"] == "ok"
    assert [one["horizon_hours"] for one in good.json_body["series"]] == [6, 24]
    api.now += 5 * HOUR
    old = api.get("/health")
    assert (old.status_code, old.json_body["status"], old.json_body["series"][0]["stale"]) == (200, "degraded", True)
    api.store.objects.clear()
    api.open()
    assert (api.get("/health").status_code, api.get("/health").json_body["status"]) == (503, "unready")


def test_model_card_tells_header_scores_and_levels(api: Api) -> None:
    """The card names the model of a symbol and horizon, what it is for, and has exactly the contract's members."""
    card = api.get("/model?symbol=BTC&horizon_hours=6").json_body
    assert card["name"].endswith("h6") and card["levels"] == [0.5, 0.9] and card["refused"] is None
    assert card["scores"]["qlike"] == {"model": 0.1} and card["header"]["spec"]["names"] == list(FEATURE_NAMES)
    assert card["decision"]["decision"] == "promoted" and card["decision"]["entry"] == 1
    assert sum(map(len, card["features"].values())) == 36 and card["use"]["not_intended"]
    contract = api.get("/openapi.json").json_body["components"]["schemas"]["ModelCard"]
    assert set(card) == set(contract["required"]) == set(contract["properties"])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/markdown", "text/markdown"),
        ("text/markdown, application/json;q=0.5", "text/markdown"),
        ("text/markdown;q=0.2, application/json", "application/json"),
        ("text/markdown;q=0", "application/json"),
        ("text/markdown;q=x", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_model_card_comes_as_json_unless_markdown_is_preferred(api: Api, accept: str, kind: str) -> None:
    """The same address gives the card for programs or for people, as the Accept header asks."""
    answer = api.get("/model", accept=accept)
    assert answer.status_code == 200 and answer.headers.get("Content-Type", "application/json").split(";")[0] == kind
    assert (b"## Intended use" in answer.body) is (kind == "text/markdown")
    assert answer.headers["Vary"] == "Accept"


def test_model_card_does_without_a_ledger_entry_that_is_gone(api: Api) -> None:
    """What serves is told also where the decision about it cannot be read."""
    for key in [key for key in api.store.objects if "/ledger/" in key]:
        del api.store.objects[key]
    answer = api.get("/model")
    assert answer.status_code == 200 and answer.json_body["decision"] == {}


def test_scoreboard_route_returns_the_newest_board_or_404(api: Api) -> None:
    """A symbol's scoreboard is shown as stored."""
    assert_problem(api.get("/scoreboard/BTC"), 404, "no_scoreboard")
    board = {"as_of": "2025-05-01T00:00:00Z", "market": MARKET, "series": "btc-usd", "horizons": {}}
    api.store.put(BOARD, json.dumps(board).encode())
    assert api.get("/scoreboard/btc").json_body == board


@pytest.mark.parametrize("stored", [b"", b"[]", b"{", b'"\xff"'])
def test_scoreboard_that_is_no_scoreboard_is_a_503(api: Api, stored: bytes) -> None:
    """Damage in the store is told as ours, with a code, and is no failure of the route."""
    api.store.put(BOARD, stored)
    assert_problem(api.get("/scoreboard/BTC"), 503, "data")


def test_metrics_route_points_elsewhere_or_shows_committed_state(api: Api, tmp_path: Path) -> None:
    """Without a state file the route says where metrics are; with one it shows exactly what is committed."""
    assert_problem(api.get("/metrics"), 404, "no_metrics_here")
    path = tmp_path / "state.sqlite"
    stream = io.StringIO()
    meter = EmfMeter(stream)
    meter.add("prediction_latency", 0.5, {"endpoint": "/predict"})
    meter.flush()
    state = State(path)
    state.apply(Portion("file:x", None, "{}", [stream.getvalue().encode().rstrip()]), END * 1000)
    api.open(CRYPTOVOL_METRICS_STATE=str(path))
    answer = api.get("/metrics", accept="text/plain")
    assert b'prediction_latency_bucket{endpoint="/predict",le="0.5"} 1.0' in answer.body
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    state.close()
    assert api.get("/metrics").body == answer.body


def test_contract_and_index_name_every_route(api: Api) -> None:
    """The published contract and the index know the routes that exist."""
    document, index = api.get("/openapi.json").json_body, api.get("/", accept="application/json").json_body
    assert document["openapi"] == "3.1.0" and document["info"]["version"] == __version__ == index["version"]
    assert set(document["paths"]) == set(index["routes"]) == set(predict_app.app.routes)
    assert document["components"]["schemas"]["Features"]["required"] == list(FEATURE_NAMES)
