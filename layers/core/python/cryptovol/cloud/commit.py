"""Which commit the deployed code is built from."""

from __future__ import annotations

import subprocess
from pathlib import Path


def head(root: Path) -> str:
    """Return the project's git commit, or an empty text where there is no git or no repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
