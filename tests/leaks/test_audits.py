"""The run-time audits: each classic leak is caught wherever it is planted, and honest tables always pass."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from cryptovol import leaks, target
from cryptovol.bars import Bars, Floats
from cryptovol.errors import DataError, LeakError
from cryptovol.features import WARMUP
from cryptovol.volatility import realized_volatility
from tests.leaks.leaky import LEAKY, Build, holed, honest

BARS = holed()
TABLE = honest(BARS)
DIGEST = "5eed" * 16
RETURNS = TABLE.log_return
COVERAGES = st.sampled_from([0.5, 0.75, 1.0])


def audit(build: Build, bars: Bars = BARS, digest: str = DIGEST) -> None:
    """Audit what a builder makes of some bars, as the featurize stage does."""
    table = build(bars)
    leaks.audit_features(build, bars, table, leaks.sample(table, bars, digest=digest))


@pytest.mark.parametrize("name", LEAKY)
def test_audit_catches_each_planted_leak(name: str) -> None:
    """No feature may know a later hour, nor where the history begins."""
    with pytest.raises(LeakError) as caught:
        audit(LEAKY[name])
    assert isinstance(caught.value, DataError) and caught.value.exit_code == 1


@pytest.mark.parametrize("name", ["centred_window", "next_hour", "scaler_on_all_rows", "elapsed_hours"])
@given(digest=st.text("0123456789abcdef", min_size=64, max_size=64))
@budget(max_examples=15, deadline=None)
def test_audit_catches_a_leak_at_whatever_rows_it_looks(name: str, digest: str) -> None:
    """A leak in every row needs no luck to be found."""
    with pytest.raises(LeakError, match="change when built"):
        audit(LEAKY[name], digest=digest)


@given(
    seed=st.integers(0, 3),
    gaps=st.lists(st.tuples(st.integers(1, 1290), st.integers(1, 90)), max_size=6),
    digest=st.text("0123456789abcdef", min_size=64, max_size=64),
)
@budget(max_examples=30, deadline=None)
def test_audit_passes_the_honest_features_of_any_bars(seed: int, gaps: list[tuple[int, int]], digest: str) -> None:
    """Gaps of any place and length raise no false alarm."""
    bars = holed(1300, seed=seed, gaps=tuple((first, min(first + hours, 1299)) for first, hours in gaps))
    audit(honest, bars, digest)


def test_audit_names_the_row_the_column_and_both_numbers() -> None:
    """The message is enough to find the leak."""
    with pytest.raises(LeakError, match=r"values at 2024-\d\d-\d\dT.*, column 0 from \S+ to \S+; a feature may only"):
        audit(LEAKY["next_hour"])


def test_sample_follows_the_data_and_holds_the_newest_complete_row() -> None:
    """Equal data are audited at equal rows, other data elsewhere, and always where a gap was and at the end."""
    rows = leaks.sample(TABLE, BARS, digest=DIGEST)
    assert rows.tolist() == leaks.sample(TABLE, BARS, digest=DIGEST).tolist()
    assert rows.tolist() != leaks.sample(TABLE, BARS, digest="0" * 64).tolist()
    assert {1249, 1262, int(np.flatnonzero(TABLE.complete())[-1])} <= set(rows.tolist())
    assert rows.min() >= WARMUP - 1 and np.isin(TABLE.time[rows], BARS.time).all()


def test_sample_of_a_history_shorter_than_the_warm_up_is_empty() -> None:
    """Where nothing is complete there is nothing to build again."""
    short = BARS.take(slice(0, WARMUP - 1))
    assert not len(leaks.sample(honest(short), short, digest=DIGEST))


def test_audits_of_three_years_cost_tens_of_milliseconds() -> None:
    """Cheap enough for every run: far below a second even on a busy machine."""
    bars = holed(26304, gaps=((20000, 20005),))
    table = honest(bars)
    ahead = target.forward(table.log_return, 24, coverage=1.0)
    rows = leaks.sample(table, bars, digest=DIGEST)
    began = time.process_time()
    leaks.audit_features(honest, bars, table, rows)
    leaks.audit_target(table.time, table.log_return, ahead, horizon=24, coverage=1.0)
    assert time.process_time() - began < 0.5


def audit_target(found: Floats, horizon: int = 24, coverage: float = 1.0) -> None:
    """Audit a target of the shared returns."""
    leaks.audit_target(TABLE.time, RETURNS, found, horizon=horizon, coverage=coverage)


@given(horizon=st.integers(2, 48), coverage=COVERAGES, scale=st.sampled_from([1e-7, 1.0, 20.0]))
@budget(max_examples=40, deadline=None)
def test_audit_passes_the_honest_target(horizon: int, coverage: float, scale: float) -> None:
    """Any horizon, coverage and size of returns passes, gaps included."""
    returns = RETURNS * scale
    ahead = target.forward(returns, horizon, coverage=coverage)
    leaks.audit_target(TABLE.time, returns, ahead, horizon=horizon, coverage=coverage)


@pytest.mark.parametrize("horizon", [6, 24])
def test_audit_catches_a_label_of_the_past_hours(horizon: int) -> None:
    """The volatility of the last hours, unshifted, is a feature and no target."""
    past = realized_volatility(RETURNS, horizon, coverage=1.0)
    with pytest.raises(LeakError, match="yet to come"):
        audit_target(past, horizon)
    past[-horizon:] = np.nan
    with pytest.raises(LeakError, match="past hours, which the features hold"):
        audit_target(past, horizon)


@pytest.mark.parametrize("horizon", [6, 24])
def test_audit_catches_a_label_that_begins_with_its_own_hour(horizon: int) -> None:
    """One hour of overlap, the commonest shift error, is caught and named."""
    past = realized_volatility(RETURNS, horizon, coverage=1.0)
    own = np.r_[past[horizon - 1 :], np.full(horizon - 1, np.nan)]
    with pytest.raises(LeakError, match="yet to come"):
        audit_target(own, horizon)
    own[-horizon:] = np.nan
    with pytest.raises(LeakError, match="begins with the row's own hour"):
        audit_target(own, horizon)


@pytest.mark.parametrize(
    "change",
    [lambda y: y * 1.001, lambda y: np.where(np.arange(len(y)) == 1000, y * 1.01, y), lambda y: np.nan_to_num(y)],
)
def test_audit_catches_any_other_number_in_any_row(change) -> None:  # type: ignore[no-untyped-def]
    """A scaled target, one wrong row, and a target where one is not known are all told."""
    with pytest.raises(LeakError):
        audit_target(change(target.forward(RETURNS, 24, coverage=1.0)))


def test_audit_knows_divisor_and_coverage() -> None:
    """The population's deviation, and a label over a gap that the coverage forbids, are other numbers."""
    with pytest.raises(LeakError, match="standard deviation"):
        audit_target(target.forward(RETURNS, 24, coverage=1.0) * np.sqrt(23 / 24))
    with pytest.raises(LeakError):
        audit_target(target.forward(RETURNS, 24, coverage=0.5), coverage=1.0)


def test_audit_of_a_table_shorter_than_the_horizon_passes() -> None:
    """Few hours have no target, and that is right."""
    few = replace(TABLE, time=TABLE.time[:5])
    leaks.audit_target(few.time, RETURNS[:5], np.full(5, np.nan), horizon=24, coverage=1.0)


def test_suspicious_score_is_told_with_its_limit() -> None:
    """At the limit a score is believed, above it a leak is looked for first, and no number is no score."""
    assert leaks.suspicious(0.8, horizon=24, limit=0.8) == ""
    found = leaks.suspicious(0.8001, horizon=24, limit=0.8)
    assert found.startswith("suspiciously good: look for a leak first") and "24 h" in found and "0.8)" in found
    assert leaks.suspicious(float("nan"), horizon=24, limit=0.8)
