"""validate: let the bars through the gate, or stop the run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cryptovol import gate, history, keys, tables
from cryptovol.bars import Bars
from cryptovol.errors import ConfigError, ConflictError, GateRefusedError, KeyNotFoundError
from cryptovol.events import Result, StageEvent
from cryptovol.gate import report as gate_report
from cryptovol.gate import GateReport
from cryptovol.history import Manifest
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.tables import Table

CLEAN_COLUMNS = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
ATTEMPTS = 10


def run(event: StageEvent, *, store: Store, params: Params) -> Result:
    """Check the raw bars closed by `as_of`, store the report, and write the clean bars.

    Returns
    -------
    Result
        The event's fields and clean_key, clean_sha256, report_key (JSON), page_key (the same for people, HTML),
        rows_clean, rows_quarantined and findings by rule.

    Raises
    ------
    GateRefusedError
        If a rule is past its limit. The report and the quarantined rows are stored; clean bars are not.
    ConfigError
        If the event lacks what ingest wrote, or its state is not in the store.
    """
    raw = history.load_manifest(store, event.need("raw_key"))
    if raw is None:
        raise ConfigError(f"{event.need('raw_key')} is not in the store. Cure: run ingest for {event.as_of_text} first")
    market = str(raw.body["market"])
    bars = Bars(**history.read(store, raw)).closed_by(event.as_of)
    report = gate.check(
        bars, as_of=event.as_of, params=params.gate, symbol=event.symbol, quote=event.quote,
        stand_in_quotes=params.sources.stand_in_quotes, witness=_witness(event, store),
    )  # fmt: skip
    report_key, page_key = _store_report(event, store, market, report, bars)
    if report.refused:
        store.put(keys.refusal(market, event.pair), tables.encode_json({"as_of": event.as_of_text}))
        raise GateRefusedError(
            f"the gate refused {len(bars)} bars of {event.pair} at {event.as_of_text}: {'; '.join(report.reasons)}. "
            f"Report: {page_key}",
            report.reasons, findings=report.counts, refused_by=report.refused_by, report_key=report_key,
        )  # fmt: skip
    state = _write_clean(event, store, market, bars.take(report.clean), raw)
    return event.result(
        clean_key=state.key,
        clean_sha256=state.sha256,
        report_key=report_key,
        page_key=page_key,
        rows_clean=state.rows,
        rows_quarantined=report.rows - state.rows,
        findings=report.counts,
    )


def _witness(event: StageEvent, store: Store) -> Bars | None:
    """Return the second source's bars that ingest left beside the first one's, or None if it left none."""
    key = event.given.get("witness_key")
    if not key:
        return None
    try:
        data = store.get(key).data
    except KeyNotFoundError:
        raise ConfigError(f"{key} is not in the store. Cure: run ingest for {event.as_of_text} first") from None
    return Bars(**tables.decode_csv(data, history.BAR_KINDS))


def _store_report(event: StageEvent, store: Store, market: str, report: GateReport, bars: Bars) -> tuple[str, str]:
    """Store the quarantined rows, the page and, last, the JSON; return the JSON's key and the page's."""
    if not report.clean.all():
        store.put(keys.quarantine(market, event.pair, event.as_of_text), gate_report.as_csv(report, bars))
    page = keys.gate_report(market, event.pair, event.as_of_text, suffix="html")
    store.put(page, gate_report.as_html(report, bars))
    key = keys.gate_report(market, event.pair, event.as_of_text, suffix="json")
    store.put(key, tables.encode_json(gate_report.as_json(report)))
    return key, page


def _write_clean(event: StageEvent, store: Store, market: str, bars: Bars, raw: Manifest) -> Manifest:
    """Write the clean bars as the state of `as_of`; the rows carry numbers only, the manifest says whose they are."""
    prefix = keys.clean(market, event.pair)
    columns = bars.columns()
    table: Table = {name: columns[name] for name in CLEAN_COLUMNS}
    meta: dict[str, Any] = {
        "symbol": event.symbol, "quote": event.quote, "market": market, "raw_sha256": raw.sha256,
        "sources": dict(sorted(Counter(bars.source.tolist()).items())),
        "quotes": dict(sorted(Counter(bars.quote.tolist()).items())),
    }  # fmt: skip
    for attempt in range(1, ATTEMPTS + 1):
        head = history.load_manifest(store, history.head_key(prefix))
        parts = history.write_parts(store, prefix, table, codec="npz", head=head)
        try:
            return history.commit(store, prefix, parts, as_of=event.as_of_text, meta=meta, head=head)
        except ConflictError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")
