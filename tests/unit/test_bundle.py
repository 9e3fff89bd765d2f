"""A bundle's own answers: baselines as offline, explanations that survive its bytes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from cryptovol import baselines, bundle, tables
from cryptovol.errors import BundleRefusedError
from cryptovol.features import WARMUP

from tests import forest_twins, served

RNG = np.random.default_rng(2)
RETURNS = 0.01 * RNG.standard_normal(1500)
# Splits on the columns the row below tells apart, one of them twice on a path.
TREES = [
    (3, 0.5, (0.1, 40), (3, 1.5, (0.2, 30), (7, -1.0, (-0.4, 10), (0.3, 20)))),
    (30, 0.0, (-0.2, 60), (0.1, 40)),
]
ROW = np.where(np.arange(36) % 2, 1.0, -2.0)


def made(horizon=24):
    """Return a bundle with trees."""
    plain = served.make_bundle(horizon=horizon, factor=1.3, trained_at="2025-01-01T00:00:00Z")
    return replace(plain, model=replace(plain.model, forest=forest_twins.forest_of(TREES), members=2))


def loaded(one):
    """Return a bundle as its bytes give it back."""
    files = bundle.encode(one)
    return bundle.decode(files, one.header, tables.sha256(files[bundle.MANIFEST]))


def test_explanation_survives_the_bytes_and_adds_up():
    """The weights of training rows travel in the bundle: loaded, it explains as before, up to the forecast itself."""
    first, again = (one.explain(ROW) for one in (made(), loaded(made())))
    assert np.array_equal(first.contributions, again.contributions) and first.base == again.base
    forecast = np.log(loaded(made()).predict(ROW[None])[0])
    assert again.base + again.contributions.sum() == pytest.approx(forecast, abs=1e-12)
    assert set(np.flatnonzero(again.contributions)) == {3, 7, 30, served.COLUMN}


def test_many_threads_may_be_the_first_to_ask():
    """What a bundle works out when it is first asked is worked out alike by all that ask at once."""
    one = loaded(made())
    wanted = made().predict(ROW[None])[0], made().explain(ROW).contributions.tolist()
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda _: (one.predict(ROW[None])[0], one.explain(ROW).contributions.tolist()), range(64))
        assert all(each == wanted for each in found)


def test_bundle_without_weights_of_training_rows_is_refused():
    """A forest of an earlier format has no cover; it is named, and no KeyError."""
    files = bundle.encode(made())
    arrays = tables.decode_npz(files["forest.npz"])
    del arrays["cover"]
    with pytest.raises(BundleRefusedError, match="lacks the arrays cover"):
        bundle.decode({**files, "forest.npz": tables.encode_npz(arrays)}, made().header, "0" * 64)


@pytest.mark.parametrize("horizon", [6, 24])
@pytest.mark.parametrize("gaps", [0, 60])
def test_baselines_have_the_bits_of_the_whole_history(horizon, gaps):
    """At the newest hour they are what they are over the whole history, with hours missing or not."""
    returns = RETURNS.copy()
    returns[RNG.choice(len(returns) - 1, gaps, replace=False)] = np.nan
    one = made(horizon)
    got = one.baselines(returns)
    assert got == {
        "persistence": baselines.persistence(returns, horizon, coverage=0.75)[-1],
        "ewma": baselines.ewma(returns)[-1],
        "har": one.har.predict(baselines.har_inputs(returns, coverage=0.75)[-1:])[0],
    }
    assert got == one.baselines(returns[-WARMUP:])
