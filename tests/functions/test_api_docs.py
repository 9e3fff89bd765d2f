"""The API's page: every route is on it, every curl example runs, and what it shows is what the contract says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests import contract
from tests.api import BARS, ROW, Api, as_json

PAGE = Path("docs/api.md").read_text(encoding="utf-8")
CURLS = re.findall(r"^curl .*$", PAGE, flags=re.MULTILINE)
FILES: dict[str, Any] = {
    "@bars.json": {"symbol": "BTC", "bars": as_json(BARS)},
    "@features.json": {"features": ROW},
    "@instances.json": {"instances": [ROW, ROW]},
}


def test_page_has_a_section_and_a_row_for_every_route() -> None:
    """Headings and the table at the top name the contract's routes, no more and no fewer."""
    routes = {f"{m.upper()} {path}" for path, entries in contract.published()["paths"].items() for m in entries}
    assert set(re.findall(r"^## `(.+)`$", PAGE, flags=re.MULTILINE)) == routes
    assert set(re.findall(r"^\| \[`(.+?)`\]", PAGE, flags=re.MULTILINE)) == routes


@pytest.mark.parametrize("line", CURLS)
def test_curl_example_of_the_page_is_answered(api: Api, line: str) -> None:
    """Each example, sent to the API, gets a 200 that the contract promises; a symbol without a board, its 404."""
    words = shlex.split(line)
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    (sent,) = [words[i + 1] for i, word in enumerate(words) if word == "-d"] or [None]
    body = json.dumps(FILES[sent]) if sent in FILES else sent or ""
    path = words[-1].removeprefix("http://127.0.0.1:8000")
    answer = api.request("POST" if sent else "GET", path, headers, body.encode())
    assert answer.status_code == 200 or answer.json_body["code"] in ("no_scoreboard", "no_history")


def test_answers_on_the_page_are_of_the_contract() -> None:
    """The forecast and the health report shown are valid by their schemas."""
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)]
    for name, value in zip(("Forecast", "Health"), shown, strict=True):
        assert not contract.faults(contract.component(name), value)


def test_options_on_the_page_are_those_of_the_contract() -> None:
    """The table of options has every option of the contract, and no other."""
    table = PAGE.partition("| option | means |")[2].partition("\n\n")[0]
    options = contract.published()["components"]["schemas"]["OfFeatures"]["properties"]
    assert set(re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE)) == set(options) - {"features"}


def test_members_of_the_scoreboard_on_the_page_are_those_of_the_contract() -> None:
    """The table has every member of a board, of a window and of drift, and no other."""
    table = PAGE.partition("## `GET /scoreboard/{symbol}`")[2].partition("| member | means |")[2].partition("\n\n")[0]
    parts = {"": "Board", "windows[].": "Window", "drift.": "Drifted"}
    schemas = contract.published()["components"]["schemas"]
    members = {f"{before}{name}" for before, part in parts.items() for name in schemas[part]["properties"]}
    assert set(re.findall(r"^\| `(.+?)`", table, flags=re.MULTILINE)) == members
