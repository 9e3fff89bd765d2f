"""What cannot run here (hosted workflows) is thin: every step is a verb that exists."""

import re
from pathlib import Path

import pytest
import yaml

MAKEFILE = Path("Makefile").read_text(encoding="utf-8")
VERBS = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
WORKFLOWS = sorted(Path(".github/workflows").glob("*.yml"))


def steps(path: Path) -> list[dict[str, str]]:
    """Return every step of every job of a workflow."""
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [step for job in body["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflow_steps_are_make_verbs(path):
    """No logic hides in a workflow: each run step is one verb of the Makefile."""
    for step in steps(path):
        if "run" in step:
            words = step["run"].split()
            assert words[0] == "make" and set(words[1:]) <= VERBS, step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflow_actions_are_pinned_by_commit(path):
    """A tag can be moved, a commit cannot."""
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), step


def test_ci_runs_the_readme_verbs():
    """The gate runs the very verbs the README names."""
    script = Path(".ci/run").read_text(encoding="utf-8")
    assert "make check" in script and "make test" in script


def test_make_help_lists_every_public_verb():
    """Every verb has a sentence for `make help`."""
    described = set(re.findall(r"^([a-z-]+):.*## .+", MAKEFILE, flags=re.MULTILINE))
    assert VERBS - described == set()


def test_requirements_are_hashed_and_name_no_host():
    """Every pin has a hash, and no file says where to download from."""
    for path in Path("requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text and "--hash=sha256:" in text
        pins = re.findall(r"^[A-Za-z0-9_.\[\]-]+==", text, flags=re.MULTILINE)
        assert pins and len(pins) == len(re.findall(r"^[A-Za-z0-9]", text, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("file", "pin"),
    [("dev", "mlflow==3.1"), ("dev", "graphene==3."), ("dev", "dvc==3.6"), ("dev", "ministack==1.5.33"),
     ("dev", "boto3==1.43.106"), ("airflow", "apache-airflow==3.3.")],
)  # fmt: skip
def test_requirements_hold_the_versions_the_resolver_does_not_find_alone(file, pin):
    """A fresh resolve that slides to an old major is caught here."""
    assert f"\n{pin}" in "\n" + Path(f"requirements/{file}.txt").read_text(encoding="utf-8")
