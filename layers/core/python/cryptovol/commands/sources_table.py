"""What `cryptovol sources check` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from cryptovol.commands.sources import Answer

LEFT = ("source", "set up", "market", "quote", "newest (UTC)")
RIGHT = ("age", "ms", "median", "largest", "over")
WIDTH = 96  # of the table; a file or a pipe has no width of its own


def print_table(
    found: Sequence[Answer], pair: str, configured: str, freshness_hours: int, console: Console | None = None
) -> None:
    """Print a row for each source, and below what each says.

    `median` and `largest` are differences of closes to those of the first venue that answers, `over` in how many of
    the common hours they are above the gate's limit.
    """
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=max(WIDTH, console.width))
    table = Table(title=f"market sources, {pair}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in (*LEFT, *RIGHT):
        table.add_column(heading, no_wrap=True, justify="right" if heading in RIGHT else "left")
    for answer in found:
        table.add_row(*_cells(answer, configured, freshness_hours))
    console.print(table)
    for answer in found:
        colour = "dim" if not answer.set_up else "green" if answer.newest and not answer.disagrees else "red"
        console.print(f"  {escape(answer.name)}: [{colour}]{escape(answer.says)}[/{colour}]", soft_wrap=True)


def _cells(answer: Answer, configured: str, freshness_hours: int) -> list[str]:
    mark = "* " if answer.name == configured else "  "
    age = f"{answer.age_hours:.1f} h" if answer.age_hours is not None else ""
    stale = answer.age_hours is not None and answer.age_hours > freshness_hours
    return [
        mark + escape(answer.name),
        "yes" if answer.set_up else "no",
        escape(answer.market or ""),
        escape(answer.quote or ""),
        answer.newest[5:16].replace("T", " ") if answer.newest else "",
        f"[red]{age}[/red]" if stale else age,
        "" if answer.latency_ms is None else f"{answer.latency_ms:.0f}",
        _percent(answer.median_percent),
        _percent(answer.largest_percent),
        f"{answer.hours_over}/{answer.common_hours}" if answer.common_hours else "",
    ]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.3f} %"
