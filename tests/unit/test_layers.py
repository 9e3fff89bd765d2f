"""What goes to Lambda: which layer holds what, which function takes which, what is left out, and what is too large."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol.cloud.packaging import pins, plan, sizes, trims
from cryptovol.cloud.packaging.sizes import MB, Row
from cryptovol.errors import ConfigError

GROUPS = """
[dependency-groups]
dev = ["pytest"]
layer-runtime = ["numpy>=2", "PyYAML>=6"]
layer-api = [{include-group = "layer-runtime"}, "msgspec>=0.20,<1"]
layer-model = [{include-group = "layer-runtime"}, "xgboost_cpu>=3; sys_platform != 'darwin'"]
layer-tune = [{include-group = "layer-model"}, "optuna>=5"]
"""
HASH = "    --hash=sha256:" + "0" * 64
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?", fullmatch=True)
PROJECT = Path("pyproject.toml").read_text(encoding="utf-8")
REQUIREMENTS = Path("requirements")
ROW = Row("train", "x86_64", ("runtime", "core"), 100 * MB, 30 * MB, 20 * MB, compiled=True, imported="yes")


def locked(**versions: str) -> str:
    """Return a locked file of packages at versions."""
    return "".join(f"{name}=={version} \\\n{HASH}\n" for name, version in versions.items())


def project(root: Path, files: dict[str, str]) -> Path:
    """Write files under a folder and return it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def functions(root: Path, **named: str) -> Path:
    """Write a `requirements.txt` for every function: the one given, else that of NumPy alone."""
    return project(root, {f"functions/{n}/requirements.txt": named.get(n, "numpy>=2\n") for n in plan.FUNCTIONS})


def test_layers_stand_on_those_they_include() -> None:
    """A layer's own packages and, lowest first, all layers below it are read from the groups."""
    found = pins.layers(GROUPS)
    assert list(found) == ["runtime", "api", "model", "tune"]
    assert found["tune"].below == ("runtime", "model")
    assert set(found["runtime"].direct) == {"numpy", "pyyaml"} and set(found["model"].direct) == {"xgboost-cpu"}


def test_layer_on_an_unknown_group_is_refused() -> None:
    """A layer may only include layers declared before it, so that the order of building is that of the file."""
    with pytest.raises(ConfigError, match="layer-b includes layer-a, which is no layer"):
        pins.layers('[dependency-groups]\nlayer-b = [{include-group = "layer-a"}]\nlayer-a = ["x"]\n')


@given(packages=st.dictionaries(NAMES, st.from_regex(r"[0-9]\.[0-9]", fullmatch=True), max_size=6))
def test_pins_keep_every_block_whole(packages: dict[str, str]) -> None:
    """Every package of a locked file comes back with its version, marker and hashes, and nothing else does."""
    blocks = {name: f"{name}=={version} ; python_version < '4' \\\n{HASH}" for name, version in packages.items()}
    assert pins.pins("\n".join(blocks.values()) + "\n" if blocks else "a==1 \\\n" + HASH) == (
        blocks or {"a": "a==1 \\\n" + HASH}
    )


@given(text=st.text(max_size=60))
def test_text_that_is_no_lock_is_refused_or_pinned(text: str) -> None:
    """Whatever is in a file, what is not pinned by version and hash raises the project's own error."""
    try:
        found = pins.pins(text)
    except ConfigError:
        return
    assert found and all("==" in block and "--hash=sha256:" in block for block in found.values())


@pytest.mark.parametrize("line", ["numpy>=2", "numpy==2.0", f"numpy>=2 \\\n{HASH}"])
def test_a_package_without_pin_or_hash_is_refused(line: str) -> None:
    """A range, or a pin without a hash, does not reach a layer."""
    with pytest.raises(ConfigError, match="numpy is not pinned by version and hash. Cure: make lock"):
        pins.pins(line)


