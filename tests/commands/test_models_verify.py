"""`cryptovol models verify`: nothing wrong in a sound store, and each fault by its key."""

import json

import pytest

from cryptovol import keys, ledger

from tests.models import DAY, WHERE, sha_of, spoil, told


def test_models_verify_of_a_sound_store_has_no_faults(models):
    """Entries, champions' bundles and the newest digest are told; exit 0; the digest is an anchor."""
    found = told(models, "verify")
    assert [(each["entries"], each["bundles"], each["faults"]) for each in found.values()] == [(2, 2, [])] * 2
    head = found["24"]["head_sha256"]
    assert head in models("verify")[1]
    assert models("verify", *DAY, "--anchor", head)[0] == 0
    assert models("verify", *DAY, "--anchor", "0" * 64)[0] == 1


@pytest.mark.parametrize("name", ["bundle.json", "forest.npz", "scores.json", "window.npz"])
def test_models_verify_names_a_changed_bundle_file(models, model_folder, name):
    """One flipped bit in a file of any former champion is found, with its key."""
    key = spoil(model_folder, 1, name)
    code, out, _ = models("verify", "--json")
    assert code == 1 and [f["where"] for f in json.loads(out)["24"]["faults"]] == [key]
    code, out, _ = models("verify")
    assert code == 1 and key in out.replace("\n", "")


def test_models_verify_names_what_is_missing_or_edited(models, model_folder):
    """A missing file, an edited entry and a moved pointer are each told, at their own horizon."""
    gone = f"{keys.bundle(*WHERE, sha256=sha_of(model_folder, 2))}/har.json"
    (model_folder / gone).unlink()
    pointer = model_folder / keys.champion("simulated", "btc-usd", 6)
    pointer.write_bytes(pointer.read_bytes().replace(b'"entry": 2', b'"entry": 7'))
    faults = json.loads(models("verify", "--json")[1])
    assert faults["24"]["faults"] == [{"where": gone, "what": "is missing"}]
    assert "newer entries were removed" in faults["6"]["faults"][0]["what"]
    entry = model_folder / ledger.entry_key(*WHERE, 1)
    entry.write_bytes(entry.read_bytes().replace(b"promoted", b"rejected"))
    assert "does not follow" in json.loads(models("verify", "--json")[1])["24"]["faults"][0]["what"]
