"""`docs/serving.md` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cryptovol import held, moments
from cryptovol.adapters import shipping, spool
from cryptovol.metrics import CONTRACT
from cryptovol.params import Params
from cryptovol.stages import predict
from tests.forecasters import BTC, Bench, MemoryJournal

PAGE = Path("docs/serving.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "told",
    [
        f"| champion and bundle, per horizon | {held.HOLD_SECONDS} s |",
        f"nobody asked for {held.IDLE_SECONDS} s",
        f"waits up to {held.WAIT_SECONDS:g} s for the new value",
        f"the request waits up to {held.FIRST_SECONDS:g} s",
        f"at most {held.LOOKS} in a process",
        f"taken {held.GIVE_UP_SECONDS} s is given up",
        f"{predict.OUTLOOKS} of them",
        f"the last {moments.PAST} that were asked for",
        f"within {shipping.SHIP_SECONDS:g} s or {spool.SEGMENT_BYTES // 1_000_000} MB",
        f"More than {spool.MOST_BYTES // 1_000_000} MB that wait",
    ],
)
def test_numbers_of_the_page_are_the_codes(told: str) -> None:
    """Each limit that the page tells is the one that holds."""
    assert told in " ".join(PAGE.split())


def test_limits_of_age_are_those_of_the_parameters(params: Params) -> None:
    """Expiry and freshness are as `params.yaml` has them."""
    told = (f"`expiry_hours` ({params.predict.expiry_hours})", f"`freshness_hours` ({params.predict.freshness_hours})")
    assert [text in PAGE for text in told] == [True, True]


def test_metrics_of_the_page_are_in_the_contract() -> None:
    """No metric is told of that nobody emits."""
    named = set(re.findall(r"`(store_\w+|bundle_\w+total|answers_\w+)", PAGE)) - {"store_unavailable", "bundle_refused"}
    assert named == {"store_reachable", "bundle_refusals_total", "answers_unrecorded_total", "answers_pending_bytes"}
    assert named <= set(CONTRACT)


def test_members_of_a_record_are_those_of_the_page(params: Params) -> None:
    """The page lists exactly what a record has."""
    journal = MemoryJournal()
    bench = Bench(params, journal=journal)
    bench.forecaster.stored(BTC)
    listed = PAGE.split("leaves a record: ", 1)[1].split(", and per prediction", 1)[0]
    assert re.findall(r"`(\w+)`", listed) == [name for name in journal.records[0] if name != "predictions"]
