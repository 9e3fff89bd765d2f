"""What every answer carries for browsers and proxies, which origin is let in, and that no key is ever written down."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any, NoReturn

import app as predict_app
import pytest
from chalice.test import HTTPResponse
from chalicelib import guard, headers, lines, service

from cryptovol import keyring
from cryptovol.adapters.telemetry import EmfMeter, logger
from cryptovol.errors import StoreUnavailableError
from cryptovol.testing import MemoryStore
from tests.api import Api

KEY = "a-key-that-must-not-be-seen"
KEYED = {"CRYPTOVOL_API_KEY_SHA256": f"desk:{keyring.digest(KEY)}"}
ASK = {"symbol": "BTC"}
PATHS = ("/", "/health", "/metrics", "/openapi.json", "/model", "/forecast/BTC", "/scoreboard/BTC", "/history/BTC")


def answers(api: Api) -> list[tuple[str, HTTPResponse]]:
    """Return answers of every route and of every kind of refusal that the app makes."""
    found = [(path, api.get(path)) for path in PATHS]
    found += [("POST", api.post(ASK)), ("400", api.post(b"{")), ("404", api.post({"symbol": "NONE"}))]
    found += [
        ("405", api.client.request("DELETE", "/predict", headers={})),
        ("415", api.post(b"x", content_type="a/b")),
    ]
    service.install(replace(service.current(), forecaster=None))  # type: ignore[arg-type]
    found.append(("500", api.post(ASK)))
    api.open(**KEYED)
    found.append(("401", api.post(ASK)))
    return found


def test_every_answer_carries_the_security_headers(api: Api) -> None:
    """Answers and refusals alike are not sniffed, framed, stored or followed by a referrer; none claims TLS."""
    for name, answer in answers(api):
        seen = answer.headers
        assert seen["X-Content-Type-Options"] == "nosniff" and seen["X-Frame-Options"] == "DENY", name
        assert (
            seen["Referrer-Policy"] == "no-referrer" and "default-src 'none'" in seen["Content-Security-Policy"]
        ), name
        assert "frame-ancestors 'none'" in seen["Content-Security-Policy"], name
        assert "Strict-Transport-Security" not in seen and "Access-Control-Allow-Origin" not in seen, name
        assert seen["X-Request-Id"], name


def test_only_what_says_so_may_be_stored(api: Api) -> None:
    """No cache keeps an answer, but for the forecast's few seconds and the page that asks anew."""
    stored = {name: answer.headers["Cache-Control"] for name, answer in answers(api)}
    assert "no-store" in {stored.pop("POST"), stored.pop("500")} and stored["/health"] == stored["401"] == "no-store"
    assert stored["/forecast/BTC"].startswith("private, max-age=")
    assert not any("public" in value for value in stored.values())


def test_tls_is_made_lasting_where_it_is(api: Api) -> None:
    """Behind API Gateway or a proxy with TLS browsers are told to stay with it; over plain HTTP they are not."""
    assert "max-age" in api.get("/health", **{"x-forwarded-proto": "https"}).headers["Strict-Transport-Security"]
    assert "Strict-Transport-Security" not in api.get("/health", **{"x-forwarded-proto": "http"}).headers


def test_pages_own_scripts_and_styles_are_let_run_and_no_other(api: Api) -> None:
    """The page's policy names the hash of each inline script and style, and nothing inline runs without it."""
    answer = api.get("/", accept="text/html")
    policy, text = answer.headers["Content-Security-Policy"], answer.body.decode()
    assert "unsafe" not in policy and "*" not in policy
    for kind in ("script", "style"):
        texts = re.findall(rf"<{kind}[^>]*>(.*?)</{kind}>", text, re.DOTALL)
        assert texts and f"<{kind} src" not in text
        for each in texts:
            assert base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() in policy
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text) and not re.search(r"<[^>]+\sstyle\s*=", text)


def test_another_origin_is_let_in_only_by_its_exact_name(api: Api) -> None:
    """With an origin set every answer, a refusal too, may be read there and nowhere else."""
    api.open(**KEYED, CRYPTOVOL_CORS_ORIGIN="https://desk.example")
    for answer in (api.get("/health"), api.post(ASK), api.get("/", accept="text/html")):
        assert answer.headers["Access-Control-Allow-Origin"] == "https://desk.example"
        assert "Origin" in answer.headers["Vary"] and "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert headers.secured({"Vary": "Accept"}, tls=False, origin="https://a.example")["Vary"] == "Accept, Origin"


