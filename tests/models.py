"""What tests of `cryptovol models` share: the entries of a folder's ledger, and damage to their bundles."""

import json

from cryptovol import keys, ledger
from cryptovol.adapters.files import FileStore

WHERE = ("simulated", "btc-usd", 24)
DAY = ("--horizon", "24")


def told(models, *words):
    """Return the JSON of an action that succeeds."""
    code, out, _ = models(*words, "--json")
    assert code == 0
    return json.loads(out)


def sha_of(folder, number):
    """Return the bundle of a training's entry."""
    return ledger.one(FileStore(folder), *WHERE, number).body["challenger"]["bundle_sha256"]


def everything(folder):
    """Return all objects of a folder."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".tmp" not in p.parts}


def spoil(folder, number, name):
    """Change the last byte of a file of an entry's bundle; return its key."""
    key = f"{keys.bundle(*WHERE, sha256=sha_of(folder, number))}/{name}"
    data = (folder / key).read_bytes()
    (folder / key).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return key
