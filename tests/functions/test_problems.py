"""The table of codes: complete, used, documented, and what every error of ours becomes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chalice.app import Response
from chalicelib.codes import CODES
from chalicelib.problems import BY_STATUS, DETAIL, Problem, from_chalice, from_error
from chalicelib.schemas import BODY_BYTES

from cryptovol import errors
from cryptovol.cloud import wire
from cryptovol.errors import CryptovolError
from tests import contract

SOURCES = sorted(Path("functions/predict").rglob("*.py")) + sorted(Path("layers/core/python/cryptovol").rglob("*.py"))
PAGE = Path("docs/errors.md").read_text(encoding="utf-8")
# What the constructors of some errors take beside their text.
MORE: dict[type[CryptovolError], dict[str, Any]] = {
    errors.RateLimitedError: {"retry_after": 1.0},
    errors.NotEnoughBarsError: {"needed": 721, "found": 3},
    errors.GateRefusedError: {"reasons": ["too many nulls"]},
    errors.FeatureMismatchError: {"missing": ["rv_24"], "unexpected": ["extra"]},
    errors.FeatureValueError: {"features": ["rv_24"]},
}


def kinds(root: type[CryptovolError] = CryptovolError) -> Iterator[type[CryptovolError]]:
    """Yield an error class and all below it."""
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def checked(problem: Problem) -> Problem:
    """Check a problem's status against its code's and its document against the contract."""
    assert problem.status in CODES[problem.code].statuses
    assert not contract.faults(contract.component("ProblemDocument"), json.loads(problem.response("r-1").body))
    return problem


@pytest.mark.parametrize("callers_data", [True, False])
@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_of_ours_is_a_problem_of_the_table(kind: type[CryptovolError], callers_data: bool) -> None:
    """Whatever error escapes, the caller gets a listed code with a status that the table allows it."""
    problem = checked(from_error(kind("what went wrong", **MORE.get(kind, {})), callers_data=callers_data))
    assert problem.status < 500 or problem.status == 503
    assert ("Retry-After" in problem.headers) <= (problem.status == 503)


def test_source_that_slows_us_down_is_not_told_as_the_callers_own_rate() -> None:
    """The code of a 429 of ours is never given to a failure of somebody else."""
    assert from_error(errors.RateLimitedError("slow down", 3.0), callers_data=False).code == "transient"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 411, 413, 415, 429, 431, 500, 502])
def test_refusal_of_the_framework_is_told_in_our_words(status: int) -> None:
    """A status of Chalice's own becomes the listed code, keeps `Allow`, and repeats nothing of the request."""
    theirs = Response(
        {"Code": "X", "Message": "<script>"}, headers={"Allow": "POST", "X-Theirs": "1"}, status_code=status
    )
    answer = from_chalice(theirs, "r-1")
    body = json.loads(answer.body)
    assert body["code"] == BY_STATUS.get(status, "internal") and body["title"] == CODES[body["code"]].title
    assert "<script>" not in answer.body and set(answer.headers) == {"Content-Type", "Allow"}


def test_statuses_of_the_framework_agree_with_the_table() -> None:
    """What stands in for a bare status is a code that has that status."""
    assert all(status in CODES[code].statuses for status, code in BY_STATUS.items())


def test_every_problem_in_the_source_has_a_listed_code_and_status() -> None:
    """No line of code makes a problem that the table does not know."""
    calls = [node for path in SOURCES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    made = {
        (node.args[0].value, node.args[1].value)
        for node in calls
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Problem"
        and len(node.args) > 1 and isinstance(node.args[0], ast.Constant) and isinstance(node.args[1], ast.Constant)
    }  # fmt: skip
    assert (422, "invalid_value") in made  # the search finds them
    assert not {(status, code) for status, code in made if code not in CODES or status not in CODES[code].statuses}


def test_every_listed_code_is_one_that_can_occur() -> None:
    """The table has no code that no error and no line of the source gives."""
    words = set(
        re.findall(r'"([a-z_]+)"', "".join(p.read_text(encoding="utf-8") for p in SOURCES if p.stem != "codes"))
    )
    own = {kind.code for kind in kinds()}
    assert not {code for code in CODES if code not in words and code not in own}


def test_page_of_errors_and_table_are_the_same() -> None:
    """`docs/errors.md` has a section for each code, in the table's order, with its statuses, words and cure."""
    sections = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    assert [section.partition("\n")[0].strip("`") for section in sections] == list(CODES)
    for section, (name, code) in zip(sections, CODES.items(), strict=True):
        wanted = f"**{' or '.join(map(str, code.statuses))} {code.title}.** {code.when} *Cure:* {code.cure}"
        assert wanted in " ".join(section.split()), name


def test_examples_in_the_page_of_errors_are_documents_of_the_contract() -> None:
    """Each code's example is what the contract says and has the table's title."""
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)]
    assert [example["code"] for example in examples] == list(CODES)
    for example in examples:
        assert not contract.faults(contract.component("ProblemDocument"), example)
        assert example["title"] == CODES[example["code"]].title
        assert example["status"] in CODES[example["code"]].statuses


def test_limit_of_a_body_is_told_as_it_is() -> None:
    """The table's words name the limit that the code holds."""
    assert f"{BODY_BYTES:,}" in CODES["body_too_large"].when


def test_detail_and_names_of_a_problem_are_bounded() -> None:
    """However long the text of an error, the document stays short."""
    mismatch = errors.FeatureMismatchError("x" * 10_000, missing=[], unexpected=["y" * 10_000] * 1000)
    document = from_error(mismatch, callers_data=True).document("r-1")
    assert len(document["detail"]) == DETAIL and len(json.dumps(document)) < 8_000
    assert document["detail"].endswith("…")


def test_markup_of_a_callers_is_escaped() -> None:
    """What a caller sent is repeated so that no browser could take it for HTML, and is the same text to a reader."""
    hostile = "<script>alert('&')</script>\u2028é"
    answer = Problem(422, "invalid_value", "x", field=hostile).response("r-1")
    assert not set(answer.body) & set("<>&") and answer.body.isascii()
    assert json.loads(answer.body)["field"] == hostile


def test_servers_refuse_in_the_tables_words() -> None:
    """What the servers answer before the app sees a request has codes and titles of the same table."""
    assert wire.TITLES == {code: CODES[code].title for code in wire.TITLES}
    assert wire.BODY_BYTES == BODY_BYTES
