"""Every fault of the stand-in server against every source, through ingest and the gate: what comes of it.

``python -m tests.faults`` writes the table in docs/faults.md; tests/adapters/test_fault_table.py holds each of its
cells against what happens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryptovol import history
from cryptovol import params as params_module
from cryptovol.adapters.sources.breaker import Breaker
from cryptovol.adapters.sources.failover import FailoverSource
from cryptovol.adapters.sources.patience import Patience
from cryptovol.adapters.sources.transport import Timeouts
from cryptovol.adapters.sources.venue import VenueSource
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.bars import PRICES, Bars
from cryptovol.errors import CryptovolError, GateRefusedError
from cryptovol.events import parse
from cryptovol.market import faults
from cryptovol.market.server import MarketServer, serve
from cryptovol.params import Params
from cryptovol.ports import BarSource
from cryptovol.stages import ingest, validate
from cryptovol.testing import START, FixedMarket, MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant

SOURCES = (*DIALECTS, "auto")
SLOW = ("timeout", "drip")  # faults that are waited for; with the others a busy machine may take its time
HASTY = Timeouts(read=0.5, whole=0.8)
SPELLS = {"passing": 2, "lasting": None}  # requests that are hit; None is all of them
N = 700  # fewer than Kraken keeps
BEFORE = 24 * HOUR  # between the sound run and the faulty one
AFTER = 6 * HOUR  # between the faulty run and the next sound one
AS_OF = START + (N - 8) * HOUR
DOC = Path("docs/faults.md")
TITLES = {
    "passing": "## The first two answers are at fault",
    "lasting": "## Every answer is at fault",
}
INTRO = """# What a faulty market source does to the stored bars

Written by `make faults`; a test holds every cell against what happens. Each cell is one run of ingest and gate, 24 hours
after a sound one, against the stand-in server in the venue's shape with one fault. `auto` is a chain whose first venue,
CryptoCompare, has the fault, and whose second, Coinbase, is sound.

- **complete**: the stored bars are byte for byte those of a run without a fault; numbers in brackets were counted on the way.
- **an error's code**: the run ends with it. *Nothing stored* means that the history is byte for byte what it was.
- **the gate refuses**: ingest stored the rows, and nothing downstream runs; the rules that refused, and how many they found.
- **passes**: the run goes on with other bars than a sound source's; what was counted says which.

