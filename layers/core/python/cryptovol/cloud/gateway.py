"""Chalice's local gateway with the edges that a real one has: the part of the API that is API Gateway's on AWS.

Both servers hand every request to it. It differs from Chalice's own in what a caller sees at the rim: the key comes from
the header that the authorizer names, an unknown path is 404, HEAD is answered where GET is, every refusal is a problem
document, and the caller's address reaches the app.
"""

from __future__ import annotations

import base64
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from site import addsitedir
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import (
    ForbiddenError,
    LambdaContext,
    LocalChalice,
    LocalGateway,
    LocalGatewayAuthorizer,
    NotAuthorizedError,
)

from cryptovol.cloud.wire import Answer, problem
from cryptovol.errors import ConfigError

PROJECT = Path("functions/predict")
NO_KEY = [("WWW-Authenticate", "ApiKey")]
Event = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request as a server read it.

    Parameters
    ----------
    target
        Path and query, still encoded.
    headers
        By lower-case name.
    source
        The caller's address, as the socket tells it: headers that claim another are not believed.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    source: str = "127.0.0.1"


class Authorizer(LocalGatewayAuthorizer):
    """Runs the app's built-in authorizer on the header it is declared with; Chalice's own reads Authorization only.

    A caller without the header is asked about, too: the local default is open, and only the app knows.
    """

    def authorize(
        self, raw_path: str, lambda_event: Event, lambda_context: LambdaContext
    ) -> tuple[Event, LambdaContext]:
        """Return event and context with whom the authorizer let through.

        Raises
        ------
        NotAuthorizedError
            If the authorizer fails with the word Unauthorized, which is how it tells API Gateway that a key is wrong.
        """
        try:
            return super().authorize(raw_path, lambda_event, lambda_context)
        except Exception as error:
            if str(error) == "Unauthorized":
                raise NotAuthorizedError({}) from error
            raise

    def _prepare_authorizer_event(self, arn: str, lambda_event: Event, lambda_context: LambdaContext) -> Event:
        context = lambda_event["requestContext"]
        authorizer: Any = self._app_object.routes[context["resourcePath"]][context["httpMethod"]].authorizer
        name = (authorizer.config.header or "Authorization").lower()
        token = lambda_event["headers"].get(name, "")
        return {**lambda_event, "type": "TOKEN", "authorizationToken": token, "methodArn": arn}


class Gateway(LocalGateway):
    """From a request to an answer, by way of the app as Lambda would call it. Safe under threads."""

    def __init__(self, app: Chalice, config: Config, *, close: Callable[[], None] = lambda: None) -> None:
        super().__init__(app, config)
        self._authorizer = Authorizer(app)
        self.close = close

    def answer(self, asked: Asked) -> Answer:
        """Return the answer; whatever goes wrong becomes a problem document, and what nobody foresaw is printed."""
        context = self._generate_lambda_context()
        own = context.aws_request_id
        try:
            return self._answered(asked, context)
        except NotAuthorizedError:
            return problem(401, "unauthorized", "send a valid key in the header x-api-key", own, NO_KEY)
        except ForbiddenError:
            return problem(403, "forbidden", "this key does not open this route", own)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return problem(500, "internal", "an unforeseen error; it is logged", own)

    def _answered(self, asked: Asked, context: LambdaContext) -> Answer:
        target = "/" + asked.target.lstrip("/") if asked.target.startswith("//") else asked.target
        try:
            event = self._generate_lambda_event(asked.method, target, dict(asked.headers), asked.body or None)
        except ValueError:
            return problem(404, "not_found", "there is no such path; GET / lists them", context.aws_request_id)
        event["requestContext"]["identity"]["sourceIp"] = asked.source
        event["requestContext"]["requestId"] = context.aws_request_id
        entries = self._app_object.routes[event["requestContext"]["resourcePath"]]
        if asked.method == "OPTIONS" and "OPTIONS" not in entries:
            return self._options(event, sorted({*entries, "OPTIONS", *(["HEAD"] if "GET" in entries else [])}))
        if asked.method == "HEAD" and "HEAD" not in entries and "GET" in entries:
            event["requestContext"]["httpMethod"] = "GET"
        event, context = self._authorizer.authorize(target, event, context)
        return _encoded(self._app_object(event, context))

    def _options(self, event: Event, methods: list[str]) -> Answer:
        """Return what may be asked of a path; to another origin's page only what the app's routes let in."""
        cors = self._autogen_options_headers(event)
        told = list(cors.items()) if "Access-Control-Allow-Origin" in cors else []
        return Answer(204, [("Allow", ", ".join(methods)), *told])


def _encoded(response: Mapping[str, Any]) -> Answer:
    """Return the answer that a Lambda function's response is."""
    headers = [(name, str(value)) for name, value in response["headers"].items()]
    headers += [(name, str(value)) for name, values in response["multiValueHeaders"].items() for value in values]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    body = response["body"] or ""
    raw = base64.b64decode(body) if response.get("isBase64Encoded") else body
    return Answer(response["statusCode"], headers, raw.encode() if isinstance(raw, str) else raw)


def load(project: Path = PROJECT) -> Gateway:
    """Return the gateway over the app of a project folder; nothing is opened yet.

    Raises
    ------
    ConfigError
        If there is no app.
    """
    if not (project / "app.py").exists():
        raise ConfigError(f"there is no {project}/app.py here; run from the project folder")
    addsitedir(str(project.resolve()))
    app = import_module("app").app
    # Requests are served by many threads, and Chalice keeps the current one on the app.
    app.__class__ = LocalChalice
    disk = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    return Gateway(app, Config("local", config_from_disk=disk), close=import_module("chalicelib.service").close)
