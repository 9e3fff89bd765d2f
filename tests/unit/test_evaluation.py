"""How forecasts are evaluated: on the same rows, by hand, in parts; and a loss is told as a loss."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol import scores, tables
from cryptovol.errors import NotEnoughBarsError
from cryptovol.evaluation import Scored, evaluate
from cryptovol.times import HOUR, format_instant, parse_instant

START = parse_instant("2024-01-31T20:00:00Z")
N = 2000
RNG = np.random.default_rng(5)
REALIZED = np.exp(0.4 * RNG.standard_normal(N)) * 0.005


def scored(realized, *, bounds=None, start=START, horizon=24, past_mean=None, **forecasts) -> Scored:
    """Return hourly forecasts from `start` on."""
    realized = np.asarray(realized, dtype=float)
    n = len(realized)
    return Scored(
        start + HOUR * np.arange(n, dtype=np.int64), realized, np.full(n, 0.004) if past_mean is None else past_mean,
        {name: np.broadcast_to(np.asarray(f, dtype=float), n).copy() for name, f in forecasts.items()}, bounds or {},
        horizon,
    )  # fmt: skip


def test_scores_are_those_computed_by_hand() -> None:
    """Two hours, forecast 2 and 2, realized 1 and 3 (in thousandths): every error by hand."""
    body = evaluate(scored([0.001, 0.003], model=0.002, har=[0.001, 0.003], past_mean=np.array([0.001, 0.001])))
    own = body["scores"]["model"]
    assert own["rmse"] == pytest.approx(0.001) and own["mae"] == pytest.approx(0.001) and own["bias"] == 1.0
    assert own["r2"] == pytest.approx(1 - 1e-6 / 2e-6)
    by_hand = ((0.25 - np.log(0.25) - 1) + (2.25 - np.log(2.25) - 1)) / 2
    assert own["qlike"] == pytest.approx(by_hand)
    assert (body["rows"], body["first"], body["horizon_hours"]) == (2, "2024-01-31T20:00:00Z", 24)
    assert body["dm"] == {"har": {"qlike": None, "squared_error": None}}


def test_a_perfect_forecast_has_no_error_and_wins() -> None:
    """Errors are zero, R² one, calibration is the identity, and the verdict names it."""
    body = evaluate(scored(REALIZED, model=REALIZED, har=REALIZED * np.exp(0.2 * RNG.standard_normal(N))))
    assert body["scores"]["model"]["qlike"] == pytest.approx(0.0, abs=1e-12) and body["scores"]["model"]["r2"] == 1.0
    assert body["calibration"]["mincer_zarnowitz"]["slope"] == pytest.approx(1.0)
    assert body["verdict"]["outcome"] == "better" and "The model beats HAR" in body["verdict"]["sentence"]


def test_a_forecast_planted_worse_than_har_is_told_as_a_loss() -> None:
    """The verdict says that the model loses, by how much, and against whom."""
    noisy = REALIZED * np.exp(0.6 * RNG.standard_normal(N))
    body = evaluate(scored(REALIZED, model=noisy, har=REALIZED * 1.05, persistence=REALIZED * 3))
    test = body["dm"]["har"]["qlike"]
    assert test["statistic"] > 0 and test["p"] < 0.001 and body["dm"]["persistence"]["qlike"]["statistic"] < 0
    assert (body["verdict"]["outcome"], body["verdict"]["against"]) == ("worse", "har")
    assert (
        body["verdict"]["sentence"].startswith("The model loses to HAR: QLIKE ")
        and "% higher" in body["verdict"]["sentence"]
    )


def test_equal_forecasts_are_not_told_apart_and_one_alone_beats_nobody() -> None:
    """Neither a tie nor the absence of baselines is called a win."""
    tie = evaluate(scored(REALIZED, model=0.005, ewma=0.005))["verdict"]
    assert tie["outcome"] == "undecided" and "cannot be told apart" in tie["sentence"]
    assert evaluate(scored(REALIZED, model=0.005))["verdict"]["outcome"] == "alone"


def test_verdict_tells_where_squared_error_disagrees() -> None:
    """A forecast that is better by QLIKE and worse on squares is not called better without a word on it."""
    wild = np.arange(N) % 50 == 0
    realized = np.where(wild, 0.02, 0.005)
    sentence = evaluate(scored(realized, model=np.where(wild, 0.08, realized), har=np.where(wild, realized, 0.0025)))[
        "verdict"
    ]["sentence"]
    assert sentence.startswith("The model beats HAR") and "On squared error it is worse (Diebold" in sentence
    agreed = evaluate(scored(realized, model=realized, har=0.0025))["verdict"]["sentence"]
    assert agreed.startswith("The model beats HAR") and "squared error" not in agreed


def test_tests_are_those_of_the_model_against_each_baseline() -> None:
    """QLIKE and squared error go into the Diebold–Mariano test with the horizon, model first."""
    har = np.full(N, 0.006)
    body = evaluate(scored(REALIZED, model=0.005, har=har, horizon=6))
    loss = (scores.qlike(REALIZED, np.full(N, 0.005)), scores.qlike(REALIZED, har))
    expected = scores.diebold_mariano(*loss, horizon=6)
    assert body["dm"]["har"]["qlike"] == {"statistic": expected.statistic, "p": expected.p, "rows": N}
    squares = scores.diebold_mariano((0.005 - REALIZED) ** 2, (0.006 - REALIZED) ** 2, horizon=6)
    assert body["dm"]["har"]["squared_error"]["statistic"] == squares.statistic


def test_all_models_are_scored_on_the_same_rows() -> None:
    """A row that one of them lacks is scored for none; each row left out is counted once, by its first reason."""
    realized, har, past = REALIZED[:100].copy(), np.full(100, 0.005), np.full(100, 0.004)
    realized[90:] = np.nan  # not yet realized
    realized[50:53] = np.nan  # a bar is missing
    har[:5], har[95] = np.nan, np.nan
    past[3] = past[10] = np.nan
    whole = scored(realized, model=0.005, har=har, past_mean=past)
    body = evaluate(whole)
    assert body["left_out"] == {"not_yet_realized": 10, "target_incomplete": 3, "no_past_mean": 2, "no_har": 4}
    keep = np.isfinite(realized) & np.isfinite(har) & np.isfinite(past)
    assert body["rows"] == keep.sum() == 100 - 19
    again = evaluate(replace(whole.take(keep)))
    assert again["left_out"] == {} and {**again, "left_out": 0} == {**body, "left_out": 0}


def test_nothing_to_score_is_an_error_with_the_reasons() -> None:
    """No rows, or none that all have, is refused and not called perfect."""
    with pytest.raises(NotEnoughBarsError, match=r"none of 3 forecasts .* \(not_yet_realized 3\)"):
        evaluate(scored([np.nan] * 3, model=0.005))
    with pytest.raises(NotEnoughBarsError, match="there are none"):
        evaluate(scored([], model=0.005))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forecasts": {"har": np.ones(3), "model": np.ones(3)}}, "first forecast must be 'model'"),
        ({"forecasts": {}}, "first forecast must be 'model'"),
        ({"forecasts": {"model": np.array([1.0, 0.0, 1.0])}}, "model of row 1 is 0.0"),
        ({"forecasts": {"model": np.array([1.0, 1.0, np.inf])}}, "model of row 2 is inf"),
        ({"forecasts": {"model": np.ones(2)}}, "unequal length"),
        ({"bounds": {0.9: (np.ones(3), np.ones(4))}}, "unequal length"),
        ({"time": np.array([0, 7200, 3600])}, "must ascend"),
    ],
)
def test_what_is_no_run_of_forecasts_is_refused(change, message) -> None:
    """A forecast that would be left out as if missing would flatter the one who made it."""
    with pytest.raises(ValueError, match=message):
        replace(scored([0.005] * 3, model=0.005), **change)


def test_months_are_those_in_which_forecasts_were_made() -> None:
    """A forecast on the bar of 23:00 is made at midnight: four hours of January give three and one."""
    bounds = {0.9: (np.full(4, 0.001), np.full(4, 0.0025))}
    months = evaluate(scored([0.001, 0.002, 0.003, 0.004], model=0.002, har=0.001, bounds=bounds))["by_month"]
    assert [(each["month"], each["rows"]) for each in months] == [("2024-01", 3), ("2024-02", 1)]
    assert months[0]["rmse"]["model"] == pytest.approx(np.sqrt(2e-6 / 3)) and months[0]["rmse"]["har"] == pytest.approx(
        np.sqrt(5e-6 / 3)
    )
    assert months[0]["coverage"] == pytest.approx(2 / 3) and months[1]["coverage"] == 0.0
    assert months[1]["qlike"]["model"] == pytest.approx(4 - np.log(4) - 1)


def test_hours_of_the_day_are_those_at_which_forecasts_were_made() -> None:
    """All 24 are there; an hour without a row has none of the numbers."""
    hours = evaluate(scored([0.001, 0.003], model=0.002, har=0.004))["by_hour"]
    assert [each["hour"] for each in hours] == list(range(24)) and sum(each["rows"] for each in hours) == 2
    assert hours[21]["mean_realized"] == 0.001 and hours[21]["bias"] == pytest.approx({"model": 2.0, "har": 4.0})
    assert hours[22]["qlike"]["har"] == pytest.approx((9 / 16) - np.log(9 / 16) - 1)
    assert hours[0] == {
        "hour": 0, "rows": 0, "mean_realized": None, "qlike": {"model": None, "har": None},
        "bias": {"model": None, "har": None},
    }  # fmt: skip


def test_regimes_are_told_by_the_forecast_and_not_by_what_came() -> None:
    """Fifths of equal size in the forecast's order; the realized values, shuffled, do not move a row."""
    forecast = np.linspace(0.001, 0.01, 50)
    up = evaluate(scored(np.full(50, 0.005), model=forecast))["by_regime"]
    assert [(each["regime"], each["rows"]) for each in up] == [(i, 10) for i in range(1, 6)]
    assert up[0]["from"] == forecast[0] and up[0]["to"] == forecast[9] and up[4]["to"] == forecast[-1]
    assert up[0]["bias"] == pytest.approx(forecast[:10].mean() / 0.005) and up[0]["coverage"] is None
    shuffled = evaluate(scored(RNG.permutation(forecast), model=forecast))["by_regime"]
    assert [(each["from"], each["to"]) for each in shuffled] == [(each["from"], each["to"]) for each in up]


