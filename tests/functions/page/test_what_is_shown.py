"""What the page shows in a real headless Chromium, against the real local server: the numbers, and how they look."""

from __future__ import annotations

import pytest

from tests.browser import Browser
from tests.paged import CONTRAST, SHOWN, VALUES, WIDER, told
from tests.servers import Process


def test_page_shows_the_apis_numbers(browser: Browser, api: Process) -> None:
    """Each card has the very numbers of the forecast route, labelled per year and per hour, and its interval."""
    browser.open(api.url)
    browser.until(SHOWN)
    shown = browser.value(VALUES)
    for horizon in (6, 24):
        body = told(api, f"/forecast/BTC?horizon_hours={horizon}")
        year, hour = body["volatility_annualized"], body["volatility"]
        wanted = [[year, f"{100 * year:.1f}\u202f%"], [hour, f"{100 * hour:.3f}\u202f%"]]
        assert shown[f"BTC-{horizon}"] == wanted
        text = browser.value(f"document.querySelector('[data-series=BTC-{horizon}]').innerText").replace("\u202f", " ")
        ends = [f"{100 * body['interval'][end]:.3f} %" for end in ("lower", "upper")]
        assert f"{ends[0]} to {ends[1]} per hour" in text and f"HAR {100 * body['baselines']['har']:.3f} %" in text
    assert browser.value("document.title").startswith(f"{100 * year:.1f}")


def test_chart_has_every_hour_of_the_history(browser: Browser, api: Process) -> None:
    """Live and held-out forecasts are drawn apart, realized where it is known, and the newest forecast at the end."""
    browser.open(api.url)
    browser.until(SHOWN)
    points = told(api, "/history/BTC?horizon_hours=24")["points"]

    def corners(kind: str) -> int:
        return int(
            browser.value(f"document.querySelector('#chart path.{kind}').getAttribute('d').match(/[ML]/g).length")
        )

    live = sum(point["kind"] == "live" for point in points)
    assert live == 48 and len(points) - live > 600
    assert corners("realized") == sum(point["realized"] is not None for point in points)
    assert corners("forecast:not(.held)") == live  # the newest is the forecast now
    assert corners("forecast.held") == len(points) - live
    browser.value("document.querySelector('#chart-table summary').click()")
    assert browser.until("document.querySelectorAll('#chart-table tbody tr').length") == len(points)


def test_scores_stand_beside_the_baselines_where_the_model_loses_too(browser: Browser, api: Process) -> None:
    """Held-out and live scores of all four, and the best of a column is marked whoever it is."""
    browser.open(api.url)
    browser.until(SHOWN)
    rows = browser.until(
        "[...document.querySelectorAll('#scores tbody tr')].map(r => [...r.children].map(c => c.innerText))"
    )
    assert [row[:3] for row in rows] == [
        ["Cryptovol", "0.3000", "0.2000"], ["HAR", "0.4000", "0.2500"], ["EWMA", "0.5000", "0.1500"],
        ["Persistence", "0.6000", "0.4000"],
    ]  # fmt: skip
    assert browser.value("[...document.querySelectorAll('#scores .best')].map(c => c.innerText)") == [
        "0.3000",
        "0.1500",
    ]
    assert "interval held 85.0\u202f%" in browser.value("document.getElementById('scores').innerText")


def test_live_record_stands_beside_har_by_window(browser: Browser, api: Process) -> None:
    """A row for each window that has matured forecasts: error, bias, interval and the test against HAR."""
    browser.open(api.url)
    browser.until(SHOWN)
    rows = browser.until(
        "[...document.querySelectorAll('#record tbody tr')].map(r => [...r.children].map(c => c.innerText))"
    )
    told = ["24 h", "0.200\u202f%", "0.250\u202f%", "×1.04", "×0.97", "85.0\u202f%", "−1.6, p = 0.110"]
    assert rows == [told]