def test_a_layer_holds_what_those_below_it_do_not(tmp_path: Path) -> None:
    """A package pinned in a layer below is not installed a second time on top."""
    project(
        tmp_path,
        {"layer-runtime.txt": locked(numpy="2.0", pyyaml="6.0"), "layer-api.txt": locked(numpy="2.0", msgspec="0.22")},
    )
    assert set(pins.own_pins(pins.layers(GROUPS)["api"], tmp_path)) == {"msgspec"}


def test_layers_that_pin_a_package_differently_are_refused(tmp_path: Path) -> None:
    """Two versions of one package on one path would hide one another."""
    project(tmp_path, {"layer-runtime.txt": locked(numpy="2.0"), "layer-api.txt": locked(numpy="2.1", msgspec="0.22")})
    with pytest.raises(ConfigError, match="layer-api and layer-runtime pin numpy differently"):
        pins.own_pins(pins.layers(GROUPS)["api"], tmp_path)


def test_a_missing_lock_names_its_cure(tmp_path: Path) -> None:
    """A layer that was never locked is not built from nothing."""
    with pytest.raises(ConfigError, match="layer-runtime.txt is missing. Cure: make lock"):
        pins.own_pins(pins.layers(GROUPS)["runtime"], tmp_path)


def test_a_function_takes_the_layers_of_what_it_names(tmp_path: Path) -> None:
    """Layers follow from requirements.txt, each with those below it; the core layer lies on top of all."""
    root = functions(tmp_path, tune="# why\nnumpy>=2\noptuna>=5  # search\n", predict="msgspec>=0.20,<1\n")
    found = plan.functions(root, pins.layers(GROUPS))
    assert found["tune"].layers == ("runtime", "model", "tune", "core") and found["tune"].module == "handler"
    assert found["predict"].layers == ("runtime", "api", "core") and found["predict"].module == "app"
    assert found["ingest"].layers == ("runtime", "core") and found["ingest"].imports == ("numpy",)


def test_a_function_that_names_what_no_layer_holds_is_refused(tmp_path: Path) -> None:
    """A package that would be missing on Lambda is found before anything is built."""
    with pytest.raises(ConfigError, match="functions/score/requirements.txt names pandas, which no layer"):
        plan.functions(functions(tmp_path, score="pandas>=2\n"), pins.layers(GROUPS))


def test_a_function_that_asks_for_another_range_is_refused(tmp_path: Path) -> None:
    """A function and its layer cannot disagree about a package's versions."""
    with pytest.raises(ConfigError, match="asks for numpy>=1, layer-runtime of pyproject.toml for numpy>=2"):
        plan.functions(functions(tmp_path, train="numpy>=1\n"), pins.layers(GROUPS))


def test_more_layers_than_lambda_takes_are_refused(tmp_path: Path) -> None:
    """Lambda takes five layers; a sixth is found here and not at the deployment."""
    more = "".join(f'layer-l{i} = ["p{i}"]\n' for i in range(5))
    root = functions(tmp_path, ingest="".join(f"p{i}\n" for i in range(5)))
    with pytest.raises(ConfigError, match="ingest needs 6 layers"):
        plan.functions(root, pins.layers(GROUPS + more))


def test_the_projects_functions_fit_their_layers() -> None:
    """Every function's requirements are in a layer, at the layer's range, and in at most five layers."""
    found = plan.functions(Path.cwd(), pins.layers(PROJECT))
    assert set(found) == set(plan.FUNCTIONS)
    assert not [name for name, each in found.items() if len(each.layers) > plan.LAYERS_LIMIT]


def test_no_layer_holds_what_no_function_names() -> None:
    """Everything a layer asks for is imported by a function that takes it."""
    named = {
        name
        for each in plan.FUNCTIONS
        for name in pins.requirements(Path(f"functions/{each}/requirements.txt").read_text(encoding="utf-8"))
    }
    layers = pins.layers(PROJECT).values()
    elsewhere = {name for each in layers for name, line in each.direct.items() if "== 'darwin'" in line}
    assert {name for each in layers for name in each.direct} - elsewhere == named