def test_calibration_finds_a_planted_line() -> None:
    """Realized = 0.5 · forecast^0.8 has the slope 0.8 and the intercept ln 0.5; equal forecasts have no line."""
    forecast = np.exp(RNG.standard_normal(500)) * 0.005
    found = evaluate(scored(0.5 * forecast**0.8, model=forecast))["calibration"]
    assert found["mincer_zarnowitz"] == pytest.approx({"slope": 0.8, "intercept": np.log(0.5)})
    assert [each["rows"] for each in found["deciles"]] == [50] * 10
    assert found["deciles"][0]["forecast"] == pytest.approx(np.sort(forecast)[:50].mean())
    assert evaluate(scored(REALIZED, model=0.005))["calibration"]["mincer_zarnowitz"] is None


def test_series_has_the_last_forecast_of_each_day() -> None:
    """One point a day, with the level nearest to 90 % and no end where there is none."""
    upper = np.full(50, 0.01)
    upper[27] = np.nan
    bounds = {0.5: (np.full(50, 0.004), upper), 0.95: (np.full(50, 0.001), upper)}
    series = evaluate(scored(REALIZED[:50], model=0.005, har=0.006, bounds=bounds))["series"]
    assert series["time"] == [f"2024-{day}:00:00Z" for day in ("01-31T23", "02-01T23", "02-02T21")]
    assert series["realized"] == [REALIZED[at] for at in (3, 27, 49)] and series["har"] == [0.006] * 3
    assert series["level"] == 0.95 and series["lower"] == [0.001] * 3 and series["upper"] == [0.01, None, 0.01]
    assert "har" not in evaluate(scored(REALIZED[:50], model=0.005))["series"]


