"""The kinds of local cloud, by name: each keeps its state in a folder of its own, so they can run side by side.

What starts a lane is imported only when one is made: `status` and `down` need names and folders alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptovol.cloud.lane import Lane, Say

HOMES = {"embedded": "var", "localstack": "var/localstack"}  # in the project folder


def make(name: str, root: Path, environ: Mapping[str, str], say: Say) -> Lane:
    """Return the lane of that name; see `Lane` for the rest."""
    if name == "localstack":
        from cryptovol.cloud.localstack_lane import LocalStackLane

        return LocalStackLane(root, environ, say)
    from cryptovol.cloud.lane import Lane

    return Lane(root, environ, say)


def folders(root: Path) -> list[Path]:
    """Return the folders of the lanes that were ever up in a project; the first is there before any was."""
    first, *others = (root / home for home in HOMES.values())
    return [first, *(folder for folder in others if folder.is_dir())]


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let a verb be told which lane it is for."""
    parser.add_argument(
        "--lane", choices=tuple(HOMES), default="embedded", help="kind of local cloud (default: %(default)s)"
    )
