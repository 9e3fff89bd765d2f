"""The faults a stand-in server can have, by name; each works with every shape."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from cryptovol.errors import ConfigError
from cryptovol.market import damage, wires
from cryptovol.market.answers import written
from cryptovol.market.hits import Fault, Hit
from cryptovol.market.shapes.shape import Answer, Shape
from cryptovol.market.wires import Reply

HTML = {"Content-Type": "text/html; charset=UTF-8"}
BURST = (500, 502, 503, 504)
BARRED = {
    "code": 0,
    "msg": "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received this message in "
    "error.",
}


def _page(title: str) -> bytes:
    head = f"<html><head><title>{title}</title></head>"
    return f"{head}<body><center><h1>{title}</h1></center><hr><center>nginx</center></body></html>".encode()


def _storm(reply: Reply, shape: Shape, hit: Hit) -> Reply:
    said = written(shape.limited(hit.fault.pause))
    return replace(said, status=429, headers={**said.headers, "Retry-After": f"{hit.fault.pause:g}"})


def _own_limit(reply: Reply, shape: Shape, hit: Hit) -> Reply:
    return written(shape.limited(hit.fault.pause))


def _burst(reply: Reply, shape: Shape, hit: Hit) -> Reply:
    status = BURST[hit.number % len(BURST)]
    return Reply(status, HTML, _page(f"{status} {HTTPStatus(status).phrase}"))


def _html(reply: Reply, shape: Shape, hit: Hit) -> Reply:
    return Reply(200, HTML, _page("We will be back soon"))


def _barred(reply: Reply, shape: Shape, hit: Hit) -> Reply:
    return written(Answer(451, BARRED))


def _cut(reply: Reply, shape: Shape, hit: Hit) -> Reply:
    return replace(reply, data=reply.data[: len(reply.data) // 2])


_ALL = (
    Fault("timeout", "takes the request and never answers", send=wires.send_nothing),
    Fault("reset", "resets the connection instead of answering", send=wires.send_reset),
    Fault("drip", "sends the body byte by byte with pauses", send=wires.send_dripping, pause=0.05),
    Fault("storm429", "HTTP 429 with Retry-After", reply=_storm),
    Fault("ratelimit", "says slow down in the venue's own way: HTTP 200, 418 or 429", reply=_own_limit),
    Fault("burst5xx", "HTTP 500, 502, 503, 504 in turn, with HTML pages", reply=_burst),
    Fault("barred", "HTTP 451: not from your region", reply=_barred),
    Fault("html", "an HTML page with HTTP 200", reply=_html),
    Fault("truncated", "promises the whole body, sends half of it and hangs up", send=wires.send_truncated),
    Fault("cut", "a complete answer whose JSON stops in the middle", reply=_cut),
    Fault("huge", "a body of 64 MiB, blanks before the JSON", send=wires.send_endless),
    Fault("empty", "no rows", bars=damage.empty),
    Fault("duplicated", "all rows of a page twice", bars=damage.duplicated),
    Fault("contradictory", "every seventh hour twice, with different prices", bars=damage.contradictory),
    Fault("wrong_symbol", "another coin's bars, named so where rows have names",
          named=damage.foreign_name, bars=damage.foreign),
    Fault("shuffled", "rows out of order", bars=damage.shuffled),
    Fault("nan", "NaN for every seventh close", rows=damage.nan),
    Fault("strings", "a word for every seventh close", rows=damage.strings),
    Fault("negative", "a low below zero in every seventh hour", bars=damage.negative),
    Fault("future", "three rows of hours that have not begun", bars=damage.future),
    Fault("stale", "nothing newer than three days ago", moment=damage.stale),
    Fault("revised", "every seventh hour's close 0.3 % too high when told first, right afterwards", bars=damage.revised),
    Fault("missing", "no rows from Monday 03:00 to 06:00", bars=damage.missing),
    Fault("off_hour", "every seventh hour opens 17 minutes late", bars=damage.off_hour),
)  # fmt: skip
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}


def named(name: str, **changes: Any) -> Fault:
    """Return a fault, with `times`, `after`, `pause` or `everywhere` changed.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in FAULTS:
        raise ConfigError(f"there is no fault {name!r}. Cure: use one of {', '.join(FAULTS)}")
    return replace(FAULTS[name], **changes)


def parsed(text: str) -> Fault:
    """Return the fault written ``NAME`` or ``NAME:TIMES``; raise `ConfigError` if it is not written so."""
    name, colon, times = text.partition(":")
    if colon and not (times.isascii() and times.isdigit() and 0 < len(times) < 10):
        raise ConfigError(f"{text!r} is not a fault. Cure: write its name, or NAME:TIMES as in {name}:3")
    return named(name, times=int(times) if colon else None)
