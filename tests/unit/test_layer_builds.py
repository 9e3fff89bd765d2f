"""Builds depend on pins and sources alone, hold compiled modules, and are imported with nothing else on the path."""

from __future__ import annotations

import marshal
import sys
import zipfile
from pathlib import Path

import pytest

from cryptovol.cloud.packaging import build, interpreter, smoke
from cryptovol.cloud.packaging.build import Builder
from cryptovol.cloud.packaging.interpreter import Interpreter
from cryptovol.cloud.packaging.pins import Layer
from cryptovol.cloud.packaging.plan import Function
from cryptovol.errors import ConfigError, TransientError

HERE = Interpreter(Path(sys.executable), "x86_64")
SOURCES = {
    "layers/core/python/cryptovol/__init__.py": "WORDS = {'a', 'b', 'c', 'd'}\n\n\ndef f(x):\n    return x in {'e', 'g'}\n",
    "functions/ingest/handler.py": "import cryptovol\n\nlambda_handler = cryptovol.f\n",
    "functions/ingest/requirements.txt": "",
    "functions/predict/app.py": "import chalice\n",
    "functions/predict/Dockerfile": "FROM scratch\n",
    "params.yaml": "a: 1\n",
}
PIN = "numpy==2.0.0 \\\n    --hash=sha256:" + "0" * 64


def builder(root: Path, into: Path, python: Interpreter | None = HERE, **environ: str) -> Builder:
    """Write the small project and return what builds it."""
    for name, text in SOURCES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Builder(root, into, python, environ)


def test_the_same_sources_give_the_same_archives(tmp_path: Path) -> None:
    """Two projects of the same content, built in other folders, give archives of the same bytes, compiled files included."""
    one = builder(tmp_path / "one", tmp_path / "first")
    two = builder(tmp_path / "two" / "deeper", tmp_path / "second" / "build")
    assert one.core("x86_64").sha256 == two.core("x86_64").sha256
    assert one.function("ingest").sha256 == two.function("ingest").sha256
    (tmp_path / "two/deeper/params.yaml").write_text("a: 2\n")
    assert one.function("ingest").sha256 != two.function("ingest").sha256


def test_building_again_replaces_what_was_there(tmp_path: Path) -> None:
    """A file that is gone from the sources is gone from the next build."""
    own = builder(tmp_path, tmp_path / "build")
    first = own.function("ingest")
    (first.folder / "stray.py").write_text("")
    assert own.function("ingest").sha256 == first.sha256


def test_compiled_modules_name_lambdas_folders_and_are_never_checked(tmp_path: Path) -> None:
    """A traceback on Lambda shows /opt/python, and no file time can make Lambda compile a module again."""
    package = builder(tmp_path, tmp_path / "build").core("x86_64")
    (compiled,) = package.folder.rglob("*.pyc")
    data = compiled.read_bytes()
    assert data[4:8] == b"\x01\x00\x00\x00"  # PEP 552: by hash, not checked
    assert marshal.loads(data[16:]).co_filename == "/opt/python/cryptovol/__init__.py"


def test_without_an_interpreter_sources_ship_alone(tmp_path: Path) -> None:
    """Where nothing can compile for Lambda's Python, nothing of another version is shipped in its place."""
    package = builder(tmp_path, tmp_path / "build", None).core("x86_64")
    assert not list(package.folder.rglob("*.pyc"))


def test_a_module_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    """A syntax error is found at the build, by name."""
    own = builder(tmp_path, tmp_path / "build")
    (tmp_path / "functions/ingest/handler.py").write_text("def :\n")
    with pytest.raises(ConfigError, match="does not compile.*handler.py"):
        own.function("ingest")


def test_sizes_are_those_of_the_files_and_of_the_archive(tmp_path: Path) -> None:
    """Unzipped bytes are what Lambda would unpack, zipped bytes what would be uploaded."""
    package = builder(tmp_path, tmp_path / "build").function("ingest")
    with zipfile.ZipFile(package.zip) as archive:
        assert package.unzipped == sum(info.file_size for info in archive.infolist())
    assert package.zipped == package.zip.stat().st_size


def test_the_apis_package_brings_chalice_and_no_container_file(tmp_path: Path) -> None:
    """The API's archive holds what `chalice package` would put there, the parameters, and nothing for containers."""
    package = builder(tmp_path, tmp_path / "build", None).function("predict")
    with zipfile.ZipFile(package.zip) as archive:
        assert archive.namelist() == ["app.py", "chalice/__init__.py", "chalice/app.py", "params.yaml"]


def test_an_index_that_does_not_answer_is_said_with_its_cure(tmp_path: Path) -> None:
    """A layer that cannot be fetched is an outside failure and leaves no archive."""
    own = builder(
        tmp_path, tmp_path / "build", UV_INDEX_URL="http://127.0.0.1:9/simple", UV_CACHE_DIR=str(tmp_path / "cache"),
        UV_HTTP_RETRIES="0", UV_NO_CONFIG="1",
    )  # fmt: skip
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/layer-runtime.txt").write_text(PIN)
    with pytest.raises(TransientError, match="cannot install layer-runtime for aarch64"):
        own.layer(Layer("runtime", (), {"numpy": "numpy"}), "aarch64")
    assert not (tmp_path / "build/aarch64/runtime.zip").exists()


def test_a_function_imports_with_its_layers_and_fails_without(tmp_path: Path) -> None:
    """What is missing on the function's own path is found, though this machine has it."""
    own = builder(tmp_path, tmp_path / "build")
    code, core = own.function("ingest"), own.core("x86_64")
    fake = tmp_path / "boto3"  # stands in for the real one, which is not on the path of an isolated interpreter
    fake.mkdir()
    (fake / "boto3.py").write_text("def client(name, **more):\n    pass\n")
    folders = [code.folder, core.folder / "python", fake]
    whole = Function("ingest", "handler", ("boto3",), ())
    assert smoke.import_alone(HERE, whole, folders) == ""
    assert "No module named 'cryptovol'" in smoke.import_alone(HERE, whole, [code.folder, fake])
    needs = Function("ingest", "handler", ("boto3", "numpy"), ())
    assert "No module named 'numpy'" in smoke.import_alone(HERE, needs, folders)


def test_a_found_interpreter_is_lambdas(tmp_path: Path) -> None:
    """An interpreter of another version is neither found nor accepted by name."""
    other = tmp_path / interpreter.RUNTIME
    other.write_text('#!/bin/sh\necho \'["/usr/bin/python3", "3.9"]\'\n')
    other.chmod(0o755)
    found = interpreter.find({"PATH": str(tmp_path)})
    assert found is None or sys.version_info[:2] == (3, 12)
    with pytest.raises(ConfigError, match="is no Python 3.12"):
        interpreter.find({}, other)
    with pytest.raises(ConfigError, match="is no Python 3.12"):
        interpreter.find({}, tmp_path / "absent")
    other.write_text('#!/bin/sh\necho \'["/usr/bin/python3.12", "3.12"]\'\n')
    named = interpreter.find({}, other)
    assert named is not None and named.path == Path("/usr/bin/python3.12")


def test_chalices_modules_are_those_it_ships_itself() -> None:
    """The two files that `chalice package` picks of itself are the two that are packed here."""
    from chalice.deploy.packager import LambdaDeploymentPackager
    from chalice.utils import OSUtils

    own = LambdaDeploymentPackager(OSUtils(), None, None)._iter_app_filenames("/nonexistent")
    picked = {name: Path(path).read_bytes() for path, name in own if name.startswith("chalice/")}
    assert build.chalice_modules() == picked
