"""What a client of a market source leaves behind: nothing."""

import gc
import weakref

from cryptovol.adapters.sources.transport import Timeouts, Transport
from tests.adapters.scripted import Script


def test_a_transport_that_is_no_longer_used_goes_with_its_connection(script: Script) -> None:
    """A long-lived process opens clients again and again; each that is dropped closes its socket."""
    script.add([])
    transport = Transport(script.url, setting="CRYPTOVOL_COINBASE_URL", timeouts=Timeouts())
    assert transport.get("/a", {}).body == b"[]"
    left = weakref.ref(transport)
    del transport
    gc.collect()
    assert left() is None
