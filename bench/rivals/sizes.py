"""What packages take on disk with all they need: ``python sizes.py PACKAGE...``, in the environment that holds them.

Prints one JSON object: per package the megabytes of its files and of those it requires, bytecode left out.
"""

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution


def needed(name: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return a package and all that it requires here, optional extras left out."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    if plain in known:
        return known
    try:
        wanted = distribution(plain).requires or []
    except PackageNotFoundError:  # for another platform or Python
        return known
    found = known | {plain}
    for line in wanted:
        if "extra ==" not in line:
            found = needed(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0], found)
    return found


def megabytes(names: frozenset[str]) -> float:
    """Return the size of the packages' files."""
    files = (file for name in names for file in distribution(name).files or [])
    paths = (file.locate() for file in files if file.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


if __name__ == "__main__":
    print(json.dumps({name: megabytes(needed(name)) for name in sys.argv[1:]}))
