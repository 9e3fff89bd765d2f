"""API keys: made, parsed, recognised, fetched from a secret and kept through its outages."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from cryptovol import keyring
from cryptovol.adapters import secrets
from cryptovol.cli import main
from cryptovol.errors import ConfigError, TransientError
from cryptovol.keyring import RENEW_SECONDS, RETRY_SECONDS, Keyring

KEYS = {"desk": "first key", "bot": "second key"}
DIGESTS = {name: keyring.digest(key) for name, key in KEYS.items()}


class Vault:
    """A secret that a test changes or takes away, and the time."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.now = 0.0
        self.fetched = 0
        self.failed: list[Exception] = []

    def fetch(self) -> str:
        """Return the secret, or fail as an outage does."""
        self.fetched += 1
        if self.text is None:
            raise TransientError("away")
        return self.text

    def ring(self, run: Callable[[Callable[[], None]], None] = lambda work: work(), **fixed: str) -> Keyring:
        """Return a keyring over the secret."""
        return Keyring(fixed, self.fetch, clock=lambda: self.now, failed=self.failed.append, run=run)


def test_fresh_keys_differ_and_a_digest_gives_nothing_away() -> None:
    """A key has 32 random bytes and is safe in a header; its digest is the sha256 that `sha256sum` prints."""
    made = {keyring.fresh() for _ in range(100)}
    assert len(made) == 100 and all(len(key) == 43 and key.isascii() for key in made)
    assert keyring.digest("first key") == "dd38fe87fa52119289f4a02e401db807600dbfe87d720b35e6d0aff7343a85ab"


def test_keys_new_prints_a_key_once_and_what_the_api_is_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    """The setting that the verb prints admits the key that it prints."""
    assert main(["keys", "new", "--name", "desk", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert keyring.owner(keyring.parse(told["setting"]), told["key"]) == "desk"
    assert main(["keys", "new"]) == 0
    out = capsys.readouterr().out
    key, setting = out.split()[1], out.split("CRYPTOVOL_API_KEY_SHA256=")[1].split()[0]
    assert out.count(key) == 1 and keyring.owner(keyring.parse(setting), key) == "key-1"
    assert main(["keys", "new", "--name", "a:b"]) == 2


def test_parse_reads_names_and_bare_digests() -> None:
    """A list may mix both; capital hex digits and spaces are as good."""
    a, b = DIGESTS.values()
    assert keyring.parse(f" desk:{a} , {b.upper()},") == {"desk": a, "key-2": b}
    assert keyring.parse("") == {}


@pytest.mark.parametrize(
    "text", ["my-own-secret-key", "desk:my-own-secret-key", f"{'0' * 63}", f"{'g' * 64}", ",", "a b:" + "0" * 64,
             f"desk:{'0' * 64},desk:{'1' * 64}"],
)  # fmt: skip
def test_parse_refuses_what_is_no_digest_and_does_not_repeat_it(text: str) -> None:
    """Whoever writes the key in place of its digest reads the cure, and the key is in no message."""
    with pytest.raises(ConfigError) as caught:
        keyring.parse(text)
    assert "my-own-secret-key" not in str(caught.value) and "key" in str(caught.value).lower()


@given(st.text(max_size=80))
def test_parse_gives_digests_or_a_config_error_for_any_text(text: str) -> None:
    """No setting opens the API by accident: a text that is not empty has a digest in it or is refused."""
    try:
        found = keyring.parse(text)
    except ConfigError:
        return
    assert bool(found) is bool(text.strip())
    assert all(len(digest) == 64 for digest in found.values())


@given(st.text(max_size=300))
def test_owner_knows_its_keys_and_no_other_text(text: str) -> None:
    """Whatever is sent, only a key itself has an owner; neither its digest nor a part of it has."""
    assert keyring.owner(DIGESTS, text) is None or text in KEYS.values()
    assert [keyring.owner(DIGESTS, key) for key in KEYS.values()] == ["desk", "bot"]
    assert not any(keyring.owner(DIGESTS, digest) for digest in DIGESTS.values())


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '"desk"', '{"desk": 7}', '{"desk": "short"}', '{"": "' + "0" * 64 + '"}']
)
def test_secret_that_is_no_object_of_digests_is_refused(text: str) -> None:
    """A secret in another form is a fault of configuration, not an empty list of keys."""
    with pytest.raises(ConfigError):
        keyring.parse_secret(text)


