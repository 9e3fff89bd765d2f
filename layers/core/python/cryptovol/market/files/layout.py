"""Which column of a table is which: the names that vendors give to a bar's columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptovol.bars import PRICES

# Our column: the names a file may use for it, the likelier first. Names are compared without case, blanks as `_`.
ALIASES = {
    "time": (
        "time", "unix", "unix_timestamp", "time_unix", "timestamp", "ts", "open_time", "opens", "datetime", "date",
    ),
    **{name: (name, f"{name}_price") for name in PRICES},
    "volume_base": ("volumefrom", "volume_base", "volume_from", "base_volume", "volume"),
    "volume_quote": ("volumeto", "volume_quote", "volume_to", "quote_volume", "quote_asset_volume"),
    "symbol": ("symbol", "pair"), "quote": ("quote",), "source": ("source",), "fetched_at": ("fetched_at",),
    "date": ("date", "date_str", "datetime"), "hour": ("hour", "hour_str", "hour_of_day"),
}  # fmt: skip
NEEDED = ("time", *PRICES, "volume_base")
# Currencies that prices are given in; only these are cut off a symbol written without a separator.
QUOTES = ("FDUSD", "USDT", "USDC", "USD", "EUR", "GBP")
# Binance's public dumps of spot bars have these columns and, in most years, no header.
DUMP = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """What a header says.

    Parameters
    ----------
    names
        As they stand in the file.
    places
        For each of our columns that the table has, its place. `date` (and `hour`) is there only beside another time.
    pair
        Coin and quote currency if volume columns name them (``Volume BTC``, ``Volume USDT``), else empty texts.
    """

    names: tuple[str, ...]
    places: dict[str, int]
    pair: tuple[str, str]

    @property
    def missing(self) -> list[str]:
        """The columns without which rows are no bars, as names to look for."""
        return [" or ".join(ALIASES[name]) for name in NEEDED if name not in self.places]


def layout(row: Sequence[str]) -> Layout:
    """Return what a row says if it is taken for a header."""
    names = [re.sub(r"[\s_]+", "_", text.strip().lower()) for text in row]
    places: dict[str, int] = {}
    for ours, aliases in ALIASES.items():
        place = next((names.index(alias) for alias in aliases if alias in names), None)
        if place is not None and not (ours == "date" and place == places.get("time")):
            places[ours] = place
    base, quote = _named_volumes(names)
    for ours, place in (("volume_base", base), ("volume_quote", quote)):
        if place is not None:
            places.setdefault(ours, place)
    coin, money = ("" if at is None else names[at].removeprefix("volume_").upper() for at in (base, quote))
    return Layout(tuple(text.strip() for text in row), places, (coin, money))


def _named_volumes(names: Sequence[str]) -> tuple[int | None, int | None]:
    """Return the places of ``volume_<coin>`` and ``volume_<quote currency>``, in whichever order they stand."""
    usual = {alias for ours in ("volume_base", "volume_quote") for alias in ALIASES[ours]}
    found = [at for at, name in enumerate(names) if re.fullmatch(r"volume_[a-z0-9]{2,10}", name) and name not in usual]
    money = [at for at in found if names[at].removeprefix("volume_").upper() in QUOTES]
    if len(money) == 1:
        return next((at for at in found if at not in money), None), money[0]
    return (found[0] if found else None), (found[1] if len(found) > 1 else None)


def pair_of(text: str, *, symbol: str = "", quote: str = "") -> tuple[str, str]:
    """Return coin and quote currency of ``BTC/USDT``, ``BTC-USD``, ``BTCUSD`` or ``BTC``; an unnamed one is empty.

    `symbol` and `quote` are the pair that is expected: a text that is the two of them written together is that pair.
    """
    name = re.sub(r"[/_:]", "-", text.strip().upper())
    if "-" in name:
        base, _, counter = name.partition("-")
        return base, counter
    if quote and name == f"{symbol}{quote}":
        return symbol, quote
    for money in QUOTES:
        if name.endswith(money) and len(name) >= len(money) + 3:
            return name.removesuffix(money), money
    return name, ""
