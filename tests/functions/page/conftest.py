"""A browser, and the local server it looks at, on an S3 server in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cryptovol.adapters.s3 import S3Store
from cryptovol.times import HOUR, floor_hour
from tests.browser import CHROMIUM, Browser
from tests.paged import fill
from tests.servers import LOCAL, NOWHERE, Process


@pytest.fixture(scope="module", autouse=True)
def _chromium() -> None:
    """Skip where there is nothing to look with."""
    if not CHROMIUM:
        pytest.skip("no Chromium on PATH: the page is not looked at in a browser")


@pytest.fixture(scope="module")
def cloud() -> Iterator[dict[str, str]]:
    """Return the environment of an S3 server with a fresh market and one whose bars are five hours old."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environ = {**NOWHERE, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "CRYPTOVOL_MARKET": "simulated"}
    client = boto3.client(
        "s3", endpoint_url=environ["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test",
    )  # fmt: skip
    client.create_bucket(Bucket="cryptovol")
    end = floor_hour(int(time.time()))
    fill(S3Store("cryptovol", client), "simulated", end)
    fill(S3Store("cryptovol", client), "replay-old", end - 5 * HOUR)
    client.close()
    yield environ
    server.stop()


@pytest.fixture(scope="module")
def api(cloud: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Return the local server."""
    process = Process(tmp_path_factory.mktemp("api") / "api.log", cloud, *LOCAL)
    yield process
    process.kill()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return one browser for all tests; each opens the page anew."""
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> None:
    """Leave nothing from the test before in the browser."""
    made: Browser = request.getfixturevalue("browser")
    made("Page.navigate", url="about:blank")
    made.events.clear()
