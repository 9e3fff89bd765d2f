"""`cryptovol ingest`: a range, several symbols, progress, and Ctrl-C."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cryptovol import bars as bars_module
from cryptovol import cli
from cryptovol.bars import Bars
from cryptovol.commands import ingest
from cryptovol.testing import FixedSource, make_bars
from cryptovol.wiring import Ports

N = 24 * 40
AS_OF = "2024-02-10T00:00:00Z"


class Interrupted(FixedSource):
    """A source during whose `left`-th page from now somebody presses Ctrl-C."""

    left = 10**6

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        for page in super().pages(symbol, quote, start=start, end=end):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            yield page


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Interrupted:
    """Make two coins, in pages of 100 bars, the market of the command."""
    body = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    body["ingest"].update(history_hours=N, page_bars=100, commit_pages=2)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    monkeypatch.setenv("CRYPTOVOL_PARAMS", str(tmp_path / "params.yaml"))
    both = bars_module.concat([make_bars(N), make_bars(N, seed=5, symbol="ETH")])
    made = Interrupted(both, page_bars=100)
    monkeypatch.setattr(Ports, "source", made)
    monkeypatch.setattr(Ports, "second", staticmethod(lambda name: None))
    return made


def _ingest(folder: Path, *words: str, symbol: str = "BTC") -> int:
    return cli.main(["ingest", "--store", str(folder / "store"), "--symbol", symbol, *words])


def _results(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("end", ["--to", "--as-of"])
def test_ingest_fetches_the_range_asked_for(
    end: str, source: Interrupted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--from and --to are the first opening and the last close, and --as-of is another name of --to."""
    assert _ingest(tmp_path, "--from", "2024-01-05T00:00:00Z", end, "2024-01-20T00:00:00Z", "--json") == 0
    captured = capsys.readouterr()
    (result,) = _results(captured.out)
    assert (result["first"], result["last"]) == ("2024-01-05T00:00:00Z", "2024-01-19T23:00:00Z")
    assert result["rows_total"] == 15 * 24 and not captured.err


def test_ingest_of_several_symbols_goes_on_after_one_that_fails(
    source: Interrupted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are ingested; the end names the failed ones, and the exit code is the first one's."""
    assert _ingest(tmp_path, "--to", AS_OF, "--json", symbol="NOPE,BTC,ALSO,ETH") == 2
    captured = capsys.readouterr()
    assert [result.get("symbol") for result in _results(captured.out)] == ["BTC", "ETH", None]
    assert "2 of 4 failed: nope-usd (unknown_symbol), also-usd (unknown_symbol)" in captured.err
    assert _results(captured.out)[-1]["error"]["message"].endswith("NOPE/USD")


def test_ingest_stopped_by_ctrl_c_says_what_is_stored_and_goes_on(
    source: Interrupted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came is kept, exit code 130 and one line say so, and the same command fetches only the rest."""
    source.left = 8
    assert _ingest(tmp_path, "--from", "2024-01-01T00:00:00Z", "--to", AS_OF, "--json") == 130
    captured = capsys.readouterr()
    assert "stored" in captured.err and "same command" in captured.err and "Traceback" not in captured.err
    assert _ingest(tmp_path, "--from", "2024-01-01T00:00:00Z", "--to", AS_OF, "--json") == 0
    (result,) = _results(capsys.readouterr().out)
    assert (result["rows_fetched"], result["rows_total"]) == (N - 600, N)


def test_ingest_of_a_start_after_the_end_exits_with_2(
    source: Interrupted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A range that is none is a usage error with its cure."""
    assert _ingest(tmp_path, "--from", "2024-03-01T00:00:00Z", "--to", AS_OF) == 2
    assert "must lie before as_of" in capsys.readouterr().err


def test_ingest_help_teaches_by_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """--help shows a nine-year backfill and says how it is resumed."""
    with pytest.raises(SystemExit):
        cli.main(["ingest", "--help"])
    text = capsys.readouterr().out
    assert "--from 2017-01-01T00:00:00Z" in text and "goes on" in text and "exit codes" in text


class Ticking:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_prints_a_line_now_and_then_where_there_is_no_terminal() -> None:
    """Nothing in the first seconds, then a line at most every ten, with bars, rate and minutes left."""
    out, clock = io.StringIO(), Ticking()
    with ingest.progress("btc-usd", out, clock=clock) as tell:
        for seconds, done in ((1, 1000), (10, 10_000), (12, 12_000), (20, 20_000)):
            clock.now = 100.0 + seconds
            tell(done, 80_000)
    assert out.getvalue().splitlines() == [
        "ingest btc-usd: 10,000 of 80,000 bars, 1,000 bars/s, 1.2 min left",
        "ingest btc-usd: 20,000 of 80,000 bars, 1,000 bars/s, 1.0 min left",
    ]


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar carries the pair, bars done and in all, rate and minutes left."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    out, clock = Terminal(), Ticking()
    with ingest.progress("btc-usd", out, clock=clock) as tell:
        clock.now = 110.0
        tell(20_000, 80_000)
    assert "ingest btc-usd" in out.getvalue() and "20,000 of 80,000 bars, 2,000 bars/s, 0.5 min left" in out.getvalue()


def test_progress_is_silent_when_asked_to_be_and_says_no_rate_before_it_knows_one() -> None:
    """Quiet writes nothing; a pace without time or bars behind it promises nothing."""
    out, clock = Terminal(), Ticking()
    with ingest.progress("btc-usd", out, quiet=True, clock=clock) as tell:
        clock.now = 500.0
        tell(20_000, 80_000)
    assert not out.getvalue()
    assert ingest.Pace(clock).text(6, 6) == "6 of 6 bars"
