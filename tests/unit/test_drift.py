"""Drift: quiet on healthy bars, loud and precise on planted faults, silent where it cannot be told."""

from pathlib import Path

import numpy as np
import pytest
from bench import drift as table
from bench.drifting import faults, methods
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol import drift, features, params, tables
from cryptovol.features import FEATURE_NAMES
from cryptovol.market import simulated
from cryptovol.times import HOUR, parse_instant

SCIENCE = params.load(Path("params.yaml"))
HISTORY = 15_000  # training rows; the pipeline has 26,000
PLANTED = [2, 5, 11, 17, 20, 22, 24]  # none of them a clock


@pytest.fixture(scope="module")
def values():
    """Return features of made-up bars with the memory of real ones, shape (n, 36), all complete."""
    start = parse_instant(SCIENCE.market.start)
    made = simulated.path(SCIENCE.market, "BTC", until=start + HOUR * 23_000)
    built = features.build(made, coverage=SCIENCE.featurize.window_coverage)
    return built.values[built.complete()]


@pytest.fixture(scope="module")
def reference(values):
    """Return the detector, fitted to the first stretch of the features."""
    found = drift.fit_reference(values[:HISTORY])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def after(values):
    """Return the rows that follow the training rows."""
    return values[HISTORY : HISTORY + 1200]


def shifted(rows, columns, by):
    """Return a copy of the rows with the newest window of some columns shifted."""
    out = rows.copy()
    out[-drift.WINDOW :, columns] += by
    return out


@pytest.fixture(scope="module")
def tally(values):
    """Return the drift table in small: seven references, two trials of each fault."""
    every = list(table.stretches(np.arange(len(values)), values, start=0, end=len(values), history=HISTORY))
    found, rng = table.Tally(), np.random.default_rng(3)
    for stretch in every[::2][:4]:
        found.add(stretch, rng, trials=2)
    return found


def alarms(tally, name):
    """Return the share of a test's healthy windows that alarm."""
    return np.mean(np.mean(tally.quiet[name], axis=1) > table.ALARM)


def detected(tally, name, what):
    """Return the rows to the alarm of each trial, infinite where there was none."""
    return [np.inf if first is None else first for first, _, _ in tally.found[name, what]]


def test_the_table_in_small_favours_the_detector(tally):
    """Ours never alarms on healthy rows and finds seven shifted features in a window; textbook tests always alarm."""
    first = next(iter(faults.EVERY))
    delays = detected(tally, table.OURS, first)
    assert alarms(tally, table.OURS) <= 0.01
    assert np.mean(np.isfinite(delays)) >= 0.85 and np.median(delays) <= 300
    for usual in ("KS, p < 0.05", "PSI > 0.2", "Wasserstein > 0.1 sd"):
        assert alarms(tally, usual) > 0.9, usual


def test_a_market_that_moves_in_step_is_no_fault(tally):
    """Twice the volatility in every volatility feature does not alarm: the features still fit each other."""
    assert not np.isfinite(detected(tally, table.OURS, "market twice as volatile (no fault)")).any()


def test_the_table_has_a_row_for_each_test_and_fault(tally):
    """Both tables are whole: a head, a line below it, and every row with as many cells."""
    for rows, many in ((tally.tests(), len(tally.quiet)), (tally.faults(), len(faults.EVERY))):
        assert len(rows) == many + 2 and len({row.count("|") for row in rows}) == 1


def test_drift_names_the_shifted_features(reference, values, after):
    """A shift of one standard deviation in seven features is found, and hardly a neighbour is blamed."""
    found = reference.judge(shifted(after, PLANTED, values[:HISTORY].std(axis=0)[PLANTED])).columns
    assert len(set(found) & set(PLANTED)) >= 6 and len(set(found) - set(PLANTED)) <= 1


@pytest.mark.parametrize("late", [0, 60, 124])
def test_the_newest_training_rows_are_no_drift_to_their_own_model(values, after, late):
    """Whatever the number of training rows: a model trained up to a changed market does not call it changed."""
    rows = shifted(np.vstack([values[:HISTORY], after])[: HISTORY + drift.WINDOW + late], PLANTED, 3.0)
    fitted = drift.fit_reference(rows)
    assert fitted is not None and fitted.judge(rows).columns == []
    assert len(drift.fit_reference(values[:HISTORY]).judge(rows).columns) > 6


