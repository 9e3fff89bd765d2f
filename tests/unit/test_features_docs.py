"""docs/features.md says of every feature what the code does."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import features
from cryptovol.bars import PRICES
from cryptovol.features import FAMILIES, FEATURE_NAMES, WARMUP
from cryptovol.testing import make_bars
from cryptovol.volatility import FLOOR

TEXT = Path("docs/features.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+?) \| ([\d–]+) \| (\d+) \|$", TEXT, re.MULTILINE)
N = 800
BARS = make_bars(N, seed=7)


def newest(bars):
    """Return the features of the newest hour."""
    return features.build(bars, coverage=0.75).values[-1]


def without_like_it(back):
    """Return the bars with another bar so many hours before the newest: lower, wider and busier."""
    at = N - 1 - back
    columns = {name: getattr(BARS, name).copy() for name in (*PRICES, "volume_base")}
    for name, factor in zip(columns, (0.98, 1.01, 0.93, 0.97, 3.0), strict=True):
        columns[name][at] *= factor
    return replace(BARS, **columns)


def test_docs_have_every_feature_with_its_family_in_order():
    """The table is the list that the code has, no more, no less."""
    assert [name for name, *_ in ROWS] == list(FEATURE_NAMES)
    assert [family for _, family, *_ in ROWS] == [family for family, names in FAMILIES.items() for _ in names]
    assert all(len(meaning) > 5 for _, _, meaning, *_ in ROWS)


def test_docs_give_warm_up_and_floor_as_they_are():
    """The numbers in the text are the code's."""
    assert f"**Warm-up: {WARMUP} bars.**" in TEXT and f"same newest {WARMUP} bars" in TEXT
    assert f"below {FLOOR:.6f} per hour" in TEXT
    assert max(int(bars) for *_, bars in ROWS) == WARMUP


@pytest.mark.parametrize(("name", "bars"), [(name, int(bars)) for name, *_, bars in ROWS])
def test_docs_say_how_many_bars_a_feature_depends_on(name, bars):
    """The oldest of these bars moves the feature, and the one before it does not."""
    column, now = FEATURE_NAMES.index(name), newest(BARS)
    if bars:
        assert newest(without_like_it(bars - 1))[column] != now[column]
    assert newest(without_like_it(bars))[column] == now[column]


def test_docs_name_the_window_that_is_in_a_features_name():
    """A name that ends in hours has these hours as its window; spans, decays and harmonics are no windows."""
    spans = {"macd_12_26", "ewma_94", "gk_ewma_97", "volume_1"}
    told = {name: window for name, family, _, window, _ in ROWS if family != "temporal" and name not in spans}
    assert all(name.endswith(f"_{window}") for name, window in told.items())
    assert {window for _, family, _, window, _ in ROWS if family == "temporal"} == {"–"}
    assert np.isfinite(newest(BARS)).all()
