"""Bars of any kind: the gate always gives a verdict, and nothing impossible passes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol import tables
from cryptovol.bars import COLUMNS, Bars
from cryptovol.gate import report as gate_report
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR
from tests.gates import check

whole = st.one_of(
    st.integers(-3, 40).map(lambda hour: START + hour * HOUR), st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, -1, 2**63 - 1, -(2**63), 2**37, START + 1]),
)  # fmt: skip
number = st.one_of(
    st.floats(width=64), st.floats(1e4, 1.1e4), st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1.7e308, -1.7e308])
)  # fmt: skip
text = st.one_of(
    st.sampled_from(["BTC", "USD", "", "repair:", "repair:x", "<b>", "\ud800", "\x01"]), st.text(max_size=4)
)


@st.composite
def any_bars(draw: st.DrawFn) -> Bars:
    """Return bars that are nearly right, or of nonsense, or anything between."""
    n = draw(st.integers(0, 24))
    columns = make_bars(n).columns()
    for name in draw(st.lists(st.sampled_from(COLUMNS), unique=True)):
        kind = columns[name].dtype.kind
        values = draw(st.lists({"i": whole, "f": number, "U": text}[kind], min_size=n, max_size=n))
        columns[name] = np.array(values, dtype={"i": np.int64, "f": np.float64, "U": np.str_}[kind])
    return Bars(**columns)  # type: ignore[arg-type]


@settings(max_examples=150)
@given(any_bars(), st.one_of(st.none(), any_bars()), st.integers(-2, 60), st.integers(1, 9))
def test_gate_gives_a_verdict_on_any_bars(bars: Bars, witness: Bars | None, hour: int, window: int) -> None:
    """Whatever the numbers are nothing raises, what passes is a bar, and every form of the report can be written."""
    as_of = START + hour * HOUR
    report = check(bars, as_of=as_of, witness=witness, outlier_hours=window, settle_hours=3)
    clean = bars.take(report.clean)
    assert (np.diff(clean.time) > 0).all() and (clean.time + HOUR <= as_of).all() and (clean.time > 0).all()
    assert (clean.fetched_at >= clean.time + HOUR).all() and (clean.time % HOUR == 0).all()
    assert np.isfinite(clean.close).all() and (clean.low > 0).all() and (clean.volume_base > 0).all()
    assert (clean.high >= np.maximum(clean.open, clean.close)).all()
    assert (clean.low <= np.minimum(clean.open, clean.close)).all()
    assert tables.encode_json(gate_report.as_json(report)) and gate_report.as_csv(report, bars)
    assert gate_report.as_html(report, bars)
