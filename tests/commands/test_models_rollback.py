"""`cryptovol models rollback`: the way back, recorded, served, and refused where it leads nowhere."""

import json
import shutil

import pytest

from cryptovol import keys, ledger
from cryptovol.adapters.files import FileStore
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.errors import TransientError
from cryptovol.serving import Champions

from tests.models import DAY, WHERE, everything, sha_of, spoil, told


def test_models_rollback_goes_to_the_champion_before_and_says_which(models, model_folder):
    """Without --to the champion before serves again: an entry with the reason, moved aliases, the API's champion."""
    held = Champions(FileStore(model_folder), "simulated", lambda: 0)
    assert held.get("btc-usd", 24).bundle.sha256 == sha_of(model_folder, 2)
    code, out, _ = models("rollback", *DAY, "--reason", "it | [drifted]")
    assert code == 0 and "served" in out and "rolled back to the model of entry 1: it | [drifted]" in out
    entry = ledger.one(FileStore(model_folder), *WHERE, 3).body
    assert entry["decision"] == "rolled_back" and entry["rolled_back"]["to_entry"] == 1
    assert entry["champion"]["bundle_sha256"] == sha_of(model_folder, 1) and entry["champion"]["entry"] == 3
    name, first = entry["champion"]["name"], entry["champion"]["version"]
    assert json.loads((model_folder / f"tracking/{name}/champion.json").read_bytes())["version"] == first
    assert Champions(FileStore(model_folder), "simulated", lambda: 0).get("btc-usd", 24).bundle.sha256 == sha_of(
        model_folder, 1
    )
    assert told(models, "card", *DAY)["decision"]["decision"] == "rolled_back"
    assert models("verify")[0] == 0


def test_models_rollback_and_forth_by_entry(models, model_folder):
    """--to takes any entry, that of a rollback included; without it two rollbacks in a row swap the two models."""
    served = [told(models, "rollback", *DAY, *more)["champion"]["bundle_sha256"] for more in ((), (), ("--to", "3"))]
    assert served == [sha_of(model_folder, 1), sha_of(model_folder, 2), sha_of(model_folder, 1)]


@pytest.mark.parametrize("to", ["2", "9"])
def test_models_rollback_to_what_serves_or_to_nothing_changes_nothing(models, model_folder, to):
    """The champion itself, and an entry that does not exist, are refused by name."""
    before = everything(model_folder)
    code, _, err = models("rollback", *DAY, "--to", to)
    assert code == 1 and ("serves already" in err if to == "2" else "no entry 9" in err)
    assert everything(model_folder) == before


def test_models_rollback_without_a_former_champion_names_the_entries(models, model_folder):
    """Where only one model ever served there is no way back."""
    (model_folder / ledger.entry_key(*WHERE, 2)).unlink()
    (model_folder / keys.champion(*WHERE)).unlink()
    code, _, err = models("rollback", *DAY)
    assert code == 1 and "no other champion" in err and "one of 1" in err


@pytest.mark.parametrize("how", ["forest.npz", "market"])
def test_models_rollback_to_a_bundle_that_must_not_serve_changes_nothing(models, model_folder, how):
    """A damaged bundle, or one that says it is of another market, is refused; the champion goes on serving."""
    if how == "market":
        live = model_folder / "models/live"
        shutil.copytree(model_folder / "models/simulated", live)
    else:
        spoil(model_folder, 1, how)
    before = everything(model_folder)
    code, _, err = models("rollback", *DAY, "--market", "live" if how == "market" else "simulated")
    assert code == 1 and ("is of simulated" in err if how == "market" else "not the file it was" in err)
    assert everything(model_folder) == before


def test_models_rollback_from_a_damaged_champion_works(models, model_folder):
    """The champion's own damage does not stand in the way out."""
    spoil(model_folder, 2, "scores.json")
    code, out, _ = models("rollback", *DAY)
    assert code == 0 and "entry 1" in out


def test_models_rollback_stands_while_the_registry_is_away(models, model_folder, monkeypatch):
    """The model serves; the aliases are told to be late, and are not noted as moved."""

    def away(self, name, **more):
        raise TransientError("MLflow is away")

    note = (model_folder / keys.aliases(*WHERE)).read_bytes()
    monkeypatch.setattr(StoreTracker, "alias", away)
    code, out, err = models("rollback", *DAY, "--json")
    assert code == 0 and not json.loads(out)["aliases_moved"] and "MLflow is away" in err
    assert ledger.champion(FileStore(model_folder), *WHERE).bundle_sha256 == sha_of(model_folder, 1)
    assert (model_folder / keys.aliases(*WHERE)).read_bytes() == note
