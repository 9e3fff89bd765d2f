"""CryptoCompare's hourly bars over HTTP; also the client of every server that answers in its shape."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import requests

from cryptovol import bars as bars_module
from cryptovol.adapters.sources import histohour
from cryptovol.adapters.sources.histohour import Reply
from cryptovol.bars import Bars
from cryptovol.errors import ConfigError, RateLimitedError, SourceUnavailableError
from cryptovol.market import MARKET_HEADER, MOST_ROWS, PATH, SOURCE_HEADER
from cryptovol.ports import Clock, Origin
from cryptovol.times import HOUR

LIVE = Origin("cryptocompare", "live")

TRIES = 4
FIRST_WAIT = 0.5  # seconds; doubled at each further try
LONGEST_WAIT = 30.0  # a source that asks for more is left to the caller's own retry
TIMEOUTS = (5.0, 20.0)  # seconds to connect, and between two reads
WHOLE_TIMEOUT = 60.0  # seconds for one answer, however slowly it trickles
MOST_BYTES = 8 * 1024 * 1024  # a full page has about half a megabyte
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_log = logging.getLogger(__name__)


class _KeyAuth(requests.auth.AuthBase):
    """Puts the key into the header; as an auth object it is dropped on a redirect to another host."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Apikey {self._key}"
        return request


class CryptoCompareSource:
    """`ports.BarSource` over ``/data/v2/histohour``.

    Rows whose prices are all zero, with which the API fills the time before a coin's listing, are dropped; each
    call of `pages` logs how many, and `padded` has the sum.

    Parameters
    ----------
    url
        Base URL.
    key
        API key or an empty text. It goes into a header, never into a log or an error.
    page_bars
        Bars per request, at most 2000.
    clock
        Returns unix seconds.
    sleep, jitter
        Wait so many seconds; a number in [0, 1) that spreads retries of many clients.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        page_bars: int = MOST_ROWS,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError(
                f"{url!r} is not a base URL; write for instance CRYPTOVOL_CRYPTOCOMPARE_URL=http://127.0.0.1:8800"
            )
        if not key.isascii() or not key.isprintable():
            raise ConfigError("CRYPTOVOL_CRYPTOCOMPARE_KEY holds characters that no key has. Cure: copy it again")
        if not 1 <= page_bars <= MOST_ROWS:
            raise ConfigError(f"ingest.page_bars is {page_bars}; CryptoCompare gives 1 to {MOST_ROWS} rows a page")
        self.padded = 0
        self._url = url.rstrip("/")
        self._key = key
        self._page_bars = page_bars
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._origins: dict[tuple[str, str], Origin] = {}
        self._session = requests.Session()
        self._session.auth = _KeyAuth(key)
        # A proxy of the environment cannot reach a server on this machine.
        self._session.trust_env = urlsplit(url).hostname not in LOOPBACK

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return where the bars come from: a stand-in server says so in its headers, CryptoCompare does not."""
        self._origins.pop((symbol, quote), None)
        self._asked(symbol, quote, {"limit": 1})
        return self._origins[symbol, quote]

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield closed bars with ``start <= time`` and ``time + 3600 <= end``, oldest page first.

        The hour in progress at a page's end comes with every page and is dropped, by its time. Bars of a live
        market are stamped with the clock; those of a made-up one with `end`, for there the event's time is the only
        one, and the same event twice must give the same rows.
        """
        padded = 0
        at = start + -start % HOUR
        while at + HOUR <= end:
            stop = min(at + self._page_bars * HOUR, end - end % HOUR)
            rows = self._asked(symbol, quote, {"limit": (stop - at) // HOUR, "toTs": stop})
            padded += rows.padded
            closed = (rows.time >= at) & (rows.time + HOUR <= stop)
            table, origin = rows.table[closed], self._origins[symbol, quote]
            if closed.any():
                yield bars_module.make(
                    rows.time[closed], table[:, :4], volume_base=table[:, 4], volume_quote=table[:, 5], symbol=symbol,
                    quote=quote, source=origin.source, fetched_at=self._clock() if origin == LIVE else end,
                )  # fmt: skip
            at = stop
        if padded:
            self.padded += padded
            _log.warning("%s/%s: dropped %d rows without prices (before listing)", symbol, quote, padded)

    def _asked(self, symbol: str, quote: str, query: dict[str, int]) -> histohour.Rows:
        """Return one request's rows; a transient failure is tried again, later and later."""
        for attempt in range(1, TRIES + 1):
            try:
                reply = self._fetched({"fsym": symbol, "tsym": quote, **query})
                rows = histohour.read(reply, pair=f"{symbol}/{quote}", now=self._clock(), secret=self._key)
                self._recognise((symbol, quote), reply)
                return rows
            except SourceUnavailableError as error:
                wait = FIRST_WAIT * 2 ** (attempt - 1) * (0.5 + self._jitter())
                if isinstance(error, RateLimitedError):
                    wait = max(wait, error.retry_after)
                if attempt == TRIES or wait > LONGEST_WAIT:
                    raise
                said = str(error).partition(" Cure:")[0]
                _log.warning("try %d of %d: %s; next in %.1f s", attempt, TRIES, said, wait)
            self._sleep(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    def _recognise(self, pair: tuple[str, str], reply: Reply) -> None:
        """Remember the answer's origin; bars of two markets in one history would be worse than none."""
        market = reply.headers.get(MARKET_HEADER)
        found = Origin(reply.headers.get(SOURCE_HEADER) or str(market), market) if market else LIVE
        known = self._origins.setdefault(pair, found)
        if known != found:
            raise ConfigError(
                f"{self._url} served {known.market!r} and then {found.market!r}. Cure: leave one server there"
            )

    def _fetched(self, query: dict[str, str | int]) -> Reply:
        """Return one answer, read whole within bounds of size and time."""
        started = time.monotonic()
        try:
            with self._session.get(self._url + PATH, params=query, timeout=TIMEOUTS, stream=True) as response:
                body = bytearray()
                for chunk in response.iter_content(64 * 1024):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise SourceUnavailableError(f"{self._url} sent more than {MOST_BYTES} bytes for one page")
                    if time.monotonic() - started > WHOLE_TIMEOUT:
                        raise SourceUnavailableError(f"{self._url} did not finish its answer in {WHOLE_TIMEOUT:g} s")
                return Reply(response.status_code, response.headers, bytes(body))
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
            # Not chained: to `AutoSource` an OSError for a cause means that nobody was reached.
            raise SourceUnavailableError(f"the answer of {self._url} broke off ({type(error).__name__})") from None
        except requests.RequestException as error:
            why = type(error).__name__
            raise SourceUnavailableError(
                f"no answer from {self._url} ({why}). Cure: check the network and CRYPTOVOL_CRYPTOCOMPARE_URL, "
                "or use CRYPTOVOL_SOURCE=simulated"
            ) from error
