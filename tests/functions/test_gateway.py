"""The gateway's edges: what a caller sees where API Gateway stands on AWS."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest
from chalice.app import AuthRequest, AuthResponse, Chalice, CORSConfig, Response
from chalice.config import Config
from chalice.local import LocalChalice

from cryptovol.cloud import wire
from cryptovol.cloud.gateway import Asked, Gateway
from cryptovol.cloud.wire import Answer
from cryptovol.cloud.wsgi import Application

HOST = {"host": "test"}
KINDS = {"host": "test", "content-type": "application/json"}


class UnauthorizedError(Exception):
    """What an authorizer raises for a wrong key, as API Gateway wants it."""


def authorize(request: AuthRequest) -> AuthResponse:
    """Let `good` through everywhere and `other` nowhere; raise on anything else."""
    if request.token == "broken":
        raise ZeroDivisionError
    if request.token not in ("good", "other"):
        raise UnauthorizedError("Unauthorized")
    return AuthResponse(routes=["*"] if request.token == "good" else [], principal_id="somebody")


def gateway() -> Gateway:
    """Return a gateway over an app with one route of each kind."""
    app = Chalice("small")
    keyed = app.authorizer(header="x-api-key")(authorize)

    @app.route("/open")
    def opened() -> Any:
        request = app.current_request
        return {"source": request.context["identity"]["sourceIp"], "query": request.query_params}

    @app.route("/keyed", authorizer=keyed)
    def closed() -> Any:
        return {"who": app.current_request.context["authorizer"]["principalId"]}

    @app.route("/shared", cors=CORSConfig(allow_origin="https://desk.example"))
    def shared() -> Any:
        return {}

    @app.route("/bytes", methods=["POST"], content_types=["application/json", "application/octet-stream"])
    def octets() -> Any:
        return Response(app.current_request.raw_body, headers={"Content-Type": "application/octet-stream"})

    @app.route("/many")
    def many() -> Any:
        return Response("é", headers={"Set-Cookie": ["a=1", "b=2"], "Content-Type": "text/plain; charset=utf-8"})

    @app.route("/unchanged")
    def unchanged() -> Any:
        return Response("", status_code=304, headers={"ETag": "x"})

    @app.route("/slow/{name}")
    def slow(name: str) -> Any:
        meet.wait(10)
        return {"name": name, "seen": app.current_request.uri_params["name"]}

    meet = threading.Barrier(8)
    app.__class__ = LocalChalice
    return Gateway(app, Config("local", config_from_disk={"app_name": "small"}))


def ask(method: str, target: str, headers: dict[str, str] = HOST, body: bytes = b"") -> Answer:
    """Return the answer to one request."""
    return gateway().answer(Asked(method, target, headers, body, "192.0.2.7"))


def code(answer: Answer) -> str:
    """Return the code of a problem document."""
    assert ("Content-Type", "application/problem+json") in answer.headers
    return str(json.loads(answer.body)["code"])


def test_app_is_told_where_the_request_came_from_and_what_was_asked() -> None:
    """The address is the socket's; a header that claims another changes nothing."""
    answer = ask("GET", "/open?a=1", {**HOST, "x-forwarded-for": "203.0.113.9"})
    assert json.loads(answer.body) == {"source": "192.0.2.7", "query": {"a": "1"}}


@pytest.mark.parametrize(
    ("key", "status", "found"),
    [("good", 200, ""), ("wrong", 401, "unauthorized"), (None, 401, "unauthorized"), ("other", 403, "forbidden")],
)
def test_key_is_read_from_the_header_that_the_authorizer_names(key: str | None, status: int, found: str) -> None:
    """A good key enters with its principal; none and a wrong one are 401; one for other routes is 403."""
    answer = ask("GET", "/keyed", {**HOST, "authorization": "good", **({"x-api-key": key} if key else {})})
    assert answer.status == status
    assert (json.loads(answer.body) == {"who": "somebody"}) if status == 200 else code(answer) == found


