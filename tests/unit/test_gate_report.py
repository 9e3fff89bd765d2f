"""The gate's report: numbers for machines, and a page that a person can read safely."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from cryptovol import tables
from cryptovol.bars import COLUMNS, Bars
from cryptovol.gate import report as gate_report
from cryptovol.testing import make_bars
from tests.bar_faults import Change, assign, both, drop, scale
from tests.gates import N, check

VOID = {"meta", "path", "circle", "br", "polyline"}


class Reader(HTMLParser):
    """Reads a page: its tags with attributes, its text, and whether every tag is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note that a tag ends: it must be the one opened last."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        self.text += data

    def count(self, tag: str, kind: str) -> int:
        """Return how many tags are of a class."""
        return sum(1 for name, attributes in self.tags if name == tag and attributes.get("class") == kind)


def page(bars: Bars) -> Reader:
    """Return the page of a batch, read."""
    return Reader(gate_report.as_html(check(bars), bars).decode())


BATCHES: dict[str, Change] = {
    "faultless": lambda bars: bars,
    "no bars": drop(slice(None)),
    "one bar": drop(slice(1, None)),
    "two bars": drop(slice(2, None)),
    "all rows bad": assign("close", slice(None), np.nan),
    "one price, one volume": both(*(assign(name, slice(None), 7.0) for name in ("open", "high", "low", "close", "volume_base"))),
    "outliers": both(scale(slice(1000, N), 0.7), assign("volume_base", 1200, 1e6)),
    "the smallest and the largest numbers": both(assign("close", 5, 5e-324), assign("volume_base", 9, 1.7e308)),
    "the largest price": both(*(assign(name, slice(None), np.finfo(float).max) for name in ("open", "high", "low", "close"))),
    "the end at a wrong price": scale(slice(N - 10, N), 0.01),
    "a month missing": drop(slice(300, 1020)),
}  # fmt: skip


@pytest.mark.parametrize("batch", BATCHES)
def test_report_page_is_whole_and_asks_no_one_for_anything(batch: str) -> None:
    """Every tag is closed, there is no script, no link and no other host, and no number is missing in the picture."""
    found = page(BATCHES[batch](make_bars(N)))
    assert not found.open and found.text.count("Gate report BTC/USD") == 1
    assert not {tag for tag, _ in found.tags} & {"script", "link", "img", "a", "iframe", "form"}
    values = " ".join(value or "" for _, attributes in found.tags for value in attributes.values())
    assert "http:" not in values and "//" not in values
    shapes = [attributes.get("d") or "" for tag, attributes in found.tags if tag == "path"]
    assert not re.search(r"nan|inf", " ".join(shapes))


def test_report_page_says_why_a_batch_was_refused() -> None:
    """Verdict and reasons stand at the top, in words."""
    bars = assign("close", slice(50, 90), np.nan)(make_bars(N))
    found = page(bars)
    assert "✕ refused" in found.text and check(bars).reasons[0] in found.text
    assert "✓ passed" in page(make_bars(N)).text and "refused" not in page(make_bars(N)).text.replace("Why it was", "")


def test_report_page_has_every_rule_once_with_its_limit() -> None:
    """Rules that found something come with their first rows, the others below."""
    found = page(assign("high", 50, 1.0)(make_bars(N)))
    for rule, meaning in gate_report.MEANING.items():
        assert found.text.count(rule + meaning) == 1
    assert set(gate_report.MEANING) == set(check(make_bars(N)).counts)
    something, nothing = found.text.split("Rules that found nothing")
    assert "2024-01-03T02:00:00Z" in something and "2024-01-03T02:00:00Z" not in nothing


def test_report_page_marks_what_was_found_in_its_picture() -> None:
    """Quarantined rows, outlier returns and outlier volumes each have a mark and an entry in the key."""
    change = both(assign("high", 50, 1.0), scale(slice(1000, N), 0.7), assign("volume_base", [1200, 1300], 1e6))
    found = page(change(make_bars(N)))
    assert (found.count("path", "bad"), found.count("circle", "odd"), found.count("path", "oddbar")) == (1, 1, 2)
    assert "quarantined (1)" in found.text and "outlier return (1)" in found.text and "outlier volume (2)" in found.text
    calm = page(make_bars(N))
    assert (calm.count("path", "bad"), calm.count("circle", "odd"), calm.count("path", "oddbar")) == (0, 0, 0)
    assert "outlier return (" not in calm.text


def test_report_page_says_its_picture_in_words() -> None:
    """The picture has a title and a description for those who do not see it."""
    found = page(both(assign("high", 50, 1.0), scale(slice(1000, N), 0.7))(make_bars(N)))
    (picture,) = [attributes for tag, attributes in found.tags if tag == "svg"]
    ids = {attributes.get("id") for _, attributes in found.tags}
    assert picture["role"] == "img" and set((picture["aria-labelledby"] or "").split()) <= ids
    assert "1 row quarantined by range; counted and left in: 1 outlier_return." in found.text


def test_report_page_escapes_what_a_market_sent() -> None:
    """A symbol that is a script stays text, and half a character breaks nothing."""
    bars = assign("symbol", 50, "<script>")(make_bars(N))
    raw = gate_report.as_html(check(bars), bars).decode()
    assert "<script>" not in raw and "&lt;script&gt;" in raw
    odd = assign("source", 50, "repair:\ud800")(make_bars(N))
    assert b"&#55296;" in gate_report.as_html(check(odd), odd)


def test_report_line_is_broken_where_hours_are_missing() -> None:
    """A gap that can be seen is a gap in the line, and not a slope."""
    lines = {}
    for batch in ("faultless", "a month missing"):
        found = page(BATCHES[batch](make_bars(N)))
        (lines[batch],) = [a["d"] or "" for tag, a in found.tags if tag == "path" and a.get("class") == "line"]
    assert lines["faultless"].count("M") == 1 and lines["a month missing"].count("M") == 2


def test_report_json_carries_everything_a_program_needs() -> None:
    """The JSON has the verdict, who refused, and every rule with its numbers and its first rows."""
    bars = assign("close", slice(50, 90), np.nan)(make_bars(N))
    body = json.loads(tables.encode_json(gate_report.as_json(check(bars))))
    assert (body["verdict"], body["rows"], body["rows_clean"], body["rows_quarantined"]) == ("refused", N, N - 40, 40)
    assert body["refused_by"] == ["nulls"] and len(body["reasons"]) == 1
    found = {entry["rule"]: entry for entry in body["findings"]}
    assert list(found) == list(gate_report.MEANING)
    assert found["nulls"]["found"] == 40 and found["nulls"]["quarantined"] and len(found["nulls"]["offenders"]) == 5
    assert found["disagreement"]["measured"] is None and found["disagreement"]["verdict"] == "passed"


def test_report_csv_has_one_row_per_quarantined_bar() -> None:
    """The quarantine names the rule, the hour and the numbers as they came."""
    bars = assign("high", [50, 60], 1.0)(make_bars(N))
    rows = list(csv.DictReader(io.StringIO(gate_report.as_csv(check(bars), bars).decode())))
    assert list(rows[0]) == ["rule", "opens", *COLUMNS] and len(rows) == 2
    assert (rows[0]["rule"], rows[0]["opens"], rows[0]["high"]) == ("range", "2024-01-03T02:00:00Z", "1.0")
    odd = replace(bars, source=np.full(N, "\ud800"))
    assert b"\\ud800" in gate_report.as_csv(check(odd), odd)