def test_an_hour_is_read_by_pointer_and_by_key(browser: Browser, api: Process) -> None:
    """The readout has the point's own numbers, whichever way it was asked for."""
    browser.open(api.url)
    browser.until(SHOWN)
    browser.value("document.getElementById('chart').focus()")
    for key in ("Home", "ArrowRight", "ArrowRight"):
        browser.press(key)
    point = told(api, "/history/BTC?horizon_hours=24")["points"][2]
    shown = browser.until("!document.getElementById('readout').hidden && document.getElementById('readout').innerText")
    assert f"{100 * point['forecast']:.3f}\u202f%" in shown and f"{100 * point['realized']:.3f}\u202f%" in shown
    assert "held out" in browser.value("document.getElementById('chart').getAttribute('aria-valuetext')")
    left, top, wide = browser.value(
        "(r => [r.left, r.top, r.width])(document.getElementById('chart').getBoundingClientRect())"
    )
    browser("Input.dispatchMouseEvent", type="mouseMoved", x=left + wide - 5, y=top + 50)
    assert "the forecast now" in browser.until("document.getElementById('readout').innerText")
    browser("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    browser.until("document.getElementById('readout').hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_page_fits_every_width(browser: Browser, api: Process, width: int, scheme: str) -> None:
    """Nothing is wider than the window, on a phone and on a desk."""
    browser.open(api.url, width=width, scheme=scheme)
    browser.until(SHOWN)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(WIDER) == []


def test_page_is_dark_and_light(browser: Browser, api: Process) -> None:
    """It follows the system's scheme until the button chooses another, and keeps the choice."""
    grounds = []
    for scheme in ("light", "dark"):
        browser.open(api.url, scheme=scheme)
        browser.until(SHOWN)
        grounds.append(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] == "rgb(255, 255, 255)" != grounds[1]
    browser.value("document.getElementById('theme').click()")
    browser("Page.reload")
    browser.until("document.getElementById('theme') && document.getElementById('theme').textContent === 'Theme: light'")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == grounds[0]
    browser.value("localStorage.clear()")


def test_text_has_contrast_in_both_schemes(browser: Browser, api: Process) -> None:
    """Every text is at least 4.5 to 1 against its ground (W3C, WCAG 2.2, criterion 1.4.3)."""
    for scheme in ("light", "dark"):
        browser.open(api.url, scheme=scheme)
        browser.until(SHOWN)
        assert browser.value(CONTRAST) == [], scheme


def test_simulated_market_is_said_loudly(browser: Browser, api: Process) -> None:
    """Above everything else stands that the prices are made up."""
    browser.open(api.url)
    browser.until(SHOWN)
    assert "SIMULATED MARKET" in browser.value("document.querySelector('.banner.loud').innerText")
    assert browser.value("document.querySelector('.banner.loud').getBoundingClientRect().bottom < 300")


def test_every_control_has_a_name_and_can_be_reached_by_key(browser: Browser, api: Process) -> None:
    """A screen reader finds a name for each button, field, picture and region; Tab comes to each control in turn."""
    browser.open(api.url)
    browser.until(SHOWN)
    nodes = [node for node in browser("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    roles = {"button", "slider", "textbox", "image", "region", "heading", "DisclosureTriangle"}
    named = [
        (node["role"]["value"], node["name"]["value"]) for node in nodes if node.get("role", {}).get("value") in roles
    ]
    assert all(name for _, name in named) and {"button", "slider", "region", "heading"} <= {role for role, _ in named}
    reached = set()
    for _ in range(20):
        browser.press("Tab")
        reached.add(
            browser.value("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)")
        )
    wanted = {
        "theme",
        "chart",
        "per hour",
        "per year",
        "7 days",
        "30 days",
        "BTC, next 6 hoursas",
        "BTC, next 24 hoursa",
    }
    assert {name[:19] for name in reached} >= {name[:19] for name in wanted}, reached
