"""`cryptovol replay` and the names of faults: what the command line takes, says and serves."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cryptovol.commands import replay
from cryptovol.errors import ConfigError
from cryptovol.market import faults
from cryptovol.market.faults import FAULTS
from cryptovol.market.shapes import SHAPES

from tests.market_shapes import ask, get, write_bars


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """The first line of a running `cryptovol replay`, which is terminated in the end and must go with 0."""
    command = [sys.executable, "-m", "cryptovol", "replay", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


def test_replay_plays_a_venue_with_a_fault(tmp_path: Path) -> None:
    """The shape, the fault and how many requests it hits are those of the command line, and it says so."""
    path = write_bars(tmp_path / "a.csv", symbol="BTC-USD")
    with running("--bars", str(path), "--shape", "kraken", "--fault", "html:2") as line:
        assert line.startswith("serving replay:a (BTC) on http://") and line.endswith(", with the fault html:2")
        url = line.partition(" on ")[2].partition("/0/public/OHLC")[0]
        answers = [ask(url, "kraken", since=None) for _ in range(3)]
    assert [got.data[:6] == b"<html>" for got in answers] == [True, True, False]
    assert "XXBTZUSD" in answers[2].body["result"]


def test_replay_tells_its_address_as_json_and_wants_the_key(tmp_path: Path) -> None:
    """`--json` names address, market, source and shape; with `--key` nobody is answered without it."""
    path = write_bars(tmp_path / "a.csv")
    with running("--bars", str(path), "--shape", "coindesk", "--key", "s3cret", "--json") as line:
        told = json.loads(line)
        assert (told["market"], told["source"], told["shape"]) == ("replay-a", "replay:a", "coindesk")
        assert ask(told["url"], "coindesk").status == 401
        assert get(told["url"], "/health").body["symbols"] == ["BTC"]


def test_replay_helps_with_every_shape_and_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists each shape with its line and its variable, and each fault with its line."""
    parser = argparse.ArgumentParser()
    replay.add(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["replay", "--help"])
    text = capsys.readouterr().out
    for shape in SHAPES.values():
        assert shape.about in text and f"CRYPTOVOL_{shape.name.upper()}_URL" in text
    for fault in FAULTS.values():
        assert fault.about and f"{fault.name} " in text and fault.about in text


@pytest.mark.parametrize("text", ["nope", "", "html:", "html:many", "html:-1", "html:٣", "html:1:2"])
def test_replay_refuses_a_fault_it_does_not_know(text: str) -> None:
    """A fault that does not exist, or is written wrongly, is a usage error with the cure."""
    with pytest.raises(ConfigError, match="Cure"):
        faults.parsed(text)


def test_faults_are_named_with_their_changes() -> None:
    """`named` and `parsed` give the fault of the table with what was changed."""
    assert faults.parsed("storm429:3") == faults.named("storm429", times=3)
    assert faults.parsed("drip") == FAULTS["drip"]
    fault = faults.named("reset", times=2, after=1)
    assert (fault.name, fault.times, fault.after, fault.send) == ("reset", 2, 1, FAULTS["reset"].send)
