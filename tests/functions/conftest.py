"""What the API's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chalicelib import service

from cryptovol.params import Params
from tests.api import Api, serving


@pytest.fixture
def api(params: Params) -> Iterator[Api]:
    """Return the app with fresh bars and a champion per horizon."""
    yield serving(params)
    service.install(None)
