"""The API's contract as OpenAPI 3.1, made from the types that requests are checked by and answers are held against."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from chalicelib import answers, schemas
from chalicelib.codes import CODES
from chalicelib.operations import JSON, OPERATIONS, Kind, Operation
from chalicelib.problems import MEDIA_TYPE

from cryptovol import __version__

Schema = dict[str, Any]
REF = "#/components/schemas/{name}"
PROBLEM = answers.ProblemDocument
HEADERS: dict[str, Schema] = {
    "X-Request-Id": {"description": "The request's id, as in the log.", "schema": {"type": "string"}},
    "ETag": {"description": "Give it back in `If-None-Match`.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "How long the answer may be kept.", "schema": {"type": "string"}},
    "Vary": {"description": "What the answer depends on beside the address.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}},
    "Accept": {"description": "What is understood.", "schema": {"type": "string"}},
    "Accept-Encoding": {"description": "What is understood.", "schema": {"type": "string"}},
}
OF_STATUS = {
    401: ("WWW-Authenticate",),
    415: ("Accept", "Accept-Encoding"),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
ABOUT = (
    "Forecasts of how strongly a coin's price will move. Volatility is the standard deviation of hourly log returns, per"
    " hour; `volatility_annualized` is that times the square root of 8,760. Errors are RFC 9457 problem documents with a"
    " stable `code`; docs/errors.md lists them. A method that a route does not have is 405, with `Allow`."
)
REQUEST_ID = "4f0c9a52-7a0e-4f3b-9d4e-0d0f6f0c8a11"
HELD: Schema = {
    "name": "If-None-Match", "in": "header", "description": "The `ETag` of an answer that is held.",
    "schema": {"type": "string"},
}  # fmt: skip


@cache
def encoded() -> bytes:
    """Return the document's JSON; it is made once per process."""
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    kinds: list[Kind] = [PROBLEM, schemas.SymbolQuery, *{kind: None for one in OPERATIONS for kind in _kinds(one)}]
    refs, components = msgspec.json.schema_components(kinds, ref_template=REF)
    named = dict(zip(kinds, refs, strict=True))
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _operation(one, named, components)
    published = {name: schema for name, schema in components.items() if not name.endswith(("Query", "Options"))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cryptovol forecast API", "version": __version__, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": published,
            "headers": HEADERS,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
        "security": [{"key": []}],
    }


def _kinds(one: Operation) -> list[Kind]:
    optional = [kind for kind in (one.query, one.unready) if kind is not None]
    return [*(kind for kinds in one.content.values() for kind in kinds), *one.body, *optional]


def _operation(one: Operation, named: dict[Kind, Schema], components: dict[str, Any]) -> Schema:
    found: Schema = {
        "operationId": f"{one.method} {one.path}".replace("/", " ").replace("{", "").replace("}", "").split(),
        "summary": one.summary,
        "responses": _responses(one, named),
    }
    found["operationId"] = "_".join(found["operationId"]).replace(".", "_") + ("_index" if one.path == "/" else "")
    held = [HELD] if "ETag" in one.headers else []
    parameters = _path(one, components) + _query(one, components) + held
    extra = {
        "description": one.about,
        "parameters": parameters,
        "requestBody": _body(one, named) if one.body else None,
        "security": [] if one.public else None,
    }
    return {**found, **{name: value for name, value in extra.items() if value or (name == "security" and one.public)}}


def _path(one: Operation, components: dict[str, Any]) -> list[Schema]:
    if "{symbol}" not in one.path:
        return []
    schema = components["SymbolQuery"]["properties"]["symbol"]
    return [{"name": "symbol", "in": "path", "required": True, "schema": schema}]


def _query(one: Operation, components: dict[str, Any]) -> list[Schema]:
    if one.query is None:
        return []
    fields = components[one.query.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": _given(schema)} for name, schema in fields.items()]


def _given(schema: Schema) -> Schema:
    """Return the schema of an option that is given: without null, which an address cannot hold."""
    return dict(schema["anyOf"][0]) if schema.get("anyOf", [])[1:] == [{"type": "null"}] else schema


def _body(one: Operation, named: dict[Kind, Schema]) -> Schema:
    examples = {name: {"value": value} for name, value in one.examples.items()}
    media = {"schema": {"oneOf": [named[kind] for kind in one.body]}, "examples": examples}
    return {"required": True, "content": {JSON: media}}


def _responses(one: Operation, named: dict[Kind, Schema]) -> Schema:
    content = {
        media: {"schema": _any_of([named[kind] for kind in kinds], media)} for media, kinds in one.content.items()
    }
    if one.answer:
        content[JSON]["example"] = one.answer
    good = {"description": "The answer.", "headers": _headers(one.headers), "content": content}
    found: Schema = {"200": good}
    if "ETag" in one.headers:
        found["304"] = {"description": "What the caller holds is still the answer.", "headers": _headers(one.headers)}
    for status in one.errors:
        found[str(status)] = _problem(status, named)
    if one.unready is not None:
        found["503"]["content"][JSON] = {"schema": named[one.unready]}
    return found


def _any_of(schemas_: list[Schema], media: str) -> Schema:
    if not schemas_:
        return {"type": "object" if media == JSON else "string"}
    return schemas_[0] if len(schemas_) == 1 else {"oneOf": schemas_}


def _problem(status: int, named: dict[Kind, Schema]) -> Schema:
    codes = {name: code for name, code in CODES.items() if status in code.statuses}
    first, code = next(iter(codes.items()))
    kind, told = f"urn:cryptovol:problem:{first}", f"{code.when} {code.cure}"
    example = {
        "type": kind,
        "title": code.title,
        "status": status,
        "detail": told,
        "code": first,
        "request_id": REQUEST_ID,
    }
    return {
        "description": f"A problem document; its code is one of {', '.join(f'`{name}`' for name in codes)}.",
        "headers": _headers(OF_STATUS.get(status, ())),
        "content": {MEDIA_TYPE: {"schema": named[PROBLEM], "example": example}},
    }


def _headers(names: tuple[str, ...]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}
