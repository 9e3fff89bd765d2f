"""What the page does in a real headless Chromium: rounds, refusals, a key, an API that is away."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from cryptovol import keyring
from tests.browser import Browser
from tests.paged import EVIL, ROUND, SHOWN, VALUES
from tests.servers import LOCAL, Process


def test_page_asks_its_own_host_alone_and_complains_of_nothing(browser: Browser, api: Process) -> None:
    """No request to another host, no console error, nothing refused by the page's own policy."""
    browser.open(api.url)
    browser.until(SHOWN)
    assert browser.complaints() == []
    assert {urlsplit(url).netloc for url in browser.requested()} == {urlsplit(api.url).netloc}


def test_texts_of_the_api_stay_text(browser: Browser, api: Process) -> None:
    """Markup in what the API says is shown as written and is no element."""
    browser.open(api.url)
    browser.until(SHOWN)
    assert EVIL in browser.value("document.getElementById('fresh').innerText")
    assert browser.value("document.getElementById('evil')") is None


def test_script_that_is_not_the_pages_own_is_not_run(browser: Browser, api: Process) -> None:
    """Should markup ever get into the document, the browser refuses to run what it brings."""
    browser.open(api.url)
    browser.until(SHOWN)
    browser.value(
        "(s => { s.textContent = 'window.foreign = 1'; document.body.append(s) })(document.createElement('script'))"
    )
    assert browser.value("window.foreign") is None
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


def test_next_round_is_answered_304_and_touches_nothing(browser: Browser, api: Process) -> None:
    """A refresh without news transfers no body and changes no element of cards or chart."""
    browser.open(api.url)
    browser.until(SHOWN)
    browser.value("""window.touched = []; for (const id of ['cards', 'chart', 'scores', 'model']) new MutationObserver(
      all => touched.push(...all.map(one => one.target.nodeName + ' ' + one.target.className)))
      .observe(document.getElementById(id), {subtree: true, childList: true, characterData: true})""")
    browser.events.clear()
    browser.value(ROUND)
    browser.until("performance.getEntriesByType('resource').filter(e => e.name.includes('/forecast/')).length >= 4")
    answered = [
        event["params"]["response"]["status"] for event in browser.events
        if event["method"] == "Network.responseReceived" and "/forecast/" in event["params"]["response"]["url"]
    ]  # fmt: skip
    assert answered == [304, 304]
    assert browser.value("touched") == []


def test_last_good_values_stay_while_the_api_is_away(browser: Browser, cloud: dict[str, str], tmp_path: Path) -> None:
    """When the API ends the page says so and since when, keeps what it had, and goes on when the API is back."""
    log = tmp_path / "api.log"
    own = Process(log, cloud, *LOCAL)
    try:
        browser.open(own.url)
        browser.until(SHOWN)
        before = browser.value(VALUES)
        own.kill()
        browser.value(ROUND)
        said = browser.until("(b => b && b.innerText)(document.querySelector('.banner.bad'))")
        assert "does not answer" in said and "The last answer came at" in said
        assert browser.value(VALUES) == before and browser.value("document.title").startswith("API away")
        own = Process(log, cloud, *LOCAL[:-1], str(urlsplit(own.url).port))
        browser.value(ROUND)
        browser.until("!document.querySelector('.banner.bad')")
    finally:
        own.kill()


def test_page_asks_for_a_key_and_keeps_it_for_the_tab(browser: Browser, cloud: dict[str, str], tmp_path: Path) -> None:
    """Where keys are required a field appears; a wrong key is said to be wrong, a right one opens the page."""
    own = Process(tmp_path / "api.log", {**cloud, "CRYPTOVOL_API_KEY_SHA256": keyring.digest("open sesame")}, *LOCAL)
    enter = "document.getElementById('key').value = '{}'; document.querySelector('#key-form button').click()"
    try:
        browser.open(own.url)
        browser.until("!document.getElementById('key-form').hidden")
        browser.value(enter.format("wrong"))
        browser.until("document.getElementById('key-note').textContent === 'This key is not accepted.'")
        browser.value(enter.format("open sesame"))
        browser.until(SHOWN)
        assert browser.value("document.getElementById('key-form').hidden")
        assert browser.value("Object.values(sessionStorage)") == ["open sesame"]
        assert browser.value("Object.values(localStorage)") == [] and browser.value("document.cookie") == ""
        browser("Page.reload")
        browser.until(SHOWN)
    finally:
        own.kill()


def test_old_bars_are_shown_and_marked(browser: Browser, cloud: dict[str, str], tmp_path: Path) -> None:
    """Bars past the limit still give a card, with what is wrong with it and how old they are."""
    own = Process(tmp_path / "api.log", {**cloud, "CRYPTOVOL_MARKET": "replay-old"}, *LOCAL)
    try:
        browser.open(own.url)
        browser.until(SHOWN)
        assert "old bars" in browser.value("document.querySelector('.card[aria-pressed=true]').innerText")
        banners = browser.value("document.getElementById('banners').innerText")
        assert "MARKET: replay-old" in banners and "BTC, 24 h: old bars." in banners
        assert re.search(r"closed [56] h ago", browser.value("document.getElementById('fresh').innerText"))
    finally:
        own.kill()
