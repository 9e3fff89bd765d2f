"""One GET over HTTP, bounded in size and in time however a server behaves, with a key that no one else learns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError, NewConnectionError, ReadTimeoutError

import cryptovol
from cryptovol.adapters.sources.dialect import Reply
from cryptovol.adapters.sources.timed import CHUNK, Deadline, TimedAdapter
from cryptovol.errors import ConfigError, CryptovolError, SourceUnavailableError

MOST_BYTES = 8 * 1024 * 1024  # a full page has about half a megabyte
LEAST_WAIT = 0.001  # seconds; `requests` takes no 0
NO_ADDRESS = (
    requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, LocationParseError, UnicodeError
)  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, without a byte of the answer, and for one whole answer however slowly it trickles."""

    connect: float = 5.0
    read: float = 20.0
    whole: float = 60.0


class Transport:
    """Asks one server.

    No redirect is followed: what another host says would be stored under this one's name, and none of the venues
    redirects.

    Parameters
    ----------
    url
        Base URL.
    setting
        The variable that holds it, for messages.
    key
        API key or an empty text. It goes into a header, and is blotted out of whatever the server says.
    timeouts
        See `Timeouts`.
    monotonic
        A clock in seconds that never goes back.

    Raises
    ------
    ConfigError
        If the URL is none, or carries what does not belong there, or the key cannot be one, or there is no time.
    """

    def __init__(
        self,
        url: str,
        *,
        setting: str,
        key: str = "",
        timeouts: Timeouts | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = _parts(url, setting)
        if not key.isascii() or not key.isprintable():
            raise ConfigError("CRYPTOVOL_CRYPTOCOMPARE_KEY holds characters that no key has. Cure: copy it again")
        self._timeouts = timeouts or Timeouts()
        if min(self._timeouts.connect, self._timeouts.read, self._timeouts.whole) <= 0:
            raise ConfigError(f"{self._timeouts} leaves no time. Cure: make sources.timeout_seconds more than 0")
        self.url = url.rstrip("/")
        self._setting = setting
        self._key = key
        self._deadline = Deadline(monotonic)
        self._session = requests.Session()
        # Without an auth object `requests` would send what ~/.netrc has for the host.
        self._session.auth = _KeyAuth(key)
        self._session.headers.update({"User-Agent": f"cryptovol/{cryptovol.__version__}", "Accept": "application/json"})
        # A proxy of the environment cannot reach a server on this machine.
        self._session.trust_env = parts.hostname not in LOOPBACK
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, TimedAdapter(self._deadline))

    def get(self, path: str, query: Mapping[str, str | int], *, within: float = math.inf) -> Reply:
        """Return one answer, read whole.

        Parameters
        ----------
        within
            Seconds, if fewer are left than the timeouts allow.

        Raises
        ------
        SourceUnavailableError
            If no answer comes, or not in time, or it breaks off, or it is too long. Its cause is an `OSError` if no
            connection came about, and nothing otherwise: to `AutoSource` that tells silence from a bad answer.
        """
        limits, within = self._timeouts, max(within, LEAST_WAIT)
        self._deadline.begin(min(limits.whole, within))
        try:
            with self._session.get(
                self.url + path, params=dict(query), stream=True, allow_redirects=False,
                timeout=(min(limits.connect, within), min(limits.read, within)),
            ) as response:  # fmt: skip
                return self._blotted(response, self._body(response))
        except (OSError, HTTPError, UnicodeError) as error:
            silence = _not_connected(error)
            raise (self._no_connection(error) if silence else self._told(error)) from (error if silence else None)

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(CHUNK):
            body += chunk
            if len(body) > MOST_BYTES:
                raise SourceUnavailableError(f"{self.url} sent more than {MOST_BYTES} bytes for one page")
        return bytes(body)

    def _blotted(self, response: requests.Response, body: bytes) -> Reply:
        headers = CaseInsensitiveDict(response.headers)
        if self._key:
            body = body.replace(self._key.encode(), b"***")
            headers = CaseInsensitiveDict({name: text.replace(self._key, "***") for name, text in headers.items()})
        return Reply(response.status_code, headers, body)

    def _no_connection(self, error: Exception) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"no connection to {self.url} ({type(error).__name__}). Cure: check the network and {self._setting}, or use "
            "CRYPTOVOL_SOURCE=simulated"
        )

    def _told(self, error: Exception) -> CryptovolError:
        """Return the error for whatever else can go wrong with a request."""
        if isinstance(error, NO_ADDRESS):
            return ConfigError(f"{self.url} is not an address. Cure: check {self._setting}")
        if isinstance(error, requests.Timeout) or any(isinstance(each, ReadTimeoutError) for each in error.args):
            each, whole = self._timeouts.read, self._timeouts.whole
            return SourceUnavailableError(
                f"{self.url} did not answer in time ({each:g} s without a byte, {whole:g} s in all)"
            )
        if isinstance(error, requests.RequestException | HTTPError):
            return SourceUnavailableError(
                f"the answer of {self.url} broke off or cannot be read ({type(error).__name__})"
            )  # fmt: skip
        return ConfigError(f"cannot ask {self.url}: {error}. Cure: check REQUESTS_CA_BUNDLE")


def _parts(url: str, setting: str) -> SplitResult:
    """Return a base URL's parts; raise `ConfigError`, without showing a password, if it is none."""
    cure = f"Cure: write for instance {setting}=http://127.0.0.1:8800"
    try:
        parts = urlsplit(url)
        fit = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise ConfigError(f"{setting} is not a base URL. {cure}") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"{setting} holds a user name, a query or a fragment, which a base URL has not. {cure}")
    if not fit:
        raise ConfigError(f"{url!r} is not a base URL. {cure}")
    return parts


def _not_connected(error: Exception) -> bool:
    """Return whether an error means that no connection came about, as opposed to a connection that went wrong."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


class _KeyAuth(requests.auth.AuthBase):
    """Puts the key, if there is one, into the header."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Apikey {self._key}"
        return request
