"""Kraken's ``/0/public/OHLC``.

Always HTTP 200, with a list of errors in the body. Only the 720 newest hours are kept, whatever `since` says; bars come
after `since`, oldest first, and the last one, which is not final, always comes. Bitcoin is XBT, and the older pairs have
names like XXBTZUSD. No market here counts trades; their number is made up from the volume.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from cryptovol.bars import Bars
from cryptovol.market.markets import Market
from cryptovol.market.shapes.shape import (
    Answer, Asked, Moment, Refused, Request, Row, decimals, traded, typical, whole_number,
)  # fmt: skip

PATH = "/0/public/OHLC"
KEPT = 720
OWN_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
OUR_NAMES = {own: ours for ours, own in OWN_NAMES.items()}
# Assets of the first years stand in a pair's name with a letter before them: X for a coin, Z for a currency.
LETTERED = ("XBT", "ETH", "LTC", "XRP", "XLM", "XMR", "ZEC", "ETC")
CURRENCIES = ("USD", "EUR", "GBP", "CAD", "JPY")
# Longest first, for a pair is cut at the first that it ends with.
QUOTES = ("USDT", "USDC", *CURRENCIES, "AUD", "CHF", "XBT", "BTC", "ETH")
FULL = re.compile(rf"X({'|'.join(LETTERED)})(?:Z({'|'.join(CURRENCIES)})|X(XBT|ETH))")


class Kraken:
    """See `Shape`."""

    name = "kraken"
    about = "always HTTP 200 with an error list; the 720 newest rows only; BTC is XBT"
    example = f"{PATH}?pair=XBTUSD&interval=60"
    close: str | int = 4
    keyed = False

    def serves(self, path: str) -> bool:
        """Return whether it is the path of candles."""
        return path == PATH

    def asked(self, request: Request, moment: Moment) -> Asked:
        """Return which bars are wanted."""
        query = request.query
        since = whole_number(query.get("since") or "0", least=0, most=10**20)
        if not query.get("pair") or query.get("interval") != "60" or since is None:
            raise Refused(_error("EGeneral:Invalid arguments"))
        symbol, quote = _pair(query["pair"])
        return Asked(
            symbol, quote, start=min(since, 2**40) + 1, last=moment.present, moment=moment.present, most=KEPT,
            always_last=True,
        )  # fmt: skip

    def unknown(self, asked: Asked, market: Market) -> Answer:
        """Return an error without a result."""
        return _error("EQuery:Unknown asset pair")

    def rows(self, bars: Bars, asked: Asked) -> list[Row]:
        """Return one list of eight per bar; an average that the volumes do not give is the typical price."""
        bars = traded(bars)
        given = np.isfinite(bars.volume_quote) & (bars.volume_base > 0)
        average = np.divide(bars.volume_quote, bars.volume_base, out=typical(bars), where=given)
        prices = (decimals(getattr(bars, name)) for name in ("open", "high", "low", "close"))
        count = np.ceil(np.clip(bars.volume_base, 0, 2**40)).astype(np.int64).tolist()
        columns = (bars.time.tolist(), *prices, decimals(average), decimals(bars.volume_base), count)
        return [list(row) for row in zip(*columns, strict=True)]

    def body(self, rows: list[Row], asked: Asked) -> Any:
        """Return rows under the pair's full name; `last` is the newest row that is final."""
        times = [row[0] for row in rows if isinstance(row, list)]
        last = times[-2] if len(times) > 1 else asked.start - 1
        return {"error": [], "result": {pair_name(asked.symbol, asked.quote): rows, "last": last}}

    def elsewhere(self, path: str) -> Answer:
        """Return an error with HTTP 404."""
        return Answer(404, {"error": ["EGeneral:Unknown method"]})

    def limited(self, wait: float) -> Answer:
        """Return an error with HTTP 200."""
        return _error("EAPI:Rate limit exceeded")


def pair_name(symbol: str, quote: str) -> str:
    """Return the name under which Kraken gives a pair's rows, for instance ``XXBTZUSD`` or ``SOLUSD``."""
    base, counter = OWN_NAMES.get(symbol, symbol), OWN_NAMES.get(quote, quote)
    if base in LETTERED and counter in CURRENCIES:
        return f"X{base}Z{counter}"
    if base in LETTERED and counter in ("XBT", "ETH"):
        return f"X{base}X{counter}"
    return base + counter


def _pair(text: str) -> tuple[str, str]:
    """Return symbol and quote of ``XBTUSD``, ``XXBTZUSD`` or ``BTC/USD``, by the names the rest of the world uses."""
    upper = text.upper()
    base, _, quote = upper.partition("/")
    if full := FULL.fullmatch(upper):
        base, quote = full[1], full[2] or full[3]
    elif not quote:
        quote = next((name for name in QUOTES if upper.endswith(name)), "")
        base = upper.removesuffix(quote)
    if not base or not quote:
        raise Refused(_error("EQuery:Unknown asset pair"))
    return OUR_NAMES.get(base, base), OUR_NAMES.get(quote, quote)


def _error(message: str) -> Answer:
    return Answer(200, {"error": [message]})
