"""LocalStack's web server, bound to the address it was told.

localstack-core 4.13.1 takes the port of ``GATEWAY_LISTEN`` but, with IPv4, not its host: whoever reaches the machine could
deploy functions and run them. LocalStack finds this server by its entry point and takes it for ``GATEWAY_SERVER=loopback``.
"""

from __future__ import annotations

from typing import Any

from localstack.runtime.server.core import RuntimeServerPlugin
from localstack.runtime.server.twisted import TwistedRuntimeServer
from rolo.serving.twisted import TwistedGateway
from twisted.internet import endpoints, reactor


class LoopbackServerPlugin(RuntimeServerPlugin):  # type: ignore[misc]
    """What the entry point names."""

    name = "loopback"

    def load(self, *args: Any, **named: Any) -> LoopbackServer:
        """Return the server."""
        return LoopbackServer()


class LoopbackServer(TwistedRuntimeServer):  # type: ignore[misc]
    """Twisted's server, over HTTP only."""

    def register(self, gateway: Any, listen: list[Any], ssl_creds: Any = None) -> None:
        """Listen on each address, and on nothing else; credentials for TLS are not used."""
        site = TwistedGateway(gateway)
        for address in listen:
            endpoints.TCP4ServerEndpoint(reactor, address.port, interface=address.host).listen(site)
