"""The model card: every fact of bundle and decision, honest about losses, and the same for the same model."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import card, card_text
from cryptovol.features import FEATURE_NAMES

ERRORS = {"rmse": 0.002, "mae": 0.001, "r2": 0.3, "r2_log": 0.5, "qlike": 0.35, "bias": 1.02}
HEADER = {
    "name": "cryptovol-btc-usd-h24", "symbol": "BTC", "quote": "USD", "market": "live", "source": "coinbase",
    "horizon": 24, "trained_at": "2025-05-01T00:00:00Z", "spec": {"names": list(FEATURE_NAMES)},
    "data": {"rows": 25349, "first": "2022-05-01T00:00:00Z", "last": "2025-04-29T23:00:00Z"},
}  # fmt: skip
SCORES = {
    "rows": 2160, "first": "2025-01-30T00:00:00Z", "last": "2025-04-29T23:00:00Z", "model": ERRORS,
    "baselines": {
        "har": {**ERRORS, "qlike": 0.42, "r2_log": 0.4, "bias": 0.9},
        "ewma": {**ERRORS, "qlike": 0.64, "rmse": 0.0019, "r2": 0.31, "bias": 0.99},
    },
    "dm_har": {"statistic": -3.1, "p": 0.002}, "coverage": {"0.9": 0.885, "0.5": 0.48},
    "left_out": {"garch": "it did not converge in 3 of 4 folds"},
}  # fmt: skip
LINEAGE = {"features_sha256": "f" * 64, "git_commit": "", "raw_sha256": "a" * 64}
DECISION = {"decision": "promoted", "outcome": "win", "reason": "better than the champion", "entry": 7, "secret": "no"}


def build(**more):
    """Return a card, with some parts replaced."""
    parts = {"bundle_sha256": "b" * 64, "lineage": LINEAGE, "decision": DECISION, "version": "12"}
    return card.build(more.pop("header", HEADER), more.pop("scores", SCORES), **{**parts, **more})


def test_card_tells_every_section_in_both_forms():
    """Use, data, features, scores, coverage, limits, decision and lineage are in the dictionary and in the text."""
    made = build()
    assert json.loads(json.dumps(made)) == made
    text = card_text.markdown(made)
    for section in (
        "Intended use", "Not intended", "Data", "Model", "Features (36)", "Scores", "Interval coverage", "Limits",
        "Decision", "Lineage",
    ):  # fmt: skip
        assert f"\n## {section}\n" in text
    assert "25,349 labelled hours" in text and "| 90% | 88.5% |" in text and "price (5)" in text
    assert "Ledger entry 7, promoted (win)" in text and "a" * 64 in text and "statistic -3.10" in text
    assert "git_commit" not in made["lineage"] and "secret" not in made["decision"]


def test_card_of_the_same_model_is_the_same():
    """Nothing but its inputs is in it, and the order of the lineage does not matter."""
    again = build(lineage=dict(reversed(LINEAGE.items())))
    assert card_text.markdown(build()) == card_text.markdown(again)


def test_card_names_each_error_in_which_a_baseline_is_better():
    """Lower, higher or nearer to 1 as the error has it; a draw is no loss."""
    assert {(e["to"], e["error"]) for e in build()["scores"]["loses"]} == {
        ("ewma", "rmse"), ("ewma", "r2"), ("ewma", "bias")
    }  # fmt: skip
    text = card_text.markdown(build())
    assert "- to ewma in RMSE (0.2000% against 0.1900%)" in text and "to har" not in text
    assert "nowhere" in card_text.markdown(build(scores={**SCORES, "baselines": {"har": ERRORS}}))


@given(st.fixed_dictionaries({name: st.floats(0.01, 5) for name in ERRORS}))
def test_card_has_each_error_lost_by_exactly_one_side(other):
    """What the model loses to a baseline, the baseline in the model's place does not."""
    there = card.build(HEADER, {**SCORES, "baselines": {"x": other}}, bundle_sha256="b", lineage={})
    back = card.build(HEADER, {**SCORES, "model": other, "baselines": {"x": ERRORS}}, bundle_sha256="b", lineage={})
    lost = [{each["error"] for each in made["scores"]["loses"]} for made in (there, back)]
    assert not lost[0] & lost[1]
    assert {name for name in ERRORS if name != "bias" and other[name] != ERRORS[name]} <= lost[0] | lost[1]


def test_card_tells_what_was_left_out_and_why():
    """A baseline that could not be compared is named in the scores and among the limits."""
    text = card_text.markdown(build())
    assert "Left out: garch (it did not converge in 3 of 4 folds)." in text
    assert "- Not compared with garch: it did not converge in 3 of 4 folds" in text


@pytest.mark.parametrize(
    ("market", "told"), [("simulated", "made-up bars"), ("replay-x", "never live bars"), ("live", "")]
)
def test_card_says_what_a_market_is_worth(market, told):
    """A model of made-up bars says so among its limits; a real one does not."""
    limits = " ".join(build(header={**HEADER, "market": market})["limits"])
    assert told in limits and ("made-up" in limits) is (market == "simulated")


def test_card_of_a_bare_bundle_leaves_out_what_it_does_not_know():
    """An older bundle without scores, data or decision still has a card."""
    header = {name: value for name, value in HEADER.items() if name not in ("data", "source")}
    made = card.build(header, {"qlike": {"model": 0.1}}, bundle_sha256="b" * 64, lineage={})
    text = card_text.markdown(made)
    assert "None on record" in text and "Not measured" in text and made["version"] is None
    assert "No scores of baselines are on record." in made["limits"]


def test_card_puts_unknown_features_under_other():
    """A feature of no known family is not dropped."""
    made = build(header={**HEADER, "spec": {"names": [*FEATURE_NAMES, "moon_phase"]}})
    assert made["features"]["other"] == ["moon_phase"] and "Features (37)" in card_text.markdown(made)


def test_card_text_cannot_be_broken_by_what_people_wrote():
    """Pipes, line breaks and markup in a reason or a name stay text."""
    text = card_text.markdown(build(decision={**DECISION, "reason": "a\n\n# b | <script>"}, lineage={"x": "y|z"}))
    assert "a # b \\| &lt;script>" in text and "| x | y\\|z |" in text
