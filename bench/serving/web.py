"""Over HTTP on loopback: requests per second and latency of every server, on one connection and on several."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from . import children, load, servers
from . import world as worlds
from .servers import Server
from .sizes import Sizes
from .stats import Row, Section, judge, left_out, ms, spread, times
from .world import World

WARM_UP = 100  # requests before those that count
GOAL_P50, GOAL_RATE = 2e-3, 1200.0  # of `chalice local`: seconds on one connection, answers per second on any


@dataclass(frozen=True)
class Loaded:
    """What a server did under load, by number of connections, and its peak memory in megabytes."""

    server: Server
    loads: dict[int, load.Load]
    memory: float


def section(world: World, sizes: Sizes) -> Section:
    """Return the table of the servers; one that cannot be had is named with the reason, ours must be there."""
    found, missing = [], {}
    for server in servers.SERVERS:
        worlds.tell(f"serving: HTTP, {server.name}")
        try:
            if server.missing():
                raise children.FailedError(server.missing())
            if "mlflow" in server.name:
                servers.saved_for_mlflow(world)
            found.append(_loaded(server, world, sizes))
        except (children.FailedError, load.LoadError, OSError, subprocess.SubprocessError) as error:
            if server is servers.SERVERS[0]:
                raise
            worlds.tell(f"serving: not measured: {error}")
            missing[server.name] = str(error)[:300]
    return tabled(found, missing, sizes)


def _loaded(server: Server, world: World, sizes: Sizes) -> Loaded:
    loads = {}
    with servers.started(server, world) as running:
        address = ("127.0.0.1", running.port)
        headers = {"Host": f"127.0.0.1:{running.port}", **servers.HEADERS}
        raw = load.request(server.url, headers, running.body)
        requests = sizes.requests if server.ours else sizes.rival_requests
        load.run(address, raw, connections=2, requests=min(WARM_UP, requests), seconds=sizes.load_seconds)
        for connections in sizes.connections:
            done = load.run(address, raw, connections=connections, requests=requests, seconds=sizes.load_seconds)
            if set(done.statuses) != {200}:
                raise load.LoadError(f"answers by status: {dict(done.statuses)}")
            loads[connections] = done
        memory = children.peak_mb(running.child)
    return Loaded(server, loads, memory)


def tabled(found: list[Loaded], missing: dict[str, str], sizes: Sizes) -> Section:
    """Return the table of what the servers did."""
    rows = [_row(one, connections, found, sizes) for one in found for connections in one.loads]
    remark = (
        "POST /predict with 36 features on loopback, client and server on the same cores. The client is one thread with "
        "plain sockets (bench/serving/load.py), connections kept open, each asking again when it has its answer; no "
        "request failed. Every server gives the same number. Ours asks for a key, keeps a rate per key, counts and logs "
        "each request; the rivals do none of it. uvicorn with several workers leaves Nagle's algorithm on, which costs a "
        "request on a connection of its own 40 ms. Memory: peak of the server's processes added up, shared pages counted "
        "in each."
    )
    head = (
        "server", "connections", "requests", "p50", "p99", "requests/s", "requests/s over FastAPI's", "memory", "goal", "",
    )  # fmt: skip
    return Section("Serving: HTTP", " ".join(filter(None, [remark, left_out(missing)])), head, rows)


def _row(one: Loaded, connections: int, found: list[Loaded], sizes: Sizes) -> Row:
    done = one.loads[connections]
    spent = spread(done.seconds)
    base = next((each for each in found if "FastAPI" in each.server.name), None)
    ratio = times(done.rate / base.loads[connections].rate) if base else ""
    reopened = f" ({done.reopened} on a new connection)" if done.reopened else ""
    return (
        one.server.name, str(connections), f"{spent.calls:,}{reopened}", ms(spent.p50), ms(spent.p99), f"{done.rate:,.0f}",
        ratio, f"{one.memory:.0f} MB", *_goal(one.server, connections, spent.p50, done.rate, sizes),
    )  # fmt: skip


def _goal(server: Server, connections: int, p50: float, rate: float, sizes: Sizes) -> Row:
    if server is not servers.SERVERS[0]:
        return "", ""
    if connections == 1:
        met = p50 <= GOAL_P50 and rate >= GOAL_RATE
        return f"p50 at most {1e3 * GOAL_P50:g} ms, at least {GOAL_RATE:,.0f} requests/s", judge(
            met, judged=sizes.judged
        )
    return f"at least {GOAL_RATE:,.0f} requests/s", judge(rate >= GOAL_RATE, judged=sizes.judged)