def test_verdict_tells_the_same_in_every_form(reference, values, after):
    """Ratio, names and scores agree: a feature is named if and only if its score is above one."""
    verdict = reference.judge(shifted(after, PLANTED, values[:HISTORY].std(axis=0)[PLANTED]))
    named = [name for name, score in verdict.scores.items() if score > 1.0]
    assert verdict.names == named and verdict.ratio == len(named) / 36 and list(verdict.scores) == list(FEATURE_NAMES)


@settings(max_examples=40, deadline=None)
@given(columns=st.lists(st.integers(0, 25), unique=True, max_size=26), size=st.floats(-1e6, 1e6))
def test_scores_are_finite_whatever_is_shifted(reference, values, after, columns, size):
    """No shift, however large and in however many features, gives a score that is no number or below zero."""
    columns = np.array(columns, dtype=int)
    score = reference.judge(shifted(after, columns, size)).score
    assert np.isfinite(score).all() and (score >= 0).all()


def test_a_clock_off_its_circle_is_faulty_and_nobody_else_is_blamed(reference, after):
    """A sine that is shifted takes its cosine with it, for the circle does not tell which of them is wrong."""
    sine = FEATURE_NAMES.index("week_sin_2")
    assert reference.judge(shifted(after, [sine], 0.2)).names == ["week_sin_2", "week_cos_2"]


def test_clocks_are_not_blamed_for_the_hours_that_were_asked_for(reference, values):
    """Rows of office hours alone have other clocks on average, and neither they nor what follows from them is named."""
    late = values[HISTORY:]
    hour = np.round(np.arctan2(late[:, drift.CLOCKS.start], late[:, drift.CLOCKS.start + 1]) * 12 / np.pi) % 24
    assert reference.judge(late[(hour >= 9) & (hour < 18)]).names == []


def test_drift_survives_its_own_bytes(reference, after):
    """The stored reference decides as the fitted one."""
    loaded = drift.from_arrays(tables.decode_npz(tables.encode_npz(reference.arrays())))
    assert loaded is not None and np.array_equal(loaded.judge(after).score, reference.judge(after).score)


def test_drift_of_too_little_history_is_not_told(values):
    """Without enough windows to calibrate there is no reference, and no number is made up."""
    assert drift.fit_reference(values[:9_999]) is None
    assert drift.from_arrays(tables.decode_npz(tables.encode_npz({}))) is None


def test_drift_refuses_less_than_a_window(reference, after):
    """Fewer rows than a window, or a row that lacks a value, are an error, not a ratio of zero."""
    holed = after[:500].copy()
    holed[7, 3] = np.nan
    for rows in (after[:499], holed):
        with pytest.raises(ValueError, match="500 rows, not 499"):
            reference.judge(rows)


def test_bounds_flag_only_what_was_never_seen(values):
    """A value far outside counts, one inside does not, a missing one does."""
    bounds = drift.fit_bounds(values)
    row = np.median(values, axis=0)
    row[3], row[9] = 1e3, np.nan
    assert bounds.outside(row) == [3, 9]


def test_bounds_hold_the_healthy_rows_that_follow(values, after):
    """Of later rows of the same market less than one value in a hundred is out of bounds; of a fault, most are."""
    bounds = drift.fit_bounds(values[:HISTORY])
    assert sum(len(bounds.outside(row)) for row in after) / after.size < 0.01
    broken = after[:, 5] + np.log(100.0)
    assert np.mean(broken > bounds.upper[5]) > 0.9


def test_the_rival_on_shuffled_rows_is_quiet(values):
    """The usual test is right where its assumption holds: rows drawn at random from its own reference."""
    rng = np.random.default_rng(5)
    test = methods.fitted(values[:HISTORY])["KS, p < 0.05 / 36"]
    assert np.mean([test(values[rng.choice(HISTORY, 500, replace=False)]) for _ in range(20)]) < 0.01
