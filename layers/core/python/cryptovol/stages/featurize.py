"""Clean bars → the 36 features and the targets of every horizon, as a history in the store."""

from __future__ import annotations

import numpy as np

from cryptovol import features, history, keys, spec, target
from cryptovol.bars import Bars, make
from cryptovol.errors import NotEnoughBarsError
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.tables import Table


def run(event: StageEvent, *, store: Store, params: Params) -> Result:
    """Build the feature table as of the event and return where it is.

    Reads the clean state that the validate stage named; months that did not change are not written again.

    Returns
    -------
    dict
        The event's fields and ``features_key, features_sha256, rows_features, rows_complete``.

    Raises
    ------
    NotEnoughBarsError
        If there are fewer bars than the longest window needs.
    """
    market = event.need("market")
    manifest = history.load_manifest(store, event.need("clean_key"))
    if manifest is None:
        raise NotEnoughBarsError(f"no clean bars under {event.need('clean_key')}", needed=features.WARMUP, found=0)
    bars = as_bars(history.read(store, manifest), event)
    if len(bars) < features.WARMUP:
        raise NotEnoughBarsError(
            f"{event.pair} has {len(bars)} clean bars, the longest window needs {features.WARMUP}; ingest more history",
            needed=features.WARMUP,
            found=len(bars),
        )
    table = _table(bars, params)
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


def _table(bars: Bars, params: Params) -> Table:
    built = features.build(bars, coverage=params.featurize.window_coverage)
    table: Table = {"time": built.time, "values": built.values, "log_return": built.log_return}
    for horizon in params.featurize.horizons:
        table[f"target_{horizon}"] = target.forward(
            built.log_return, horizon, coverage=params.featurize.target_coverage
        )
    return table
