"""What leaves this machine for a venue: one request to one address, and a key that nobody else learns."""

import logging
from typing import Any

import pytest

from cryptovol.adapters.sources.transport import Transport
from cryptovol.errors import ConfigError, CryptovolError, SourceUnavailableError
from tests.adapters.scripted import KEY, Script, client, histohour

SETTING = "CRYPTOVOL_COINBASE_URL"


def test_no_redirect_is_followed(script: Script, waits: list[float]) -> None:
    """Neither key nor request goes to another address; the error names its host and nothing else of it."""
    script.add(b"", status=302, Location=f"http://other.example/?key={KEY}")
    source = client("cryptocompare", script.url, waits, key=KEY)
    with pytest.raises(
        SourceUnavailableError, match="redirects to other.example .302., which is not followed"
    ) as error:
        source.origin("BTC", "USD")
    assert KEY not in str(error.value) and error.value.__cause__ is None


def test_the_key_goes_into_one_header_of_venues_that_take_it(script: Script, waits: list[float]) -> None:
    """It stands in Authorization, never in an address, and a venue without keys does not get it."""
    script.add(histohour([]))
    client("cryptocompare", script.url, waits, key=KEY).origin("BTC", "USD")
    client("cryptocompare", script.url, waits).origin("BTC", "USD")
    script.answers = []
    script.add([])
    client("coinbase", script.url, waits, key=KEY).origin("BTC", "USD")
    assert [headers.get("Authorization") for headers in script.headers] == [f"Apikey {KEY}", None, None]
    assert not any(KEY in text for query in script.asked for text in query.values())
    assert all(headers["User-Agent"].startswith("cryptovol/") for headers in script.headers)


def test_login_details_of_the_home_folder_are_not_sent(
    script: Script, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    """What ~/.netrc has for a host is not a venue's business."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr("cryptovol.adapters.sources.transport.LOOPBACK", ())
    monkeypatch.setenv("NO_PROXY", "*")
    script.add([])
    client("coinbase", script.url, waits).origin("BTC", "USD")
    assert "Authorization" not in script.headers[0]


ECHOES: list[tuple[Any, dict[str, Any]]] = [
    ({"Message": f"key {KEY} is\nnot\nours " + "x" * 500}, {"status": 500}),
    ({"Message": "x" * 185 + KEY}, {"status": 500}),
    ({"Err": {"message": f"{KEY} is wrong"}}, {"status": 401}),
    ({"Data": {"Data": [{"time": KEY}]}}, {}),
    (KEY.encode(), {"Content_Type": f"text/{KEY}"}),
    ("".join(f"\\u{ord(letter):04x}" for letter in KEY).join(('{"Message": "', '"}')).encode(), {"status": 500}),
]


@pytest.mark.parametrize("echo", range(len(ECHOES)))
def test_a_key_that_the_server_repeats_is_blotted_out(
    echo: int, script: Script, waits: list[float], caplog: Any
) -> None:
    """Whatever place the server says our key in, it stands in no error and no log, not even in part."""
    body, answer = ECHOES[echo]
    script.add(body, **answer)
    with caplog.at_level(logging.DEBUG), pytest.raises(CryptovolError) as error:
        client("cryptocompare", script.url, waits, key=KEY).origin("BTC", "USD")
    mine = "\n".join(record.getMessage() for record in caplog.records)
    assert KEY[:8] not in str(error.value) + mine and len(str(error.value)) < 400


def test_a_message_from_outside_cannot_write_to_the_terminal(script: Script, waits: list[float]) -> None:
    """Control characters and halves of letters are replaced before they reach a log."""
    script.add(b'{"Message": "\\u001b[2J\\ud800 hello"}', status=500)
    with pytest.raises(SourceUnavailableError, match=r"\?\[2J\? hello"):
        client("cryptocompare", script.url, waits).origin("BTC", "USD")


NO_ADDRESSES = [
    "min-api.example", "file:///etc/passwd", "http://", "http://[::1", "http://x:99999", "http://me:secret@host",
    "http://x?a=1", "http://x#a", "http://.x", "http://x y", "http://x" + "a" * 64 + ".example",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    """The error names the setting, and shows no password."""
    with pytest.raises(ConfigError, match=SETTING) as error:
        Transport(url, setting=SETTING).get("/a", {})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("key", ["a\nb", "ключ"])
def test_a_key_that_no_key_is_like_is_a_usage_error(key: str) -> None:
    """A key with a line break would write headers of its own."""
    with pytest.raises(ConfigError, match="copy it again") as error:
        Transport("http://x", setting=SETTING, key=key)
    assert key not in str(error.value)


def test_a_missing_certificate_file_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names certificates which are not there is told so."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/absent.pem")
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(ConfigError, match="absent.pem.*REQUESTS_CA_BUNDLE"):
        Transport("https://market.invalid", setting=SETTING).get("/a", {})
