"""What the tests of adapters share."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cryptovol.adapters.s3 import S3Store
from cryptovol.bars import Bars
from cryptovol.market.server import MarketServer, serve
from cryptovol.testing import FixedMarket, make_bars
from cryptovol.times import HOUR

from tests.adapters.scripted import Script, serving
from tests.venues import NOW, StandIn, in_quote

BUCKET = "cryptovol-test"


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
