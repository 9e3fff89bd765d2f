"""What a function weighs with its layers, against Lambda's limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

MB = 2**20
# Source: AWS, "Lambda quotas", https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: the unzipped
# limit holds for function and layers together, the zipped one for each archive that is uploaded directly.
UNZIPPED_LIMIT = 250 * MB
ZIPPED_LIMIT = 50 * MB
# Our own, stricter ones: what is loaded at a cold start while somebody waits.
OWN_LIMITS = {"predict": 90 * MB}
BEGIN, END = "<!-- sizes: written by `make layers ARGS=--write` -->", "<!-- end of sizes -->"


@dataclass(frozen=True)
class Row:
    """One function on one architecture.

    Parameters
    ----------
    layers
        Its layers, lowest first.
    unzipped, zipped
        Bytes of function and layers together.
    largest
        Bytes of the largest archive among them.
    compiled
        Whether compiled modules are in it.
    imported
        ``yes``, ``not here``, or what failed.
    """

    function: str
    architecture: str
    layers: tuple[str, ...]
    unzipped: int
    zipped: int
    largest: int
    compiled: bool
    imported: str

    @property
    def limit(self) -> int:
        """The unzipped bytes that are allowed."""
        return OWN_LIMITS.get(self.function, UNZIPPED_LIMIT)

    def faults(self) -> list[str]:
        """Return what is wrong with it, in sentences; nothing if it may ship."""
        who = f"{self.function} on {self.architecture}"
        found = []
        if self.unzipped > self.limit:
            found.append(f"{who} has {mb(self.unzipped)} MB unzipped, the limit is {mb(self.limit)} MB")
        if self.largest > ZIPPED_LIMIT:
            found.append(f"{who} has an archive of {mb(self.largest)} MB, the limit is {mb(ZIPPED_LIMIT)} MB")
        if self.imported not in ("yes", "not here"):
            found.append(f"{who} does not import with its own layers: {self.imported}")
        return found

    def document(self) -> dict[str, object]:
        """Return it for JSON, with its faults."""
        return {**asdict(self), "faults": self.faults()}


def mb(size: float) -> str:
    """Return bytes as text in MB of 2^20 bytes."""
    return f"{size / MB:.1f}"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table as texts."""
    imported = row.imported if row.imported in ("yes", "not here") else "NO"
    sizes = (f"{mb(row.unzipped)} of {row.limit // MB}", f"{mb(row.largest)} of {ZIPPED_LIMIT // MB}", mb(row.zipped))
    return (row.function, row.architecture, ", ".join(row.layers), *sizes, imported)


HEADS = ("function", "architecture", "layers", "unzipped MB", "largest zip MB", "all zips MB", "imported alone")


def markdown(rows: Iterable[Row]) -> str:
    """Return the table as Markdown."""
    lines = [HEADS, ("---",) * len(HEADS), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replaced(page: str, table: str) -> str:
    """Return a page with the table between its two marks replaced.

    Raises
    ------
    ValueError
        If the page does not have both marks.
    """
    head, _, rest = page.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"the page lacks the marks {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"
