"""Where a model came from, link by link: bars, features, bundle, tracked run, registry, ledger, data revision, code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptovol import audit, history, keys, ledger, tables
from cryptovol.bundle import MANIFEST
from cryptovol.errors import CryptovolError, KeyNotFoundError, ModelNotFoundError
from cryptovol.ledger import Entry
from cryptovol.ports import Store

OUTSIDE = "not checked: it is outside the store"


@dataclass(frozen=True)
class Link:
    """One step of a model's origin.

    Parameters
    ----------
    step
        For instance ``features``.
    value
        Digest, id or name; empty where it was not recorded.
    key, url
        Where to read it; empty where it has none.
    holds
        Whether what is stored is what was recorded; None where that was not, or cannot be, checked.
    says
        Why it does not hold, or was not checked.
    """

    step: str
    value: str
    key: str = ""
    url: str = ""
    holds: bool | None = None
    says: str = ""


def trained_by(chain: list[Entry], sha256: str) -> Entry:
    """Return the entry of the training that made a bundle.

    Raises
    ------
    ModelNotFoundError
        If no entry tells of it.
    """
    for entry in chain:
        if (entry.body.get("challenger") or {}).get("bundle_sha256") == sha256:
            return entry
    raise ModelNotFoundError(f"no ledger entry tells of the training of bundle {sha256[:12]}")


def links(store: Store, market: str, pair: str, horizon: int, entry: Entry) -> list[Link]:
    """Return the links of the model that an entry's training made, from bars to code.

    Parameters
    ----------
    entry
        Of a training; see `trained_by`.
    """
    told, model = entry.body.get("lineage", {}), entry.body["challenger"]
    sha256, as_of = model["bundle_sha256"], entry.body["as_of"]
    where = keys.bundle(market, pair, horizon, sha256=sha256)
    number = ledger.entry_key(market, pair, horizon, entry.number)
    found = [
        Link(step, told.get(f"{step}_sha256", ""), history.state_key(prefix(market, pair), as_of))
        for step, prefix in (("raw", keys.raw), ("clean", keys.clean), ("features", keys.features))
    ]
    study = keys.tuning_log(market, pair, horizon, study=told.get("tuning_study", ""))
    found += _tuning(told, study)
    found.append(Link("bundle", sha256, f"{where}/{MANIFEST}"))
    found += _tracked(told, model)
    found.append(Link("ledger entry", f"{entry.number} {entry.sha256}", number))
    found.append(_revision(store, keys.revision(market, pair, horizon, sha256=sha256)))
    found.append(Link("git commit", told.get("git_commit", "")))
    return found


def _tuning(told: dict[str, Any], log: str) -> list[Link]:
    """Return the study that the training's parameters came from, or why there is none; nothing in older entries."""
    if "tuning" not in told:
        return []
    study = told.get("tuning_study", "")
    return [Link("tuning study", study, log if study else "", says=told["tuning"])]


def _tracked(told: dict[str, Any], model: dict[str, Any]) -> list[Link]:
    url = str(told.get("tracking_url", ""))
    outside = url.startswith(("http://", "https://"))
    version = f"{model['name']} version {model['version']}"
    at_registry = f"{url.partition('/#/')[0]}/#/models/{model['name']}/versions/{model['version']}" if outside else ""
    run = Link("tracked run", told.get("mlflow_run", ""), "" if outside else url, url if outside else "")
    return [run, Link("registry version", version, "", at_registry)]


def _revision(store: Store, key: str) -> Link:
    try:
        body = json.loads(store.get(key).data)
    except KeyNotFoundError:
        return Link("DVC revision", "", key)
    return Link("DVC revision", body["revision"], key, body["remote"])


def check(store: Store, market: str, pair: str, horizon: int, entry: Entry) -> list[Link]:
    """Return the same links, each held against what is stored: digests are computed again from the bytes."""
    model, told = entry.body["challenger"], entry.body.get("lineage", {})

    def bundle(link: Link) -> str:
        faults = audit.bundle_faults(store, market, pair, horizon, model=model)
        return "; ".join(f"{fault.where.rpartition('/')[2]} {fault.what}" for fault in faults)

    def chain(link: Link) -> str:
        return "" if entry in ledger.entries(store, market, pair, horizon) else "is not in the ledger"

    checks: dict[str, Callable[[Link], str]] = {
        "raw": lambda link: _state_fault(store, link),
        "clean": lambda link: _state_fault(store, link, raw_sha256=told.get("raw_sha256", "")),
        "features": lambda link: _state_fault(store, link, clean_sha256=told.get("clean_sha256", "")),
        "tuning study": lambda link: "" if next(store.keys(link.key), "") else "has no records",
        "bundle": bundle,
        "tracked run": lambda link: _run_fault(store, link, model["bundle_sha256"]),
        "ledger entry": chain,
    }
    return [_checked(link, checks.get(link.step)) for link in links(store, market, pair, horizon, entry)]


def _checked(link: Link, fault_of: Callable[[Link], str] | None) -> Link:
    if not link.value:
        return replace(link, says=link.says or "not recorded")
    if fault_of is None or not link.key:
        return replace(link, says=OUTSIDE)
    try:
        fault = fault_of(link)
    except CryptovolError as error:
        fault = str(error)
    return replace(link, holds=not fault, says=fault or link.says)


def _state_fault(store: Store, link: Link, **named: str) -> str:
    """Return why a state of a history is not the one recorded, down to its last part, or an empty text."""
    manifest = history.load_manifest(store, link.key)
    if manifest is None:
        return "is gone"
    if manifest.sha256 != link.value:
        return f"has the sha256 {manifest.sha256[:12]}…: another state was written for the same instant"
    for name, value in named.items():
        if manifest.body.get(name, value) != value:
            return f"was made from another {name}, {str(manifest.body[name])[:12]}…"
    for part in manifest.body["parts"]:
        try:
            if tables.sha256(store.get(part["key"]).data) != part["sha256"]:
                return f"its part {part['key']} is not what it was"
        except KeyNotFoundError:
            return f"its part {part['key']} is gone"
    return ""


def _run_fault(store: Store, link: Link, sha256: str) -> str:
    """Return why a run kept in the store is not of this bundle, or an empty text."""
    try:
        tags = json.loads(store.get(link.key).data)["tags"]
    except KeyNotFoundError:
        return "is gone"
    except (ValueError, KeyError):
        return "cannot be read"
    return "" if tags.get("bundle_sha256") == sha256 else "is of another bundle"
