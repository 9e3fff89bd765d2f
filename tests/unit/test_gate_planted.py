"""Planted faults: the gate counts exactly them, under exactly their rule, and leaves the clean rows as they are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptovol import bars as bars_module
from cryptovol.bars import COLUMNS
from cryptovol.testing import make_bars
from tests import planting
from tests.gates import N, check
from tests.planting import FIRST, PLANTS, SLOT, Planter

# These change rows that are to be counted and left in.
STAY_IN = (planting.outlier_return, planting.outlier_volume, planting.frozen)
faults = st.dictionaries(
    st.integers(FIRST, N // SLOT - 2), st.tuples(st.sampled_from(PLANTS), st.integers(0, 9)), max_size=18
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 3), faults, st.integers(0, 5), st.integers(0, 9))
def test_gate_counts_exactly_what_was_planted(
    seed: int, faults: dict[int, tuple[Any, int]], late: int, apart: int
) -> None:
    """Any faults of any kinds in clean bars: each row under its rule, nothing else, and the clean rows untouched."""
    planter = Planter(seed)
    planting.plant_ends(planter, late, apart)
    for slot in sorted(faults, reverse=True):
        plant, field = faults[slot]
        plant(field, slot * SLOT, planter)
    before = {name: column.copy() for name, column in planter.bars.columns().items()}
    report = check(planter.bars, witness=planter.witness)
    assert {rule: found for rule, found in report.counts.items() if found} == +planter.expected
    assert report.rule_of.tolist() == planter.rule_of.tolist()
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(planter.bars, name), before[name])


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: str(plant.__name__))
@pytest.mark.parametrize("field", range(10))
def test_gate_counts_exactly_one_planted_fault_and_keeps_the_rest_bit_for_bit(plant: Any, field: int) -> None:
    """One fault alone: what it did not touch are the rows of the clean batch, to the last bit."""
    planter = Planter(seed=0)
    plant(field, 5 * SLOT, planter)
    report = check(planter.bars)
    assert {rule: found for rule, found in report.counts.items() if found} == +planter.expected
    assert report.rule_of.tolist() == planter.rule_of.tolist() and sum(planter.expected.values())
    if plant not in STAY_IN:
        clean, batch = planter.bars.take(report.clean), make_bars(N)
        assert bars_module.same_values(clean, batch.take(np.isin(batch.time, clean.time))).all()