def test_secret_is_fetched_once_and_renewed_when_it_is_old() -> None:
    """Requests in between ask nobody; a key that was taken out is refused after the next renewal."""
    vault = Vault(json.dumps(DIGESTS))
    ring = vault.ring()
    assert ring.required and vault.fetched == 0
    assert [ring.owner(KEYS["desk"]) for _ in range(3)] == ["desk"] * 3 and vault.fetched == 1
    vault.text = json.dumps({"bot": DIGESTS["bot"]})
    vault.now = RENEW_SECONDS - 1
    assert ring.owner(KEYS["desk"]) == "desk" and vault.fetched == 1
    vault.now = RENEW_SECONDS
    ring.owner(KEYS["bot"])
    assert (ring.owner(KEYS["desk"]), ring.owner(KEYS["bot"]), vault.fetched) == (None, "bot", 2)


@pytest.mark.parametrize("text", [None, "no json", '{"desk": "x"}'])
def test_outage_or_nonsense_keeps_the_keys_that_are_held(text: str | None) -> None:
    """A secret that goes away or is spoilt shuts nobody out and lets nobody in; it is asked for again soon."""
    vault = Vault(json.dumps(DIGESTS))
    ring = vault.ring()
    assert ring.owner(KEYS["desk"]) == "desk"
    vault.text, vault.now = text, RENEW_SECONDS
    assert (ring.owner(KEYS["desk"]), ring.owner("other")) == ("desk", None)
    assert len(vault.failed) == 1 and vault.fetched == 2
    vault.text, vault.now = json.dumps({}), RENEW_SECONDS + RETRY_SECONDS
    ring.owner(KEYS["desk"])
    assert ring.owner(KEYS["desk"]) is None and vault.fetched == 3


def test_secret_that_was_never_read_admits_nobody_but_fixed_keys() -> None:
    """Configured and unreadable is not open; it is asked for again, but not at every request."""
    vault = Vault(None)
    ring = vault.ring(desk=DIGESTS["desk"])
    for _ in range(3):
        with pytest.raises(TransientError, match="cannot be read"):
            ring.owner(KEYS["bot"])
    assert ring.owner(KEYS["desk"]) == "desk" and vault.fetched == 1
    vault.text, vault.now = json.dumps(DIGESTS), RETRY_SECONDS
    assert ring.owner(KEYS["bot"]) == "bot"


def test_renewal_holds_up_no_request() -> None:
    """While the secret does not answer, callers are told from what is held, and nobody asks a second time."""
    vault = Vault(json.dumps(DIGESTS))
    waiting: list[Callable[[], None]] = []
    ring = vault.ring(run=waiting.append)
    ring.owner(KEYS["desk"])
    vault.now = RENEW_SECONDS
    assert [ring.owner(KEYS["desk"]) for _ in range(5)] == ["desk"] * 5
    assert len(waiting) == 1 and vault.fetched == 1
    waiting[0]()
    assert vault.fetched == 2


def test_threads_that_come_first_together_fetch_once() -> None:
    """The first fetch is shared: all wait for it and none of them is refused."""
    vault = Vault(json.dumps(DIGESTS))
    ring = vault.ring()
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(ring.owner(KEYS["bot"]))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["bot"] * 16 and vault.fetched == 1


@mock_aws
def test_secret_is_read_from_secrets_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter reads a secret by its id; what is not there, or is no text, is an outage with its name."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("secretsmanager", region_name="us-east-1")
    client.create_secret(Name="api-keys", SecretString=json.dumps(DIGESTS))
    client.create_secret(Name="bytes", SecretBinary=b"x")
    assert keyring.parse_secret(secrets.reader("api-keys")()) == DIGESTS
    with pytest.raises(TransientError, match="absent"):
        secrets.reader("absent", client)()
    with pytest.raises(TransientError, match="is no text"):
        secrets.reader("bytes", client)()


def test_secrets_manager_out_of_reach_is_transient() -> None:
    """A dead endpoint is an outage like any other."""

    class Dead:
        def get_secret_value(self, **_: str) -> None:
            raise EndpointConnectionError(endpoint_url="http://nowhere")

    with pytest.raises(TransientError, match="cannot read the secret api-keys"):
        secrets.reader("api-keys", Dead())()
