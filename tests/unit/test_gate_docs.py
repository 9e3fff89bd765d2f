"""docs/gate.md says of every rule and every limit what the code and params.yaml say."""

import dataclasses
import re
from pathlib import Path

from cryptovol.gate import report as gate_report
from cryptovol.params import Params
from cryptovol.testing import make_bars
from tests.gates import N, check

ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (out|stay|–) \| .*\|$", re.MULTILINE)
TEXT = Path("docs/gate.md").read_text(encoding="utf-8")


def test_docs_name_every_rule_in_its_order() -> None:
    """The table has the rules as they run, and says of each whether its rows are taken out."""
    rows = ROW.findall(TEXT)
    assert [rule for rule, *_ in rows] == list(gate_report.MEANING)
    taken_out = {finding.rule for finding in check(make_bars(N)).findings if finding.quarantined}
    assert {rule for rule, _, _, fate in rows if fate == "out"} == taken_out


def test_docs_give_every_limit_as_it_is(params: Params) -> None:
    """Each number of the block `gate` stands once in the table, with its value."""
    told = [pair for _, _, limit, _ in ROW.findall(TEXT) for pair in re.findall(r"`(\w+): ([\d.]+)`", limit)]
    assert sorted(name for name, _ in told) == sorted(field.name for field in dataclasses.fields(params.gate))
    assert {name: float(value) for name, value in told} == {
        name: float(value) for name, value in dataclasses.asdict(params.gate).items()
    }
