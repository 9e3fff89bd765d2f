"""What a schema refuses, in words a caller can act on: the field's path, what it must be, and what it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chalicelib.problems import Problem, clipped
from chalicelib.schemas import BODIES, Options
from msgspec import Struct

from cryptovol.features import FEATURE_NAMES

NAMES = frozenset(FEATURE_NAMES)
PAYLOADS = tuple(BODIES)[:3]
KINDS = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "object": "an object",
    "array": "a list", "null": "null",
}  # fmt: skip
BOUNDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}
_WHERE = re.compile(r"(.*?)(?: - at `\$\.?([\w.\[\]]*)`)?", re.DOTALL)
_KIND = re.compile(r"Expected `([\w |]+)`, got `(\w+)`")
_BOUND = re.compile(r"Expected `(\w+)`( of length)? ([<>]=?) (\S+)")
_FORM = re.compile(r"Expected `str` matching regex '(.*)'")
_ABSENT = re.compile(r"Object missing required field `(.*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_ROW = re.compile(r"(features|instances)(?:\[(\d+)\])?(?:\.\w+)?")


def invalid(field: str, message: str) -> Problem:
    """Return the problem of one wrong field."""
    shown = clipped(field)
    return Problem(422, "invalid_value", f"{shown} {message}", field=shown)


def refusal(error: Exception, body: Mapping[str, Any], known: tuple[str, ...]) -> Problem:
    """Return the problem that msgspec's refusal of a body is.

    Parameters
    ----------
    error
        A `msgspec.ValidationError`.
    body
        The decoded object.
    known
        The members that it may have.
    """
    told = _WHERE.fullmatch(str(error))
    what, path = (told[1], told[2] or "") if told else (str(error), "")
    mismatch = _mismatch(body, path)
    if mismatch:
        return mismatch
    absent, unknown = _ABSENT.fullmatch(what), _UNKNOWN.fullmatch(what)
    if absent:
        return _absent(_joined(path, absent[1]))
    if unknown and not path:
        return _unknown(unknown[1], body, known)
    if unknown:
        return invalid(_joined(path, clipped(unknown[1])), "is unknown here; see /openapi.json for what is known")
    return invalid(path or "the request", f"must be {_wanted(what)}")


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _absent(field: str) -> Problem:
    cure = "; send a symbol, features or instances" if field == "symbol" else ""
    return invalid(field, f"is missing{cure}")


def _unknown(name: str, body: Mapping[str, Any], known: tuple[str, ...]) -> Problem:
    other = next((each for each in PAYLOADS if each in body and each != name), "")
    if name in PAYLOADS and other:
        return invalid(name, f"cannot be given together with {other}")
    return invalid(name, f"is unknown; known are {', '.join(known)}")


def _wanted(what: str) -> str:
    kind, bound, form = _KIND.fullmatch(what), _BOUND.fullmatch(what), _FORM.fullmatch(what)
    if kind and kind[2] == "OutOfRange" or what == "Number out of range":
        return "a finite number"
    if kind:
        wanted = " or ".join(KINDS.get(name, name) for name in kind[1].split(" | ") if name != "null")
        return f"{wanted}, not {KINDS.get(kind[2], kind[2])}"
    if bound:
        size = ("of length " if bound[2] else "") + BOUNDS[bound[3]]
        return f"{KINDS.get(bound[1], bound[1])} {size} {bound[4].removesuffix('.0')}"
    return f"a text of the form {form[1]}" if form else "as /openapi.json says"


def _mismatch(body: Mapping[str, Any], path: str) -> Problem | None:
    """Return the problem of a row of features with other names than the model's: all of them at once."""
    where = _ROW.fullmatch(path)
    if where is None:
        return None
    rows = body.get(where[1])
    row = rows[int(where[2])] if where[2] and isinstance(rows, list) else rows
    if not isinstance(row, Mapping) or row.keys() == NAMES:
        return None
    missing = [name for name in FEATURE_NAMES if name not in row]
    surplus = [name for name in row if name not in NAMES]
    field = path if where[2] is None else f"{where[1]}[{where[2]}]"
    return Problem(
        422, "feature_mismatch",
        f"{field.split('.')[0]} needs the {len(NAMES)} features by name: {len(missing)} missing, {len(surplus)} unknown",
        field=field.split(".")[0], missing=missing, unexpected=[clipped(name) for name in surplus[:50]],
    )  # fmt: skip


def members(kind: type[Struct]) -> tuple[str, ...]:
    """Return the members that a body of any kind may have, options first."""
    return (*Options.__struct_fields__, "symbol", *PAYLOADS) if kind in BODIES.values() else kind.__struct_fields__
