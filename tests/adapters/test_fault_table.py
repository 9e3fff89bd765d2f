"""The table of faults in docs/faults.md is what happens, cell by cell, and covers every fault and every source."""

import re
from functools import cache

import pytest

from cryptovol.market.faults import FAULTS

from tests import faults


@cache
def told() -> dict[tuple[str, str, str], str]:
    """Return the table's cells by source, fault and spell."""
    text = faults.DOC.read_text(encoding="utf-8")
    cells = {}
    for spell, title in faults.TITLES.items():
        part = text.partition(title)[2].partition("\n## ")[0]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
        for name, *row in rows[2:]:
            cells.update({(source, name, spell): cell for source, cell in zip(rows[0][1:], row, strict=True)})
    return cells


def test_the_table_covers_every_fault_and_every_source() -> None:
    """No fault is left out, at no source, passing or lasting."""
    assert set(told()) == {(s, f, spell) for s in faults.SOURCES for f in FAULTS for spell in faults.SPELLS}


def test_no_wrong_bar_stays_unseen() -> None:
    """Whatever the fault, wrong bars are refused, or mended by the next run, and no cell says otherwise."""
    assert not [cell for cell in told().values() if re.search("UNSEEN|STAYS", cell)]


@pytest.mark.parametrize("spell", faults.SPELLS)
@pytest.mark.parametrize("source", faults.SOURCES)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_cell_is_what_happens(source: str, fault: str, spell: str) -> None:
    """The run ends as the table says."""
    assert faults.tried(source, fault, spell) == told()[source, fault, spell]