def test_authorizer_that_breaks_is_500_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """An unforeseen error lets nobody in, says nothing to the caller and all to the log."""
    answer = ask("GET", "/keyed", {**HOST, "x-api-key": "broken"})
    assert answer.status == 500 and code(answer) == "internal" and b"Zero" not in answer.body
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["/none", "/open/more", "//open/x", "http://[broken/", "/slow/a/b", "*", ""])
def test_unknown_path_is_404(target: str) -> None:
    """What no route has is not found, as a problem document, whatever form the address has."""
    answer = ask("GET", target, {**HOST, "authorization": "Bearer é"})
    assert answer.status == 404 and code(answer) == "not_found"


def test_address_with_host_or_more_slashes_is_the_path_it_names() -> None:
    """The absolute form that proxies send is understood, and so are doubled slashes."""
    assert [ask("GET", target).status for target in ("http://test/open", "//open", "/open/")] == [200, 200, 200]


def test_head_is_get_with_its_length_and_without_its_body() -> None:
    """HEAD has the status and headers of GET; a route without GET has no HEAD."""
    served = ask("HEAD", "/open")
    assert (served.status, served.body) == (200, ask("GET", "/open").body)
    assert wire.encode(served, keeps=True, bodiless=True).endswith(b"Content-Length: %d\r\n\r\n" % len(served.body))
    assert ask("HEAD", "/bytes").status == 405


def test_options_tells_methods_and_lets_in_only_the_origin_of_the_route() -> None:
    """A plain route allows no other origin; one with CORS names its own."""
    plain, shared = dict(ask("OPTIONS", "/open").headers), dict(ask("OPTIONS", "/shared").headers)
    assert plain == {"Allow": "GET, HEAD, OPTIONS"}
    assert shared["Access-Control-Allow-Origin"] == "https://desk.example"


def test_bytes_and_repeated_headers_arrive_as_they_are() -> None:
    """A binary body goes through unchanged both ways, a header with several values is several headers."""
    body = bytes(range(256))
    answer = ask("POST", "/bytes", {**HOST, "content-type": "application/octet-stream", "accept": "*/*"}, body)
    assert answer.body == body
    many = ask("GET", "/many")
    assert many.body == "é".encode() and [value for name, value in many.headers if name == "Set-Cookie"] == [
        "a=1",
        "b=2",
    ]


def test_requests_of_several_threads_do_not_see_each_other() -> None:
    """Eight requests that are in the app at the same moment each have their own."""
    shared, found = gateway(), []

    def work(name: str) -> None:
        found.append(json.loads(shared.answer(Asked("GET", f"/slow/{name}", HOST)).body))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((each["name"], each["seen"]) for each in found) == [(name, name) for name in "abcdefgh"]


def wsgi(method: str, path: str, body: bytes = b"", **environ: str) -> tuple[str, dict[str, str], bytes]:
    """Return status, headers and body of the WSGI application, asked as a bare WSGI server would."""
    told: list[Any] = []
    base = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body), "HTTP_HOST": "test"}
    found = Application(gateway())({**base, **environ}, lambda status, headers: told.extend((status, headers)))
    return told[0], dict(told[1]), b"".join(found)


def test_any_wsgi_server_may_carry_the_app() -> None:
    """Without gunicorn's extras path, query, method and length are understood, and HEAD and 304 have no body."""
    status, headers, body = wsgi("GET", "/open", QUERY_STRING="a=%20b", REMOTE_ADDR="192.0.2.7")
    assert status == "200 OK" and json.loads(body) == {"source": "192.0.2.7", "query": {"a": " b"}}
    assert int(headers["Content-Length"]) == len(body)
    assert wsgi("HEAD", "/open")[1:] == (wsgi("GET", "/open")[1], b"")
    assert wsgi("GET", "/unchanged")[0] == "304 Not Modified" and wsgi("GET", "/unchanged")[2] == b""


@pytest.mark.parametrize(
    ("environ", "status"),
    [({"CONTENT_LENGTH": "1000001"}, "413"), ({"CONTENT_LENGTH": "x"}, "400"), ({"CONTENT_LENGTH": "50"}, "400"),
     ({"HTTP_TRANSFER_ENCODING": "chunked"}, "411")],
)  # fmt: skip
def test_limits_hold_whoever_reads_the_socket(environ: dict[str, str], status: str) -> None:
    """A server that lets anything through changes nothing: lengths are judged once more."""
    assert wsgi("POST", "/bytes", b"{}", CONTENT_TYPE="application/json", **environ)[0].startswith(status)
