"""The simulated market has the stylised facts of hourly crypto prices, and a Gaussian walk has none of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import bars as bars_module
from cryptovol.bars import Bars, Floats, Ints
from cryptovol.market import simulated
from cryptovol.params import Params
from cryptovol.times import HOUR, parse_instant

from tests.stylised import BANDS, COINS_BAND, coins_together, facts

START = parse_instant("2021-01-01T00:00:00Z")
THREE_YEARS = 26_304
SCALE = 0.0069  # standard deviation of the simulated BTC's hourly returns
SEEDS = (20240229, 1, 2, 3, 4, 5, 6, 7)


def _market(params: Params, seed: int, symbol: str = "BTC") -> Bars:
    return simulated.path(replace(params.market, seed=seed), symbol, until=START + THREE_YEARS * HOUR)


def _walk(steps: Floats, volume: Floats) -> Bars:
    """Return bars whose log price goes by `steps`, shape (hours, steps an hour)."""
    ends = np.cumsum(steps).reshape(steps.shape)
    opens = np.r_[0.0, ends[:-1, -1]]
    path = np.c_[opens, np.maximum(opens, ends.max(axis=1)), np.minimum(opens, ends.min(axis=1)), ends[:, -1]]
    prices = 40_000 * np.exp(path)
    return bars_module.make(
        START + HOUR * np.arange(len(steps)), prices, volume_base=volume, volume_quote=volume * prices[:, 3],
        symbol="BTC", quote="USD", source="walk", fetched_at=0,
    )  # fmt: skip


def _gaussian(seed: int, steps: int = 12) -> Bars:
    """Return a Gaussian walk of the same scale, with log-normal volumes of their own."""
    rng = np.random.default_rng(seed)
    moves = SCALE / np.sqrt(steps) * rng.standard_normal((THREE_YEARS, steps))
    return _walk(moves, 500 * np.exp(0.5 * rng.standard_normal(THREE_YEARS)))


def _trending(seed: int) -> Bars:
    """Return a walk in which an eighth of each hour's return comes again in the next."""
    rng = np.random.default_rng(seed)
    moves = SCALE * rng.standard_normal(THREE_YEARS)
    for hour in range(1, THREE_YEARS):
        moves[hour] += 0.125 * moves[hour - 1]
    return _walk(moves[:, None], rng.random(THREE_YEARS) + 1)


def _without_path(seed: int) -> Bars:
    """Return a Gaussian walk of which only open and close of each hour are known."""
    return _gaussian(seed, steps=1)


FOILS: dict[str, Callable[[int], Bars]] = {"autocorrelation": _trending, "range_scale": _without_path}


@pytest.fixture(scope="module")
def found(params: Params) -> dict[int, dict[str, float]]:
    """Return the facts of three simulated years, by seed."""
    return {seed: facts(_market(params, seed)) for seed in SEEDS}


@pytest.fixture(scope="module")
def foiled() -> dict[Callable[[int], Bars], list[dict[str, float]]]:
    """Return the facts of the walks, four of each kind."""
    return {foil: [facts(foil(seed)) for seed in range(4)] for foil in (_gaussian, *FOILS.values())}


@pytest.mark.parametrize("fact", BANDS)
def test_the_simulated_market_has_the_fact_whatever_the_seed(found: dict[int, dict[str, float]], fact: str) -> None:
    """The number lies in the band in which real hourly bars lie, for every seed."""
    low, high = BANDS[fact]
    assert not {seed: values[fact] for seed, values in found.items() if not low <= values[fact] <= high}


@pytest.mark.parametrize("fact", BANDS)
def test_a_walk_without_the_fact_is_told_apart(
    foiled: dict[Callable[[int], Bars], list[dict[str, float]]], fact: str
) -> None:
    """A Gaussian walk of the same scale, or the foil made for the fact, lies outside the band."""
    low, high = BANDS[fact]
    values = [values[fact] for values in foiled[FOILS.get(fact, _gaussian)]]
    assert not [value for value in values if low <= value <= high]


def test_coins_move_together_and_walks_do_not(params: Params) -> None:
    """Coins share much of their returns, but not all; two walks share nothing."""
    low, high = COINS_BAND
    for seed in SEEDS[:3]:
        for other in ("ETH", "DOGE"):
            assert low <= coins_together(_market(params, seed), _market(params, seed, other)) <= high
        assert not low <= coins_together(_gaussian(seed), _gaussian(seed + 1)) <= high


def _no_season(time: Ints) -> Floats:
    return np.zeros(len(time))


@pytest.mark.parametrize(
    ("without", "gone"),
    [
        ({"LEVERAGE": 0.0}, {"leverage"}),
        ({"SPREAD": np.zeros(3), "JUMP_CHANCE": 0.0}, {"excess_kurtosis", "tail_index", "clustering_1h"}),
        ({"_season": _no_season}, {"day_season", "week_season"}),
    ],
    ids=["leverage", "stochastic volatility and jumps", "season"],
)
def test_a_fact_goes_with_the_part_of_the_model_that_makes_it(
    params: Params, monkeypatch: pytest.MonkeyPatch, without: dict[str, object], gone: set[str]
) -> None:
    """Each part of the model is there for a fact: without it the fact is gone."""
    for part, value in without.items():
        monkeypatch.setattr(simulated, part, value)
    values = facts(_market(params, 1))
    assert not {fact for fact in gone if BANDS[fact][0] <= values[fact] <= BANDS[fact][1]}


def test_the_documented_bands_are_the_tested_ones() -> None:
    """Every fact has a row in the document, with its band."""
    rows = [line for line in Path("docs/simulated-market.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    for fact, (low, high) in {**BANDS, "coins_together": COINS_BAND}.items():
        assert [row for row in rows if f"`{fact}`" in row and f"| {low:g} to {high:g} |" in row], fact
