"""Clean bars → the 36 features and the targets of every horizon, as a history in the store."""

from __future__ import annotations

from functools import partial

import numpy as np

from cryptovol import features, history, keys, leaks, spec, target
from cryptovol.bars import Bars, make
from cryptovol.errors import BarSchemaError, NotEnoughBarsError
from cryptovol.events import Result, StageEvent
from cryptovol.history import Manifest
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.tables import Table


def run(event: StageEvent, *, store: Store, params: Params) -> Result:
    """Build the feature table as of the event and return where it is.

    Reads the clean state that the validate stage named; months that did not change are not written again. Before
    anything is stored, the table is audited: see `leaks`.

    Returns
    -------
    dict
        The event's fields and ``features_key, features_sha256, rows_features, rows_complete``.

    Raises
    ------
    NotEnoughBarsError
        If there are fewer bars than the longest window needs.
    BarSchemaError
        If the clean state is of another symbol or quote than the event.
    LeakError
        If a feature or a target knows hours that it must not know.
    """
    market = event.need("market")
    manifest = history.load_manifest(store, event.need("clean_key"))
    if manifest is None:
        raise NotEnoughBarsError(
            f"no clean bars under {event.need('clean_key')}, the longest window needs {features.WARMUP}; run validate",
            needed=features.WARMUP, found=0,
        )  # fmt: skip
    table = _table(_bars(manifest, event, store), params, manifest.sha256)
    prefix = keys.features(market, event.pair)
    head = history.load_manifest(store, history.head_key(prefix))
    parts = history.write_parts(store, prefix, table, codec="npz", head=head)
    meta = {
        "spec": spec.current(params.featurize.window_coverage),
        "horizons": list(params.featurize.horizons),
        "target_coverage": params.featurize.target_coverage,
        "clean_sha256": manifest.sha256,
        "market": market,
    }
    state = history.commit(store, prefix, parts, as_of=event.as_of_text, meta=meta, head=head)
    complete = int(np.isfinite(table["values"]).all(axis=1).sum())
    return event.result(
        features_key=state.key, features_sha256=state.sha256, rows_features=state.rows, rows_complete=complete
    )


def as_bars(table: Table, event: StageEvent) -> Bars:
    """Return clean rows as bars; source and fetch time stay with the raw bars."""
    if not table:
        return make([], np.empty((0, 4)), volume_base=[], volume_quote=[], symbol="", quote="", source="", fetched_at=0)
    prices = np.column_stack([table[name] for name in ("open", "high", "low", "close")])
    return make(
        table["time"], prices, volume_base=table["volume_base"], volume_quote=table["volume_quote"],
        symbol=event.symbol, quote=event.quote, source="", fetched_at=0,
    )  # fmt: skip


def _bars(manifest: Manifest, event: StageEvent, store: Store) -> Bars:
    """Return the clean bars of the event's pair, as many as features need at least."""
    found = tuple(manifest.body.get(name, getattr(event, name)) for name in ("symbol", "quote"))
    if found != (event.symbol, event.quote):
        raise BarSchemaError(
            f"{manifest.key} holds bars of {'/'.join(found)}, not of {event.symbol}/{event.quote}; give the clean_key that"
            f" validate returned for {event.pair}"
        )
    bars = as_bars(history.read(store, manifest), event)
    if len(bars) < features.WARMUP:
        raise NotEnoughBarsError(
            f"{event.pair} has {len(bars)} clean bars, the longest window needs {features.WARMUP}; ingest more history",
            needed=features.WARMUP,
            found=len(bars),
        )
    return bars


def _table(bars: Bars, params: Params, digest: str) -> Table:
    """Return the audited table; `digest` of the bars decides which rows are built again."""
    build = partial(features.build, coverage=params.featurize.window_coverage)
    built = build(bars)
    leaks.audit_features(build, bars, built, leaks.sample(built, bars, digest=digest))
    table: Table = {"time": built.time, "values": built.values, "log_return": built.log_return}
    coverage = params.featurize.target_coverage
    for horizon in params.featurize.horizons:
        ahead = target.forward(built.log_return, horizon, coverage=coverage)
        leaks.audit_target(built.time, built.log_return, ahead, horizon=horizon, coverage=coverage)
        table[f"target_{horizon}"] = ahead
    return table
