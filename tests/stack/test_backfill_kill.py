"""A nine-year backfill, killed over and over at any moment and begun again, ends as one that was left alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from cryptovol import history, keys
from cryptovol.adapters.files import FileStore
from cryptovol.bars import Bars
from cryptovol.market.server import serve
from cryptovol.tables import sha256
from cryptovol.testing import FixedMarket, make_bars
from cryptovol.times import HOUR, format_instant, parse_instant

pytestmark = pytest.mark.stack
START = parse_instant("2016-01-01T00:00:00Z")
HOURS = 9 * 8766
END = START + HOURS * HOUR
PREFIX = keys.raw("test", "btc-usd")


class Watched(FixedMarket):
    """A market that tells when it has been asked so many times more."""

    def __init__(self, bars: Bars) -> None:
        super().__init__(bars)
        self._asked = 0
        self._news = threading.Condition()

    def bars(self, symbol: str, quote: str) -> Bars:
        with self._news:
            self._asked += 1
            self._news.notify_all()
        return super().bars(symbol, quote)

    def wait(self, requests: int, process: subprocess.Popen[bytes]) -> None:
        """Return after so many more requests, or when the process has ended."""
        with self._news:
            until = self._asked + requests
            while self._asked < until and process.poll() is None:
                self._news.wait(0.05)


@dataclass
class Backfill:
    """The command under test: nine years into a folder, from the watched market."""

    market: Watched
    env: dict[str, str]

    def begin(self, folder: Path, start: int = START) -> subprocess.Popen[bytes]:
        """Start the command."""
        words = [
            "--store",
            str(folder),
            "--symbol",
            "BTC",
            "--from",
            format_instant(start),
            "--to",
            format_instant(END),
        ]
        return subprocess.Popen(
            [sys.executable, "-m", "cryptovol", "ingest", *words, "--json"], env=self.env, stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip

    def finish(self, folder: Path, start: int = START) -> None:
        """Run the command to its end."""
        process = self.begin(folder, start)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()


@pytest.fixture(scope="module")
def backfill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backfill]:
    """Return the command, set up for pages and portions so small that there are many moments to be killed at."""
    body = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    body["ingest"].update(page_bars=1000, commit_pages=1)
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    bars = make_bars(HOURS, start=START)
    # Some hours that the venue never had, so that the seams of the portions are not all alike.
    market = Watched(bars.take((bars.time // HOUR) % 9973 > 30))
    server = serve(market, clock=lambda: END).start()
    env = {name: value for name, value in os.environ.items() if not name.startswith("CRYPTOVOL_")}
    own = {"SOURCE": "cryptocompare", "CRYPTOCOMPARE_URL": server.url, "PARAMS": str(path)}
    yield Backfill(market, {**env, **{f"CRYPTOVOL_{name}": value for name, value in own.items()}})
    server.stop()


def _found(folder: Path) -> dict[str, bytes]:
    """Return the newest state, the state of the end, and all that they name, by key."""
    store, found = FileStore(folder), {}
    for key in (history.head_key(PREFIX), history.state_key(PREFIX, format_instant(END))):
        state = history.load_manifest(store, key)
        assert state is not None
        found.update({each: store.get(each).data for each in (key, *(part["key"] for part in state.body["parts"]))})
    return found


def _check(folder: Path) -> int:
    """Hold what a reader finds now against its manifest, and return the hours from the first to the last bar."""
    store = FileStore(folder)
    head = history.load_manifest(store, history.head_key(PREFIX))
    if head is None:
        return 0
    parts = head.body["parts"]
    assert all(sha256(store.get(part["key"]).data) == part["sha256"] for part in parts)
    assert all(earlier["last"] < later["first"] for earlier, later in zip(parts, parts[1:], strict=False))
    assert head.first is not None and head.last is not None
    return (head.last - head.first) // HOUR + 1


@pytest.mark.parametrize(("stored_hours", "times"), [(0, 26), (500, 14)], ids=["forwards", "backwards"])
def test_backfill_killed_at_random_moments_ends_as_an_unbroken_one(
    stored_hours: int, times: int, backfill: Backfill, tmp_path: Path
) -> None:
    """After every kill what is stored is whole and never less; in the end every byte is as if nothing had happened."""
    rng, reached = np.random.default_rng(stored_hours), 0
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed) if stored_hours else ():
        backfill.finish(folder, END - stored_hours * HOUR)
    for _ in range(times):
        process = backfill.begin(killed)
        backfill.market.wait(int(rng.integers(1, 6)), process)
        time.sleep(rng.uniform(0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed often enough"
        before, reached = reached, _check(killed)
        assert reached >= before
    backfill.finish(killed)
    backfill.finish(whole)
    assert reached > 5_000 and _found(killed) == _found(whole)
    state = history.load_manifest(FileStore(killed), history.head_key(PREFIX))
    assert state is not None
    bars = Bars(**history.read(FileStore(killed), state))
    np.testing.assert_array_equal(bars.time, backfill.market.bars_held.time)
    np.testing.assert_array_equal(bars.close, backfill.market.bars_held.close)
    assert not list((killed / ".tmp").iterdir())


def test_two_backfills_at_once_end_as_one(backfill: Backfill, tmp_path: Path) -> None:
    """Two processes on one folder: both succeed, and every byte is that of a single run."""
    start = END - 12_000 * HOUR
    backfill.finish(tmp_path / "one", start)
    both = [backfill.begin(tmp_path / "two", start) for _ in range(2)]
    assert [process.communicate(timeout=120) and process.returncode for process in both] == [0, 0]
    assert _found(tmp_path / "two") == _found(tmp_path / "one")
    assert not list((tmp_path / "two" / ".tmp").iterdir())
