"""What the tests of adapters share."""

import itertools
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.server import ThreadedMotoServer

from cryptovol.adapters import s3lean
from cryptovol.adapters.s3 import S3Store
from cryptovol.adapters.s3lean import S3Lean
from cryptovol.bars import Bars
from cryptovol.market.server import MarketServer, serve
from cryptovol.testing import FixedMarket, make_bars
from cryptovol.times import HOUR

from tests.adapters.scripted import Script, serving
from tests.venues import NOW, StandIn, in_quote

BUCKET = "cryptovol-test"
_NUMBERS = itertools.count()


@pytest.fixture
def s3_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return an S3 client on moto, with an empty bucket."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def s3(s3_client: Any) -> S3Store:
    """Return an empty S3 store on moto."""
    return S3Store(BUCKET, s3_client)


@pytest.fixture
def lean() -> Iterator[S3Lean]:
    """Return an empty store through obstore, on moto's server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t"
    )
    # Moto's state outlives its server: each store has a bucket of its own.
    bucket = f"{BUCKET}-{next(_NUMBERS)}"
    client.create_bucket(Bucket=bucket)
    environ = {"AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t", "AWS_REGION": "us-east-1"}
    found = s3lean.from_environ(bucket, {**environ, "AWS_ENDPOINT_URL": url})
    assert found is not None
    yield found
    client.close()
    server.stop()


@pytest.fixture
def script() -> Iterator[Script]:
    """Return a running scripted server."""
    with serving() as found:
        yield found


@pytest.fixture
def waits() -> list[float]:
    """Return the seconds a client waited between its tries."""
    return []


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """Return what serves 1,000 hours of bars in a venue's shape, as the venue itself would, and returns the address."""
    servers: list[MarketServer] = []

    def start(shape: str, *, quote: str = "USD", bars: Bars | None = None, **more: Any) -> str:
        held = make_bars(1000, start=NOW - 1800 - 999 * HOUR) if bars is None else bars
        market = FixedMarket(in_quote(held, quote), now=NOW)
        more = {"declared": False, "clock": lambda: NOW, **more}
        servers.append(serve(market, shape=shape, **more).start())
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()
