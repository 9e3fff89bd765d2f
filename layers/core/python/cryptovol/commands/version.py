"""`cryptovol version`: the DVC step after a training, as the DAG runs it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptovol import edge, events, history, keys, tables
from cryptovol.errors import ConfigError
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.wiring import Ports, open_ports

Parsers = argparse._SubParsersAction
EPILOG = """What a run read and wrote (bars, features, bundles, ledger) becomes one revision of the data repository and is pushed
to the DVC remote. Pull it anywhere with `dvc pull` inside the repository.

  cryptovol version --run-id RUN --symbol BTC --quote USD --as-of 2025-05-01T00:00:00Z"""


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = parsers.add_parser(
        "version", help="record a run's data and model as a DVC revision", description="Record a run with DVC.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    for name in ("run-id", "symbol", "quote", "as-of"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--folder", type=Path, default=Path("var/versions"), help="the data repository")
    parser.add_argument("--remote", default="s3://cryptovol-dvc/store", help="DVC remote")
    parser.add_argument("--store", type=Path, metavar="DIR", help="a folder instead of S3")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Record the run and return 0."""
    event = events.parse({"symbol": args.symbol, "quote": args.quote, "as_of": args.as_of, "run_id": args.run_id})

    def step(event: StageEvent, ports: Ports, params: Params) -> Result:
        return record(event, ports, folder=args.folder, remote=args.remote)

    result = edge.perform("version", step, event, open_ports(args.store))
    print(
        json.dumps(result)
        if args.json
        else f"version {event.pair}: {result['rows_versioned']} files, {result['revision']}"
    )
    return 0


def record(event: StageEvent, ports: Ports, *, folder: Path, remote: str) -> Result:
    """Record what the run's finished training names.

    Raises
    ------
    ConfigError
        If the run has no finished training.
    """
    from cryptovol.adapters.versions import Versions

    trained = edge.read_result(ports.store, event, "train")
    if trained is None:
        raise ConfigError(f"run {event.run_id!r} has no finished train for {event.pair}; there is nothing to record")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    versions = Versions(folder, remote=remote, endpoint=endpoint)
    found = versions.record(
        ports.store, named(ports.store, trained, event.pair), under=f"{trained['market']}/{event.pair}",
        message=f"run {event.run_id} as of {event.as_of_text}",
    )  # fmt: skip
    note(ports.store, trained, event, revision=found.revision, remote=remote)
    return event.result(revision=found.revision, rows_versioned=found.files, rows_pushed=found.pushed)


def note(store: Store, trained: dict[str, Any], event: StageEvent, *, revision: str, remote: str) -> None:
    """Write beside each bundle which revision holds it, so that a model leads to its data; the first revision stays."""
    body = {"revision": revision, "remote": remote, "run_id": event.run_id, "as_of": event.as_of_text}
    for horizon, model in trained["models"].items():
        sha256 = model["challenger"]["bundle_sha256"]
        key = keys.revision(trained["market"], event.pair, int(horizon), sha256=sha256)
        store.put_new(key, tables.encode_json({**body, "bundle_sha256": sha256}))


def named(store: Store, trained: dict[str, Any], pair: str) -> Iterator[str]:
    """Yield the keys a training stands on: states and their parts, bundles, ledgers."""
    for name in ("raw_key", "clean_key", "features_key"):
        manifest = history.load_manifest(store, trained[name])
        if manifest is None:
            raise ConfigError(f"{trained[name]} is gone; run the pipeline again")
        yield manifest.key
        yield from (part["key"] for part in manifest.body["parts"])
    for horizon, model in trained["models"].items():
        where = keys.bundle(trained["market"], pair, int(horizon), sha256=model["challenger"]["bundle_sha256"])
        yield from store.keys(f"{where}/")
        yield from store.keys(keys.ledger(trained["market"], pair, int(horizon)))