def test_layers_pin_what_the_tests_run_on() -> None:
    """Each version in a layer is one that requirements/dev.txt pins: what is tested is what ships."""
    tested = (REQUIREMENTS / "dev.txt").read_text(encoding="utf-8")
    for layer in pins.layers(PROJECT).values():
        for pin in pins.own_pins(layer, REQUIREMENTS).values():
            assert f"\n{pin.split()[0]} " in f"\n{tested}"


@pytest.mark.parametrize(
    "name",
    ["numpy/f2py/__init__.py", "numpy.libs/libscipy.so", "botocore/data/s3/2006-03-01/service-2.json.gz",
     "botocore/data/endpoints.json", "scipy/sparse/__init__.py", "scipy/__init__.py", "x-1.dist-info/METADATA",
     "x-1.dist-info/licenses/LICENSE", "x-1.dist-info/entry_points.txt", "cryptovol/testing.py", "numpy/testing/__init__.py"],
)  # fmt: skip
def test_what_a_function_reads_is_kept(name: str) -> None:
    """Modules, libraries, licences, entry points and the S3 description ship."""
    assert trims.kept(PurePosixPath(name))


@pytest.mark.parametrize(
    "name",
    ["numpy/tests/test_a.py", "numpy/_core/include/numpy/x.h", "a/b.pyi", "a/b.c", "a/__pycache__/b.cpython-312.pyc",
     "botocore/data/ec2/2016-11-15/service-2.json.gz", "scipy/optimize/_x.so", "bin/f2py", "x-1.dist-info/RECORD", ".lock"],
)  # fmt: skip
def test_what_no_function_reads_is_left_out(name: str) -> None:
    """Tests, headers, stubs, programs, other AWS services and other parts of SciPy do not ship."""
    assert not trims.kept(PurePosixPath(name))


def test_trim_deletes_files_and_the_folders_they_leave_empty(tmp_path: Path) -> None:
    """After trimming nothing is left but what ships."""
    project(tmp_path, {"a/__init__.py": "", "a/tests/deep/test_b.py": "", "a/c.pyi": "", "bin/tool": ""})
    trims.trim(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", "a/__init__.py"]


def test_a_function_at_the_limit_ships_and_one_byte_more_does_not() -> None:
    """The limit of 250 MB holds for function and layers together, and is itself allowed."""
    assert dataclasses.replace(ROW, unzipped=250 * MB).faults() == []
    assert dataclasses.replace(ROW, unzipped=250 * MB + 1).faults() == [
        "train on x86_64 has 250.0 MB unzipped, the limit is 250.0 MB"
    ]


def test_the_api_has_a_limit_of_its_own() -> None:
    """Somebody waits for the API's cold start: 90 MB is all it may have."""
    assert dataclasses.replace(ROW, function="predict", unzipped=90 * MB).faults() == []
    (fault,) = dataclasses.replace(ROW, function="predict", unzipped=95 * MB).faults()
    assert fault == "predict on x86_64 has 95.0 MB unzipped, the limit is 90.0 MB"


def test_an_archive_past_the_upload_limit_and_a_failed_import_are_faults() -> None:
    """An archive of more than 50 MB and a function that does not import alone are both named."""
    archive, imported = dataclasses.replace(ROW, largest=51 * MB, imported="No module named 'x'").faults()
    assert "an archive of 51.0 MB, the limit is 50.0 MB" in archive and "No module named 'x'" in imported


def test_not_imported_here_is_no_fault_and_is_said() -> None:
    """What could not be tried here is neither a failure nor a success in the table."""
    row = dataclasses.replace(ROW, architecture="aarch64", imported="not here")
    assert row.faults() == [] and "| not here |" in sizes.markdown([row])


def test_the_table_takes_the_place_of_the_one_before() -> None:
    """Writing the table twice leaves one table, between its marks, and the page's own words."""
    page = f"before\n{sizes.BEGIN}\nold\n{sizes.END}\nafter\n"
    once = sizes.replaced(page, sizes.markdown([ROW]))
    assert "old" not in once and once.startswith("before\n") and once.endswith("\nafter\n")
    assert sizes.replaced(once, sizes.markdown([ROW])) == once
    with pytest.raises(ValueError, match="lacks the marks"):
        sizes.replaced("a page", "a table")
