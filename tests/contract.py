"""Answers held against the published contract: status, media type, headers, and every member of the body."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from chalicelib import openapi
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = "urn:contract"


@cache
def published() -> dict[str, Any]:
    """Return the contract as callers get it, but closed: a member that no schema names is an error here."""
    document: dict[str, Any] = json.loads(openapi.encoded())
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return document


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resource(ROOT, Resource(published(), DRAFT202012))


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """Return what is wrong with a value, by the path of each fault."""
    whole = json.loads(json.dumps(schema).replace('"#/', f'"{ROOT}#/'))
    found = Draft202012Validator(whole, registry=_registry()).iter_errors(value)
    return [f"{error.json_path}: {error.message[:300]}" for error in found]


def component(name: str) -> dict[str, Any]:
    """Return one schema of the contract."""
    return {"$ref": f"#/components/schemas/{name}"}


def check(method: str, template: str, *, status: int, headers: dict[str, str], body: bytes) -> None:
    """Fail unless the contract promises this answer of this route."""
    operation = published()["paths"].get(template, {}).get(method.lower())
    told = {name.lower(): value for name, value in headers.items()}
    kind = told.get("content-type", "application/json").split(";")[0]  # API Gateway's default, and our servers'
    if operation is None:  # the framework's own refusals are of no route's operations
        assert status in (403, 404, 405) and kind == "application/problem+json"
        assert not faults(component("ProblemDocument"), json.loads(body))
        return
    assert str(status) in operation["responses"], f"{method} {template} may not answer {status}: {body[:300]!r}"
    promised = operation["responses"][str(status)]
    assert set(told) >= {"x-request-id"}
    if "content" not in promised:
        assert body == b""
        return
    assert kind in promised["content"], f"{method} {template} may not answer {status} as {kind}"
    if kind.endswith("json"):
        wrong = faults(promised["content"][kind]["schema"], json.loads(body))
        assert not wrong, wrong