def test_preflight_is_declared_only_for_an_origin() -> None:
    """API Gateway answers preflights only if an origin is set when the app is packaged; a wrong one lets nobody in."""
    assert guard.preflight({}) is False and guard.preflight({"CRYPTOVOL_CORS_ORIGIN": "*"}) is False
    assert not any(entry.cors for entries in predict_app.app.routes.values() for entry in entries.values())
    program = (
        "import sys, json; sys.path.insert(0, 'functions/predict'); import app\n"
        "cors = app.app.routes['/predict']['POST'].cors\nprint(json.dumps(cors.get_access_control_headers()))"
    )
    environ = {"CRYPTOVOL_CORS_ORIGIN": "https://desk.example"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["Access-Control-Allow-Origin"] == "https://desk.example"
    assert "x-api-key" in told["Access-Control-Allow-Headers"].lower()


def test_no_key_is_in_a_log_line_a_metric_or_an_answer(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """Right or wrong, in the header or by mistake elsewhere, served or failing: the key is written nowhere."""
    events, metrics = io.StringIO(), io.StringIO()
    api.open(**KEYED)
    watched = replace(service.current(), log=logger("test-secrets", events), meter=EmfMeter(metrics))
    service.install(watched)
    wrong = f"{KEY}-wrong"
    seen = [api.post(ASK, **{"x-api-key": key}) for key in (KEY, wrong)]
    seen += [api.get(path, **{"x-api-key": KEY}) for path in PATHS]
    seen.append(api.get("/forecast/BTC", **{"authorization": f"Bearer {KEY}", "x-api-key": wrong}))
    service.install(replace(watched, forecaster=None))  # type: ignore[arg-type]
    seen.append(api.post(ASK, **{"x-api-key": KEY}))
    written = "".join(capsys.readouterr()) + events.getvalue() + metrics.getvalue()
    told = "".join(answer.body.decode() + json.dumps(dict(answer.headers)) for answer in seen)
    assert "a route failed" in written and '"caller":"desk"' in written
    assert KEY not in written + told and keyring.digest(KEY) not in written + told


def test_where_a_failing_store_is_goes_to_the_log_and_not_to_callers(api: Api) -> None:
    """An outage is told by code and cure; address, bucket and what the store answered are for whoever runs it."""

    class Away(MemoryStore):
        def get(self, key: str) -> NoReturn:
            raise StoreUnavailableError(f"cannot read {key} in bucket inner-bucket: no route to http://10.1.2.3:9000")

        def exists(self, key: str) -> NoReturn:
            self.get(key)

    api.store, events = Away(), io.StringIO()
    api.open()
    service.install(replace(service.current(), log=logger("test-away", events)))
    seen = [api.post(ASK), api.get("/forecast/BTC"), api.get("/model"), api.get("/scoreboard/BTC"), api.get("/health")]
    assert [answer.status_code for answer in seen] == [503] * 5
    assert not [answer.body for answer in seen if b"10.1.2.3" in answer.body or b"inner-bucket" in answer.body]
    assert events.getvalue().count("http://10.1.2.3:9000") >= 3


def test_request_line_has_the_fields_of_the_other_log_lines(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line a request: Powertools' own fields, what was asked, how it ended, how long it took, who asked."""
    api.open(**KEYED)
    answer = api.post(ASK, **{"x-api-key": KEY})
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines() if '"message":"request"' in each]
    usual = io.StringIO()
    logger("test-usual", usual).info("x")
    assert set(json.loads(usual.getvalue())) - {"location"} <= set(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\+0000", line["timestamp"])
    wanted: dict[str, Any] = {"endpoint": "/predict", "method": "POST", "status": "200", "caller": "desk"}
    assert wanted.items() <= line.items() and line["request_id"] == answer.headers["X-Request-Id"]
    assert 0 < line["milliseconds"] < 60_000


def test_answer_is_not_lost_where_the_log_cannot_be_written(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under the log costs the line, not the forecast."""

    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lines, "write", full)
    assert api.post(ASK).status_code == 200