def test_worst_thirty_days_are_found_where_they_were_planted() -> None:
    """Sixty misses in a row are the worst month's, wherever it begins; the months before and after hold all."""
    realized = np.full(N, 0.005)
    realized[900:960] = 0.02
    bounds = {0.9: (np.full(N, 0.004), np.full(N, 0.006)), 0.5: (np.full(N, 0.004), np.full(N, 0.03))}
    body = evaluate(scored(realized, model=0.005, bounds=bounds))
    assert body["coverage"] == {"0.5": 1.0, "0.9": pytest.approx(1 - 60 / N)} and body["interval_rows"] == N
    assert body["interval"]["0.9"] == pytest.approx({"below": 0.0, "above": 60 / N, "mean_width": 0.002})
    first = START + HOUR * (960 - 720)
    assert body["worst_30d"]["0.9"] == {
        "coverage": pytest.approx(1 - 60 / 720), "first": format_instant(first), "last": format_instant(first + 719 * HOUR),
    }  # fmt: skip
    assert body["worst_30d"]["0.5"]["coverage"] == 1.0


def test_coverage_over_time_is_that_of_the_720_hours_before() -> None:
    """The first value stands at the end of the first day with 720 hours behind it, and counts exactly those."""
    hit = RNG.random(N) < 0.9
    realized = np.where(hit, 0.005, 0.02)
    bounds = {0.9: (np.full(N, 0.004), np.full(N, 0.006))}
    over = evaluate(scored(realized, model=0.005, bounds=bounds))["coverage_over_time"]
    at = [(parse_instant(time) - START) // HOUR for time in over["time"]]
    assert at[0] == 723 and set(np.diff(at[:-1]).tolist()) == {24} and at[-1] == N - 1
    assert over["levels"]["0.9"] == pytest.approx([hit[i - 719 : i + 1].mean() for i in at])


def test_too_few_hours_have_no_worst_month() -> None:
    """719 hours are not thirty days."""
    bounds = {0.9: (np.full(719, 0.001), np.full(719, 0.1))}
    body = evaluate(scored(REALIZED[:719], model=0.005, bounds=bounds))
    assert body["worst_30d"] == {"0.9": None} and body["coverage_over_time"] == {"time": [], "levels": {"0.9": []}}


def test_intervals_of_all_levels_are_judged_on_the_same_rows() -> None:
    """A row without one level's interval counts for no level's coverage, but its forecast is scored."""
    lower, upper = np.full(100, 0.001), np.full(100, 0.1)
    short = upper.copy()
    short[:40] = np.nan
    body = evaluate(scored(REALIZED[:100], model=0.005, bounds={0.5: (lower, short), 0.9: (lower, upper)}))
    assert body["rows"] == 100 and body["interval_rows"] == 60 and body["coverage"] == {"0.5": 1.0, "0.9": 1.0}
    none = evaluate(scored(REALIZED[:100], model=0.005, bounds={0.9: (np.full(100, np.nan), upper)}))
    assert none["interval_rows"] == 0 and none["coverage"] == {} and none["by_month"][0]["coverage"] is None


VALUES = st.one_of(st.just(float("nan")), st.floats(1e-9, 1e6))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 30), st.sampled_from([("model",), ("model", "har"), ("model", "ewma", "persistence")]))
def test_any_run_of_forecasts_gives_plain_json_or_is_refused(data, n, names) -> None:
    """Whatever the numbers, flat markets and extremes included, the body is JSON without NaN, on complete rows only."""
    column = st.lists(VALUES, min_size=n, max_size=n).map(np.array)
    realized = data.draw(st.one_of(column, st.just(np.zeros(n))))
    bounds = {0.9: (data.draw(column), data.draw(column))} if data.draw(st.booleans()) else {}
    whole = scored(realized, bounds=bounds, past_mean=data.draw(column), **{name: data.draw(column) for name in names})
    complete = np.isfinite(np.array([realized, whole.past_mean, *whole.forecasts.values()])).all(axis=0)
    if not complete.any():
        with pytest.raises(NotEnoughBarsError):
            evaluate(whole)
        return
    body = evaluate(whole)
    assert tables.encode_json(body) and body["rows"] == complete.sum()
    assert body["rows"] + sum(body["left_out"].values()) == n
    for part in ("by_month", "by_hour", "by_regime"):
        assert sum(each["rows"] for each in body[part]) == body["rows"]
