"""The container's files, held to what they name: no image can be built where these tests run."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cryptovol import cli
from tests.servers import NOWHERE

FILES = (Path("functions/predict/Dockerfile"), Path("functions/Dockerfile.lambda"))
TEXT = FILES[0].read_text(encoding="utf-8")
LOCKS = ("layer-api", "serve")
ALWAYS = {"cryptovol"}  # copied, not installed
PROGRAM = """
import sys
before = set(sys.modules)
import json
from importlib.metadata import packages_distributions
from pathlib import Path
from cryptovol.cloud import gateway, master
made = gateway.load(Path("functions/predict"))
asked = (("GET", "/health", b""), ("POST", "/predict", b'{"symbol":"BTC"}'), ("GET", "/openapi.json", b""))
kind = {"content-type": "application/json"}
seen = [made.answer(gateway.Asked(method, path, kind, body)).status for method, path, body in asked]
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
known = packages_distributions()
print(json.dumps({"seen": seen, "used": sorted({each.lower().replace("_", "-") for top in tops for each in known.get(top, [])})}))
"""


def instructions(text: str) -> list[tuple[str, str]]:
    """Return a Dockerfile's instructions, continued lines joined, comments left out."""
    plain = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [
        (word, rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in plain.splitlines()) if word
    ]


def said(instruction: str) -> list[str]:
    """Return the words of a CMD, ENTRYPOINT or HEALTHCHECK in JSON form."""
    rest = next(rest for word, rest in instructions(TEXT) if word == instruction)
    return [str(word) for word in json.loads(rest[rest.index("[") :])]


def test_what_the_container_runs_is_a_command_line_we_have() -> None:
    """Start and health check are parsed by the very command line; both mean the port that is exposed."""
    start, check = said("ENTRYPOINT") + said("CMD"), said("HEALTHCHECK")
    assert start[:3] == check[:3] == ["python", "-m", "cryptovol"]
    serving, checking = (cli.parser("serve").parse_args(words[3:]) for words in (start, check))
    assert serving.host == "0.0.0.0" and not serving.open and not serving.check and checking.check
    assert {str(serving.port), str(checking.port)} == {rest for word, rest in instructions(TEXT) if word == "EXPOSE"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_image_runs_without_rights_from_a_pinned_base(path: Path) -> None:
    """A user by number, no root; one base, given by tag in an argument; no digest that nobody looked up."""
    found = instructions(path.read_text(encoding="utf-8"))
    (user,) = (rest for word, rest in found if word == "USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert all(rest.split(" AS ")[0] == "${BASE}" for word, rest in found if word == "FROM")
    (base,) = (rest for word, rest in found if word == "ARG" and rest.startswith("BASE="))
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-\w+", base)
    assert not re.search(r"sha256:[0-9a-f]{8}", path.read_text(encoding="utf-8"))


def ignored(path: str) -> bool:
    """Return whether `.dockerignore` keeps a path out; the last rule that matches it, or a folder above it, decides."""
    out = False
    for line in Path(".dockerignore").read_text(encoding="utf-8").splitlines():
        rule = line.removeprefix("!").removeprefix("**/")
        names = [path, *map(str, Path(path).parents), Path(path).name]
        if rule and not line.startswith("#") and any(fnmatch.fnmatch(name, rule) for name in names):
            out = not line.startswith("!")
    return out


def test_image_gets_what_it_copies_and_nothing_that_lies_around() -> None:
    """Every source of COPY exists and is let through; state, keys, history and bytecode are not."""
    copies = [rest.split()[:-1] for word, rest in instructions(TEXT) if word == "COPY" and "--from" not in rest]
    sources = [source for each in copies for source in each]
    assert sources and all(Path(source).exists() and not ignored(source) for source in sources)
    assert not ignored("functions/predict/.chalice/config.json") and not ignored("layers/core/python/cryptovol/cli.py")
    kept_out = (".git/config", ".env", "var/s3/x", ".venv/bin/python", "tests/served.py", "functions/predict/.env")
    assert all(ignored(path) for path in (*kept_out, "functions/predict/__pycache__/app.cpython-312.pyc"))


def test_locked_packages_are_all_that_serving_loads() -> None:
    """A fresh process that answers requests as a worker does uses no distribution beyond those the image installs."""
    pins = {
        name.lower().replace("_", "-")
        for lock in LOCKS
        for name in re.findall(
            r"^([\w.-]+)==", Path(f"requirements/{lock}.txt").read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {f"requirements/{lock}.txt" for lock in LOCKS} <= set(TEXT.split())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, **NOWHERE},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["seen"] == [503, 503, 200]
    assert set(found["used"]) - ALWAYS <= pins and "chalice" in found["used"]
