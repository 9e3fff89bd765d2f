"""What the LocalStack lane decides before and around LocalStack: folders, refusals, what `chalice deploy` is given."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cryptovol import cli
from cryptovol.cloud import apigateway, lanes, localstack
from cryptovol.cloud.packaging import chalices
from cryptovol.errors import ConfigError, TransientError

ROOT = Path.cwd()
# In place of Chalice: it remembers an API as Chalice does, and that it was called.
FAKE = """
import json, os, sys
from pathlib import Path
home = Path(sys.argv[sys.argv.index("--project-dir") + 1])
known = home / ".chalice" / "deployed" / "local.json"
before = json.loads(known.read_text())["resources"] if known.exists() else []
with open(home.parent / "calls", "a") as file:
    file.write(json.dumps({"before": len(before), "endpoint": os.environ["AWS_ENDPOINT_URL"],
                           "secret": os.environ.get("A_SECRET")}) + "\\n")
if (home.parent / "broken").exists():
    raise SystemExit("the gateway is on fire")
api = {"name": "rest_api", "resource_type": "rest_api", "rest_api_id": "abc123"}
known.write_text(json.dumps({"resources": [{"resource_type": "lambda_function"}, api]}))
"""


class _Fine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Return the address of what answers every request with 200."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Fine)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class Deployer:
    """Deploys the project's app with the fake Chalice."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.endpoint = folder, endpoint

    def deploy(self, *, life: str = "1 a", **environment: str) -> str:
        """Deploy and return the address."""
        app = apigateway.App(ROOT / "params.yaml", "arn:layer:1", "arn:role", environment)
        environ = {"A_SECRET": "shh", "PATH": "/usr/bin"}
        return apigateway.deploy(ROOT, self.folder / "api", app, endpoint=self.endpoint, life=life, environ=environ)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What Chalice was called with."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def deployer(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Deployer:
    """Return what deploys into an empty folder."""
    monkeypatch.setattr(chalices, "CHALICE", FAKE)
    return Deployer(tmp_path, endpoint)


def test_chalice_is_given_the_app_its_parameters_and_no_packages(deployer: Deployer) -> None:
    """The copy has our code and params.yaml at its top, asks for no packages, and makes no role of its own."""
    assert deployer.deploy(A="1") == f"{deployer.endpoint}/_aws/execute-api/abc123/api"
    copy = deployer.folder / "api"
    assert (copy / "vendor" / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert (copy / "requirements.txt").read_text() == ""
    assert (copy / "app.py").read_bytes() == (ROOT / "functions/predict/app.py").read_bytes()
    stage = json.loads((copy / ".chalice/config.json").read_text())["stages"]["local"]
    assert (stage["manage_iam_role"], stage["iam_role_arn"], stage["layers"]) == (False, "arn:role", ["arn:layer:1"])
    assert stage["environment_variables"] == {"A": "1"}
    assert deployer.calls == [{"before": 0, "endpoint": deployer.endpoint, "secret": None}]


def test_the_same_app_is_deployed_once(deployer: Deployer) -> None:
    """Chalice runs again only for another setting or another life of the cloud, and then knows what it deployed."""
    assert deployer.deploy(A="1") == deployer.deploy(A="1")
    assert len(deployer.calls) == 1
    deployer.deploy(A="2")
    deployer.deploy(A="2", life="2 b")
    assert [call["before"] for call in deployer.calls] == [0, 2, 2]


def test_a_failed_deployment_says_why_and_is_not_taken_for_done(deployer: Deployer) -> None:
    """Chalice's last words are in the error, and the next call tries again with what Chalice knew before."""
    deployer.deploy(A="1")
    (deployer.folder / "broken").touch()
    for _ in range(2):
        with pytest.raises(TransientError, match="the gateway is on fire"):
            deployer.deploy(A="2")
    (deployer.folder / "broken").unlink()
    deployer.deploy(A="1")
    assert [call["before"] for call in deployer.calls] == [0, 2, 2, 2]


def test_each_lane_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """No lane keeps its state where another does, and `down` looks where a lane ever was."""
    assert len(set(lanes.HOMES.values())) == len(lanes.HOMES)
    assert lanes.folders(tmp_path) == [tmp_path / "var"]
    (tmp_path / "var" / "localstack").mkdir(parents=True)
    assert lanes.folders(tmp_path) == [tmp_path / "var", tmp_path / "var" / "localstack"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project without LocalStack, as the working folder."""
    for name in ("layers", "functions", "airflow", "localstack"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYPTOVOL_SOURCE", "simulated")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "cure"), [((), "`make localstack` installs it"), (("--port", "8000"), "leave out --port")]
)
def test_the_lane_refuses_before_it_starts_anything(
    project: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], cure: str
) -> None:
    """Without LocalStack, or with a port that nothing would serve, it says what to do, and nothing runs."""
    assert cli.main(["up", "--lane", "localstack", *words]) == 2
    assert cure in capsys.readouterr().err
    assert not (project / "var" / "localstack" / "run").exists()


def test_localstack_is_told_nothing_it_should_not_know(project: Path) -> None:
    """Its environment has no secret of the caller, only loopback to listen on, and all its files under the lane's folder."""
    (project / localstack.VENV / "bin").mkdir(parents=True)
    (project / localstack.VENV / "bin" / "python").touch()
    with pytest.raises(ConfigError, match="make localstack"):
        localstack.spec(project, project / "var", 4566, {})
    (project / localstack.VENV / ".ready").touch()
    spec = localstack.spec(project, project / "var", 4566, {"A_SECRET": "shh", "PATH": "/bin", "HOME": "/home/x"})
    assert "A_SECRET" not in spec.environ and spec.environ["GATEWAY_LISTEN"] == "127.0.0.1:4566"
    for name in ("HOME", "TMPDIR", "FILESYSTEM_ROOT"):
        assert Path(spec.environ[name]).is_relative_to(project / "var")
    assert spec.environ["CRYPTOVOL_LAMBDA_PYTHON"] == sys.executable
