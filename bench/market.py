"""Benchmarks of market data: reading and judging bars, and a nine-year backfill over HTTP into S3."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cryptovol import gate
from cryptovol import params as params_module
from cryptovol.adapters.s3 import S3Store
from cryptovol.adapters.sources.dialect import Ask, Reply
from cryptovol.adapters.sources.venue import VenueSource
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.bars import Bars, concat, make
from cryptovol.cloud import deploy, embedded
from cryptovol.cloud.fleet import Fleet, down
from cryptovol.cloud.state import State
from cryptovol.events import parse
from cryptovol.stages import ingest
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant

N = 80_000
PAGE = 2000
BUCKET = "bench"
RUNS = 5


def parse_and_gate() -> float:
    """Return the median seconds in which `N` bars are read from their answers and pass the gate, on one core."""
    bars, limits = make_bars(N), params_module.load(Path("params.yaml")).gate
    pages = [_page(bars.take(slice(at, at + PAGE))) for at in range(0, N, PAGE)]
    as_of = int(bars.time[-1]) + HOUR
    taken = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        found = concat(_read(reply) for reply in pages)
        report = gate.check(found, as_of=as_of, params=limits, symbol="BTC", quote="USD")
        taken.append(time.perf_counter() - started)
        assert len(found) == N and not report.refused
    return sorted(taken[1:])[RUNS // 2]


def _page(bars: Bars) -> Reply:
    """Return an answer of CryptoCompare's histohour that carries these bars."""
    names = ("time", "high", "low", "open", "volumefrom", "volumeto", "close")
    columns = (bars.time, bars.high, bars.low, bars.open, bars.volume_base, bars.volume_quote, bars.close)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(c.tolist() for c in columns), strict=True)]
    body = {"Response": "Success", "Message": "", "Type": 100, "RateLimit": {}, "Data": {"Data": rows}}
    return Reply(200, {}, json.dumps(body).encode())


def _read(reply: Reply) -> Bars:
    rows = DIALECTS["cryptocompare"].read(reply, Ask("BTC", "USD", 0, HOUR), now=0)
    return make(
        rows.time, rows.table[:, :4], volume_base=rows.table[:, 4], volume_quote=rows.table[:, 5], symbol="BTC",
        quote="USD", source="cryptocompare", fetched_at=2**31,
    )  # fmt: skip


def backfill() -> float:
    """Return the seconds of a backfill of `N` bars: stand-in server, client, stage, S3 endpoint of the local cloud."""
    bars = make_bars(N)
    with tempfile.TemporaryDirectory(prefix="cryptovol-bench-") as folder:
        path = Path(folder, "bars.csv")
        names = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
        lines = zip(*(getattr(bars, name).tolist() for name in names), strict=True)
        head = "time,open,high,low,close,volumefrom,volumeto\n"
        path.write_text(head + "\n".join(",".join(map(repr, line)) for line in lines) + "\n", encoding="utf-8")
        with _stand_in(path) as url, _cloud(Path(folder, "cloud")) as store:
            return _timed_ingest(url, store, int(bars.time[-1]) + HOUR)


def _timed_ingest(url: str, store: S3Store, as_of: int) -> float:
    params = params_module.load(Path("params.yaml"))
    params = replace(params, ingest=replace(params.ingest, history_hours=N))
    event = parse({"symbol": "BTC", "quote": "USD", "as_of": format_instant(as_of), "run_id": "bench"})
    source = VenueSource(DIALECTS["cryptocompare"], url=url, clock=lambda: as_of)
    started = time.perf_counter()
    result = ingest.run(event, store=store, source=source, clock=lambda: as_of, params=params)
    assert result["rows_new"] == N
    return time.perf_counter() - started


@contextmanager
def _stand_in(path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "cryptovol", "replay", "--bars", str(path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()


@contextmanager
def _cloud(root: Path) -> Iterator[S3Store]:
    root.mkdir()
    state = State(root / "var")
    fleet = Fleet(root, state)
    port = fleet.port("cloud")
    client, _ = deploy.clients(f"http://127.0.0.1:{port}")
    try:
        fleet.ensure(embedded.spec(state.folder, port, {}))
        deploy.ensure_bucket(client, BUCKET)
        yield S3Store(BUCKET, client)
    finally:
        down(state.folder)