`wrong_symbol` is told from what was stored before. Where nothing is stored yet, and the answer names no pair, only a second
source can tell (rule `disagreement`)."""


def tried(source: str, fault: str, spell: str) -> str:
    """Return, in a few words, what a run with the fault ends with, after a sound one 24 hours before."""
    ours, sound = MemoryStore(), MemoryStore()
    with _served(source, AS_OF) as urls:
        _run(ours, source, urls, AS_OF - BEFORE)
        sound.objects.update(ours.objects)
        _run(sound, source, urls, AS_OF)
    before = _raw(ours)
    with _served(source, AS_OF, faults.named(fault, times=SPELLS[spell])) as urls:
        try:
            counts = _run(ours, source, urls, AS_OF, HASTY if fault in SLOW else None)
        except GateRefusedError as error:
            return "the gate refuses: " + ", ".join(f"{rule} {error.findings[rule]}" for rule in error.refused_by)
        except CryptovolError as error:
            return f"{error.code}, {'nothing stored' if _raw(ours) == before else 'what did come is stored'}"
    said = _compared(counts, ours, sound)
    if not said.startswith("complete"):
        with _served(source, AS_OF + AFTER) as urls:
            for store in (ours, sound):
                _run(store, source, urls, AS_OF + AFTER)
        said += "; mended by the next run" if _same_prices(_bars(ours), _bars(sound)) else "; STAYS"
    return said


def _compared(counts: dict[str, int], ours: MemoryStore, sound: MemoryStore) -> str:
    """Return how a run that passed differs from the sound one."""
    mine, theirs = _bars(ours), _bars(sound)
    said = [f"{name} {count}" for name, count in counts.items() if count]
    others = Counter(mine.source.tolist()) - Counter(theirs.source.tolist())
    said += [f"{count} bars from {name}" for name, count in others.items()]
    in_brackets = f" ({', '.join(said)})" if said else ""
    if _raw(ours) == _raw(sound) or (others and _same_prices(mine, theirs)):
        return f"complete{in_brackets}"
    if len(mine) < len(theirs) and _same_prices(mine, theirs.take(np.isin(theirs.time, mine.time))):
        return f"{len(theirs) - len(mine)} hours short{in_brackets}"
    return f"passes{in_brackets or ' UNSEEN'}"


def _same_prices(left: Bars, right: Bars) -> bool:
    return np.array_equal(left.time, right.time) and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in PRICES
    )


def _bars(store: MemoryStore) -> Bars:
    """Return the raw history."""
    key = next(key for key in store.objects if "/raw/" in key and key.endswith("manifest.json"))
    manifest = history.load_manifest(store, key)
    assert manifest is not None
    return Bars(**history.read(store, manifest))


def _run(
    store: MemoryStore, source: str, urls: Mapping[str, str], as_of: int, timeouts: Timeouts | None = None
) -> dict[str, int]:
    """Ingest and validate as of an instant, half an hour later; return what was counted on the way."""
    params, clients = _params(), _clients(urls, as_of + HOUR // 2, timeouts)
    event = parse({"symbol": "BTC", "quote": _quote(source), "as_of": format_instant(as_of), "run_id": "faults"})
    result = ingest.run(
        event, store=store, source=clients[source], clock=lambda: as_of + HOUR // 2, params=params,
        second=lambda name: clients["coinbase"] if source == "auto" else None,
    )  # fmt: skip
    checked = validate.run(replace(event, given=result), store=store, params=params)
    return {"revised": result["rows_revised"], **checked["findings"]}


def _clients(urls: Mapping[str, str], now: int, timeouts: Timeouts | None) -> dict[str, BarSource]:
    """Return the venues' clients and, as ``auto``, all of them in turn; none really waits between tries."""
    patience = Patience(tries=3, sleep=lambda seconds: None)
    clients: dict[str, BarSource] = {
        venue: VenueSource(DIALECTS[venue], url=url, clock=lambda: now, patience=patience, timeouts=timeouts)
        for venue, url in urls.items()
    }
    chain = FailoverSource(
        clients, freshness_hours=2, breaker=lambda: Breaker(failures=3, seconds=600), clock=lambda: now
    )  # fmt: skip
    return {**clients, "auto": chain}


def _quote(source: str) -> str:
    return "USDT" if source == "binance" else "USD"


def _params() -> Params:
    science = params_module.load(Path("params.yaml"))
    return replace(science, ingest=replace(science.ingest, history_hours=N - 50))


def _raw(store: MemoryStore) -> object:
    """Return the raw history by content: the entries of its parts."""
    key = next(key for key in store.objects if "/raw/" in key and key.endswith("manifest.json"))
    return json.loads(store.objects[key])["parts"]


@contextmanager
def _served(source: str, as_of: int, fault: faults.Fault | None = None) -> Iterator[dict[str, str]]:
    """Serve every venue the source needs, the first one with the fault, as live venues would."""
    venues = ["cryptocompare", "coinbase"] if source == "auto" else [source]
    servers: dict[str, MarketServer] = {}
    market = FixedMarket(make_bars(N, quote=_quote(source)), now=as_of + HOUR // 2)
    try:
        for venue in venues:
            own = fault if venue == venues[0] else None
            servers[venue] = serve(market, shape=venue, fault=own, declared=False, clock=market.now).start()
        yield {venue: server.url for venue, server in servers.items()}
    finally:
        for server in servers.values():
            server.stop()


def table(spell: str) -> list[list[str]]:
    """Return one row per fault: its name and what comes of it at each source."""
    return [[name, *(tried(source, name, spell) for source in SOURCES)] for name in faults.FAULTS]


def main() -> None:
    """Write the table."""
    parts = [INTRO]
    for spell, title in TITLES.items():
        rows = [["fault", *SOURCES], ["---"] * (len(SOURCES) + 1), *table(spell)]
        parts += [title, "\n".join("| " + " | ".join(row) + " |" for row in rows)]
    about = [f"- **{fault.name}**: {fault.about}" for fault in faults.FAULTS.values()]
    parts += ["## The faults", "\n".join(about)]
    DOC.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
