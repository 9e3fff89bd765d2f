"""`cryptovol models list | show | card | lineage` after two trainings."""

import json

import pytest

from cryptovol import audit, cli
from cryptovol.adapters import versions
from cryptovol.adapters.files import FileStore
from cryptovol.commands import version
from cryptovol.events import parse

from tests.models import DAY, WHERE, sha_of, spoil, told


def test_models_list_tells_every_decision(models):
    """Both horizons, each entry with outcome, numbers and what serves; as a table and as JSON."""
    code, out, _ = models("list")
    assert code == 0 and out.count("first") == 2 and "24 h (QLIKE" in out and "no champion yet" in out
    found = told(models, "list")
    assert {h: len(entries) for h, entries in found.items()} == {"6": 2, "24": 2}
    assert found["24"][1]["previous_sha256"] == found["24"][0]["sha256"]


def test_models_list_of_a_pair_never_trained_says_so(models):
    """No decisions is no error."""
    code, out, _ = models("list", "--symbol", "ETH")
    assert code == 0 and "no decisions yet" in out


def test_models_show_tells_any_model(models, model_folder):
    """The champion by default, any other by entry or version, with the scores it was judged by."""
    shown = told(models, "show", *DAY)
    assert shown["serves"] and shown["bundle_sha256"] == sha_of(model_folder, 2)
    assert shown["scores"]["model"]["qlike"] > 0 and shown["promotion"]["entry"] == 2
    first = told(models, "show", *DAY, "--entry", "1")
    assert not first["serves"] and first["bundle_sha256"] == sha_of(model_folder, 1)
    assert told(models, "show", *DAY, "--version", first["version"]) == first
    code, out, _ = models("show", *DAY)
    assert code == 0 and "persistence" in out and "the champion" in out and "90% interval" in out


def test_models_show_of_what_is_not_there_names_what_is(models):
    """An entry, a version, a pair or a horizon that does not exist is refused with those that do."""
    code, _, err = models("show", *DAY, "--entry", "9")
    assert code == 1 and "no entry 9" in err and "1 (version" in err
    assert models("show", *DAY, "--version", "nine")[0] == 1
    assert "has no champion" in models("show", *DAY, "--symbol", "ETH")[2]
    code, _, err = models("show")
    assert code == 2 and "--horizon, one of 6, 24" in err


def test_models_card_is_the_same_twice_and_goes_to_a_file(models, model_folder):
    """The card has no clock in it, names decision and lineage, and JSON has the same facts."""
    code, out, _ = models("card", *DAY)
    assert code == 0 and out == models("card", *DAY)[1]
    assert "## Not intended" in out and "Ledger entry 2, promoted (tie)" in out and sha_of(model_folder, 2) in out
    assert models("card", *DAY, "--out", str(model_folder / "new" / "card.md"))[0] == 0
    assert (model_folder / "new" / "card.md").read_text(encoding="utf-8") == out
    card = told(models, "card", *DAY, "--entry", "1")
    assert card["decision"]["entry"] == 1 and set(card["scores"]["errors"]) >= {"model", "har", "ewma", "persistence"}
    assert card["lineage"]["features_sha256"] and card["data"]["rows"] > 0


def test_models_lineage_leads_from_bars_to_code(models, model_folder):
    """Every step has its digest and key, those not recorded say so, and all that is stored holds."""
    links = {link["step"]: link for link in told(models, "lineage", *DAY)}
    assert list(links) == [
        "raw", "clean", "features", "tuning study", "bundle", "tracked run", "registry version", "ledger entry",
        "DVC revision", "git commit",
    ]  # fmt: skip
    assert all(
        (model_folder / links[step]["key"]).is_file() for step in ("raw", "clean", "features", "bundle", "tracked run")
    )
    assert links["DVC revision"]["value"] == "" and links["bundle"]["value"] == sha_of(model_folder, 2)
    checked = {link["step"]: link["holds"] for link in told(models, "lineage", *DAY, "--check")}
    assert [step for step, holds in checked.items() if holds] == [
        "raw", "clean", "features", "bundle", "tracked run", "ledger entry"
    ]  # fmt: skip
    code, out, _ = models("lineage", *DAY, "--entry", "1", "--check")
    assert code == 0 and "yes" in out and "not recorded" in out and links["raw"]["value"] not in out


@pytest.mark.parametrize("step", ["raw", "clean", "features", "bundle", "tracked run"])
def test_models_lineage_check_names_the_step_that_does_not_hold(models, model_folder, step):
    """A part of a history, a bundle's file or a run that was changed or lost is told at its step, exit 1."""
    link = next(link for link in told(models, "lineage", *DAY) if link["step"] == step)
    if step in ("raw", "clean", "features"):
        next((model_folder / link["key"]).parent.parent.glob("2024-04.*")).write_bytes(b"torn")
    elif step == "bundle":
        spoil(model_folder, 2, "linear.json")
    else:
        (model_folder / link["key"]).unlink()
    code, out, _ = models("lineage", *DAY, "--check", "--json")
    assert code == 1 and [each["step"] for each in json.loads(out) if each["holds"] is False] == [step]


def test_models_lineage_of_a_rollback_is_that_of_the_training(models, model_folder):
    """A champion that was rolled back to still leads to the bars it was trained on."""
    first = told(models, "lineage", *DAY, "--entry", "1")
    told(models, "rollback", *DAY)
    assert told(models, "lineage", *DAY) == first


def test_version_notes_which_revision_first_held_a_bundle(models, model_folder):
    """The note leads from the model to the DVC revision, and a later revision does not move it."""
    result = json.loads((model_folder / "runs/r06/btc-usd/train.json").read_bytes())["result"]
    event = parse({name: result[name] for name in ("symbol", "quote", "as_of", "run_id")})
    for revision in ("abc123", "def456"):
        version.note(FileStore(model_folder), result, event, revision=revision, remote="s3://bucket/dvc")
    link = next(link for link in told(models, "lineage", *DAY) if link["step"] == "DVC revision")
    assert (link["value"], link["url"]) == ("abc123", "s3://bucket/dvc")
    assert audit.verify(FileStore(model_folder), *WHERE).faults == ()


def test_version_records_and_notes_in_one_step(models, model_folder, monkeypatch):
    """The version step leaves the note beside each horizon's bundle."""

    class Recorded:
        """`Versions` without git and DVC."""

        def __init__(self, folder, **more):
            self.folder = folder

        def record(self, store, names, **more):
            return versions.Version("abc123", len(list(names)), 1)

    monkeypatch.setattr(versions, "Versions", Recorded)
    own = ("--symbol", "BTC", "--quote", "USD", "--as-of", "2024-06-01T06:00:00Z", "--store", str(model_folder))
    assert cli.main(["version", "--run-id", "r06", *own]) == 0
    for horizon in ("6", "24"):
        links = {link["step"]: link["value"] for link in told(models, "lineage", "--horizon", horizon)}
        assert links["DVC revision"] == "abc123"
