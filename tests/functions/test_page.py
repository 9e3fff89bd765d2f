"""The page at ``/``: one document, for browsers; the routes, for programs."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from chalice.deploy.packager import LambdaDeploymentPackager
from chalice.utils import OSUtils, UI
from chalicelib import page

from tests.api import Api

PROJECT = Path("functions/predict")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept", [BROWSER, "*/*", "", "text/html;q=0.5, application/json;q=0.4", "application/json;q=0", "nonsense"]
)
def test_page_is_what_a_browser_gets(api: Api, accept: str) -> None:
    """Whoever does not prefer JSON gets the page."""
    answer = api.get("/", accept=accept)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8" and answer.headers["Vary"] == "Accept"
    assert answer.body.decode() == page.document()


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json, text/plain, */*", "application/*", "text/html;q=0.1, */*"]
)
def test_routes_are_what_a_program_gets(api: Api, accept: str) -> None:
    """Whoever prefers JSON gets the routes and their methods."""
    body = api.get("/", accept=accept).json_body
    assert body["name"] == "cryptovol" and body["routes"]["/history/{symbol}"] == ["GET"]


def test_page_costs_no_body_where_the_browser_has_it(api: Api) -> None:
    """The tag is of the page's very text."""
    tag = api.get("/").headers["ETag"]
    assert api.get("/", **{"if-none-match": f'"x", {tag}'}).status_code == 304
    assert api.get("/", **{"if-none-match": '"x"'}).status_code == 200


def test_policy_lets_in_the_pages_own_style_and_script_and_nothing_else(api: Api) -> None:
    """The hashes are of what stands between the tags, and no other source is named."""
    answer = api.get("/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.body.decode(), flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy) and policy["frame-ancestors"] == "'none'"


def test_page_names_no_host_and_writes_no_markup() -> None:
    """No address outside is in it but SVG's name; nothing is put into the document as markup, styled or run inline."""
    hosts = set(re.findall(r"https?://[^\s\"')]+", page.document()))
    assert hosts == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", page.script())
    assert not re.search(
        r"<[^>]+\s(style|on\w+)=", page.document().replace(page.script(), "").replace(page.style(), "")
    )


def test_page_keeps_the_key_for_the_tab_alone() -> None:
    """The key goes into session storage; only the theme outlives the tab."""
    kept = dict(re.findall(r"(?<!function )remember\((\w+), (\w+)", page.script()))
    assert kept == {"session": "KEY", "local": "THEME"} and "document.cookie" not in page.script()


def test_every_file_of_the_page_is_in_it_and_in_the_deployed_zip() -> None:
    """No file beside the module is forgotten, and Chalice packages them all."""
    packager = LambdaDeploymentPackager(OSUtils(), None, UI())  # type: ignore[arg-type]
    packaged = {name for _, name in packager._iter_app_filenames(str(PROJECT))}
    files = {path.name for path in page.STATIC.iterdir()}
    assert files == {"page.html", "page.css", *page.SCRIPTS}
    assert {f"chalicelib/static/{name}" for name in files} <= packaged
