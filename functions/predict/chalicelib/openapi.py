"""The API's contract as OpenAPI 3.1, made from the names that the code itself checks by."""

from __future__ import annotations

from typing import Any

from chalicelib.bodies import BAR_FIELDS, BAR_OPTIONAL, INSTANCES, TEXT
from chalicelib.problems import MEDIA_TYPE

from cryptovol import __version__
from cryptovol.features import FEATURE_NAMES

Schema = dict[str, Any]
NUMBER: Schema = {"type": "number"}
INSTANT: Schema = {"type": ["integer", "string"], "description": "unix seconds or ISO 8601"}
ERRORS = {
    "predict": (400, 401, 404, 413, 415, 422, 503),
    "forecast": (401, 404, 422, 503),
    "plain": (401, 404, 422, 503),
}


def _object(required: tuple[str, ...], **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": properties}


def _schemas() -> dict[str, Schema]:
    bar = {name: NUMBER for name in (*BAR_FIELDS[1:], *BAR_OPTIONAL)}
    features = {"$ref": "#/components/schemas/Features"}
    ask: Schema = {
        "symbol": {"type": "string", "minLength": 1, "maxLength": TEXT},
        "horizon_hours": {"type": "integer"},
        "level": NUMBER,
        "as_of": INSTANT,
        "allow_stale": {"type": "boolean"},
        "bars": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Bar"}},
        "features": features,
        "instances": {"type": "array", "minItems": 1, "maxItems": INSTANCES, "items": features},
    }
    problem = {name: {"type": "string"} for name in ("type", "title", "detail", "code", "request_id")}
    return {
        "Bar": _object(BAR_FIELDS, time=INSTANT, **bar),
        "Features": _object(FEATURE_NAMES, **{name: NUMBER for name in FEATURE_NAMES}),
        "Ask": _object((), **ask),
        "Forecast": _forecast(),
        "ModelCard": _card(),
        "Problem": {**_object(tuple(problem), **problem, status={"type": "integer"}), "additionalProperties": True},
    }


def _forecast() -> Schema:
    model = _object(
        ("name", "version", "trained_at", "bundle_sha256"),
        **{name: {"type": "string"} for name in ("name", "version", "trained_at", "bundle_sha256")},
    )
    one: Schema = {
        "volatility": {**NUMBER, "description": "standard deviation of hourly log returns, per hour"},
        "volatility_annualized": NUMBER,
        "interval": _object(("level", "lower", "upper"), level=NUMBER, lower=NUMBER, upper=NUMBER),
        "drift": _object(
            ("ratio", "out_of_distribution"),
            ratio={"type": ["number", "null"]},
            out_of_distribution={"type": "array", "items": {"enum": list(FEATURE_NAMES)}},
        ),
    }
    frame: Schema = {
        "symbol": {"type": "string"},
        "horizon_hours": {"type": "integer"},
        "as_of": {"type": ["string", "null"]},
        "data_age_seconds": {"type": ["integer", "null"]},
        "source": {"type": "string"},
        "model": model,
        "baselines": {"type": ["object", "null"], "additionalProperties": NUMBER},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "request_id": {"type": "string"},
    }
    batch = {"predictions": {"type": "array", "items": _object(tuple(one), **one)}}
    return {"oneOf": [_object((*frame, *one), **frame, **one), _object((*frame, *batch), **frame, **batch)]}


def _card() -> Schema:
    text: Schema = {"type": "string"}
    texts: Schema = {"type": "array", "items": text}
    block: Schema = {"type": "object"}
    told: Schema = {
        name: text for name in ("name", "bundle_sha256", "trained_at", "symbol", "quote", "market", "source")
    }
    told |= {name: block for name in ("use", "data", "features", "model", "scores", "lineage", "decision", "header")}
    more: Schema = {
        "version": {"type": ["string", "null"]},
        "horizon_hours": {"type": "integer"},
        "coverage": {"type": "array", "items": _object(("level", "covered"), level=NUMBER, covered=NUMBER)},
        "limits": texts,
        "levels": {"type": "array", "items": NUMBER},
        "refused": {"type": ["string", "null"], "description": "why a newer champion does not serve"},
    }
    return _object((*told, *more), **told, **more)


def _answers(schema: Schema, errors: tuple[int, ...]) -> dict[str, Any]:
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    good = {"description": "the answer", "content": {"application/json": {"schema": schema}}}
    return {"200": good, **{str(status): {"description": "a problem", "content": problem} for status in errors}}


def _model_answers() -> dict[str, Any]:
    answers = _answers({"$ref": "#/components/schemas/ModelCard"}, ERRORS["plain"])
    answers["200"]["content"]["text/markdown"] = {"schema": {"type": "string"}}
    return answers


def _query(*names: str) -> list[Schema]:
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    forecast = {"$ref": "#/components/schemas/Forecast"}
    plain: Schema = {"type": "object"}
    symbol = {"name": "symbol", "in": "path", "required": True, "schema": {"type": "string"}}
    options = _query("horizon_hours", "level", "as_of", "allow_stale")
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ask"}}}}
    paths: dict[str, Any] = {
        "/predict": {"post": {"requestBody": body, "responses": _answers(forecast, ERRORS["predict"])}},
        "/forecast/{symbol}": {
            "get": {"parameters": [symbol, *options], "responses": _answers(forecast, ERRORS["forecast"])}
        },
        "/scoreboard/{symbol}": {"get": {"parameters": [symbol], "responses": _answers(plain, ERRORS["plain"])}},
        "/model": {"get": {"parameters": [*_query("symbol"), *options], "responses": _model_answers()}},
        "/health": {"get": {"responses": _answers(plain, (503,))}},
        "/openapi.json": {"get": {"responses": _answers(plain, ())}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cryptovol forecast API", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
        "security": [{"key": []}],
    }
