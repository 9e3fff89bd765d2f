"""The simulated market: bars to practise on. It is a model of how volatility behaves, not a forecast of any coin.

Per hour ``t`` the log price of a coin moves by

::

    r(t) = sum of 12 steps sigma(t) * z / sqrt(12), now and then a jump, and a weak pull to the coin's level
    log sigma(t) = log scale + slow(t) + middle(t) + fast(t) + hour-of-day season + weekday season

`slow`, `middle` and `fast` are AR(1) processes of different persistence (half-lives of about 60 days, 3 days and 2
hours), so that volatility clusters over many time scales. Their shocks lean against the last hour's return: a fall
raises volatility more than a rise (leverage). Mixing of volatilities, and jumps that come more often when
volatility is high, make the returns' tails fat. Coins share part of their shocks with the whole market. Open,
high, low and close are read off the 12 steps, so that range estimators carry information beyond the close. Volume
follows volatility, the size of the move, and noise of its own. Some hours are missing.

Stochastic volatility as a log AR(1) is Taylor's model (Taylor, 1986, Modelling Financial Time Series); everything
else here is plain construction. `docs/simulated-market.md` holds its stylised facts against those of real hourly bars.

Random numbers come in blocks seeded by the market's seed, the coin and the block's number, and every block is
computed whole from the state the one before it left: asking for more hours never changes the earlier bars.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.bars import Bars, Floats, Ints, Mask
from cryptovol.errors import UnknownSymbolError
from cryptovol.params import MarketParams
from cryptovol.times import HOUR, parse_instant

BLOCK = 1024
STEPS = 12  # of five minutes
SOURCE = "simulated"

RATES = {"USD": 1.0, "USDT": 1.0, "EUR": 0.92}  # quote currency per dollar, fixed

COMMON = 0.7  # share of the shocks' variance that all coins have in common
LEVERAGE = -0.25  # correlation of a return's shock with the next hour's volatility shocks
PULL = 1.6e-4  # per hour, towards the coin's level: a half-life of 180 days
JUMP_CHANCE = 0.002  # per hour at middling volatility
JUMP_SIZE = 2.5  # mean size, in that hour's sigma
MEAN_GAP = 3.0  # hours

PERSISTENCE = np.array([0.9995, 0.990, 0.70])
SPREAD = np.array([0.28, 0.36, 0.30])  # standard deviation of slow, middle and fast log volatility


@dataclass(frozen=True)
class Coin:
    """A coin's long-run level in dollars, its hourly volatility, and dollars traded in a middling hour."""

    level: float
    scale: float
    turnover: float

    @property
    def decimals(self) -> int:
        """Decimals of a quoted price."""
        return 2 if self.level >= 1000 else 3 if self.level >= 10 else 5


COINS = {
    "BTC": Coin(45_000.0, 0.0050, 2.0e7),
    "ETH": Coin(2_500.0, 0.0063, 1.2e7),
    "BNB": Coin(350.0, 0.0062, 2.5e6),
    "SOL": Coin(90.0, 0.0095, 4.0e6),
    "LTC": Coin(85.0, 0.0075, 1.2e6),
    "XRP": Coin(0.60, 0.0078, 3.0e6),
    "ADA": Coin(0.50, 0.0083, 1.5e6),
    "DOGE": Coin(0.12, 0.0098, 2.0e6),
}


@dataclass(frozen=True)
class _State:
    """What one block leaves to the next: log price over level, log volatility parts (3,), the last hour's shock."""

    price: float
    parts: Floats
    shock: float


def path(params: MarketParams, symbol: str, quote: str = "USD", *, until: int) -> Bars:
    """Return the market's bars from its start to those closed by `until`, oldest first, hours without a bar left out.

    Parameters
    ----------
    params
        Seed, start and share of missing hours.
    symbol, quote
        One of `COINS`; one of `RATES`.
    until
        Unix seconds.

    Returns
    -------
    Bars
        With source ``simulated`` and `fetched_at` `until`. A later `until` gives the same earlier bars bit for bit.

    Raises
    ------
    UnknownSymbolError
        If the market has no such pair.
    """
    if symbol not in COINS or quote not in RATES:
        known = f"{', '.join(COINS)} in {', '.join(RATES)}"
        raise UnknownSymbolError(f"the simulated market does not know {symbol}/{quote}; it has {known}")
    start = parse_instant(params.start)
    hours = max(0, (until - start) // HOUR)
    blocks = _blocks(params, symbol, start, count=-(-hours // BLOCK))
    tables, there = zip(*blocks, strict=True) if hours else ((np.empty((0, 5)),), (np.empty(0, dtype=bool),))
    rows = np.flatnonzero(np.concatenate(there)[:hours])
    table = np.concatenate(tables)[rows]
    prices = np.round(table[:, :4] * RATES[quote], COINS[symbol].decimals)
    volume = np.round(table[:, 4], 4)
    return bars_module.make(
        start + HOUR * rows, prices, volume_base=volume, volume_quote=np.round(volume * prices.mean(axis=1), 2),
        symbol=symbol, quote=quote, source=SOURCE, fetched_at=until,
    )  # fmt: skip


def _blocks(params: MarketParams, symbol: str, start: int, *, count: int) -> Iterator[tuple[Floats, Mask]]:
    """Yield each block's open, high, low, close in dollars and volume in coins, (1024, 5), and which hours exist."""
    coin = COINS[symbol]
    state = _State(0.0, np.zeros(3), 0.0)
    for number in range(count):
        common = np.random.default_rng([params.seed, 0, number])
        own = np.random.default_rng([params.seed, zlib.crc32(symbol.encode()), number])
        time = start + HOUR * (number * BLOCK + np.arange(BLOCK, dtype=np.int64))
        steps = _mixed(common, own, (BLOCK, STEPS))
        shock = steps.sum(axis=1) / np.sqrt(STEPS)
        parts = _log_volatility(_mixed(common, own, (BLOCK, 3)), np.r_[state.shock, shock[:-1]], state.parts)
        sigma = coin.scale * np.exp(parts.sum(axis=1) + _season(time))
        moves = sigma[:, None] * (steps / np.sqrt(STEPS) + _jumps(own, parts))
        opens, walk = _walk(moves, state.price)
        volume = _volume(own, coin, sigma, walk - opens[:, None])
        yield _quoted(coin, opens, walk, volume), _present(own, params.gap_share)
        state = _State(float(walk[-1, -1]), parts[-1], float(shock[-1]))


def _mixed(common: np.random.Generator, own: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Return standard normals that share `COMMON` of their variance with every other coin's."""
    shared, alone = common.standard_normal(shape), own.standard_normal(shape)
    return np.asarray(np.sqrt(COMMON) * shared + np.sqrt(1 - COMMON) * alone, dtype=np.float64)


def _log_volatility(noise: Floats, last_shock: Floats, before: Floats) -> Floats:
    """Return the three log volatility parts, shape (n, 3), going on from `before`, shape (3,)."""
    shocks = LEVERAGE * last_shock[:, None] + np.sqrt(1 - LEVERAGE**2) * noise
    return np.stack([
        _ar1(SPREAD[i] * np.sqrt(1 - PERSISTENCE[i] ** 2) * shocks[:, i], float(PERSISTENCE[i]), float(before[i]))
        for i in range(3)
    ], axis=1)  # fmt: skip


def _ar1(shocks: Floats, persistence: float, before: float) -> Floats:
    """Return ``x[t] = persistence * x[t-1] + shocks[t]``, by doubling the reach of each sum instead of a loop."""
    x = shocks.copy()
    x[0] += persistence * before
    reach = 1
    while reach < len(x):
        x[reach:] = x[reach:] + persistence**reach * x[:-reach]
        reach *= 2
    return x


def _season(time: Ints) -> Floats:
    """Return the log volatility added by hour of day (high when America is awake) and by weekday (quiet weekends)."""
    hour = (time // HOUR) % 24
    weekday = (time // (24 * HOUR) + 3) % 7  # the epoch was a Thursday; 0 is Monday
    turn = 2 * np.pi / 24
    daily = 0.20 * np.cos(turn * (hour - 16)) + 0.12 * np.cos(2 * turn * (hour - 14.5))
    return np.asarray(daily + np.where(weekday >= 5, -0.28, 0.06), dtype=np.float64)


def _jumps(own: np.random.Generator, parts: Floats) -> Floats:
    """Return jumps per step in units of sigma, shape (n, 12): rare, two-sided, more frequent in rough hours."""
    n = len(parts)
    chance = np.minimum(0.25, JUMP_CHANCE * np.exp(2 * parts[:, 1]))
    happens = own.random(n) < chance
    size = own.laplace(0.0, JUMP_SIZE, n)
    step = own.integers(0, STEPS, n)
    jumps = np.zeros((n, STEPS))
    jumps[np.arange(n), step] = np.where(happens, size, 0.0)
    return jumps


def _walk(moves: Floats, before: float) -> tuple[Floats, Floats]:
    """Return each hour's opening log price (n,) and the log price after each step (n, 12), over the coin's level."""
    closes = _ar1(moves.sum(axis=1), 1.0 - PULL, before)
    opens = np.r_[before, closes[:-1]]
    walk = opens[:, None] + np.cumsum(moves, axis=1)
    # The pull of the whole hour is spread over its steps, so that the last step is the close.
    walk += (closes - walk[:, -1])[:, None] * (np.arange(1, STEPS + 1) / STEPS)
    return opens, walk


def _volume(own: np.random.Generator, coin: Coin, sigma: Floats, excursion: Floats) -> Floats:
    """Return dollars traded per hour: more in volatile hours, more after a wide swing, never nothing."""
    width = excursion.max(axis=1) - excursion.min(axis=1)
    swing = np.log(width / (1.5 * sigma) + 0.05)
    noise = own.standard_normal(len(sigma))
    return np.asarray(coin.turnover * (sigma / coin.scale) ** 0.9 * np.exp(0.6 * swing + 0.35 * noise))


def _quoted(coin: Coin, opens: Floats, walk: Floats, turnover: Floats) -> Floats:
    """Return open, high, low, close in dollars and volume in coins, shape (n, 5)."""
    high = np.maximum(opens, walk.max(axis=1))
    low = np.minimum(opens, walk.min(axis=1))
    prices = coin.level * np.exp(np.stack([opens, high, low, walk[:, -1]], axis=1))
    return np.column_stack([prices, turnover / prices[:, 3]])


def _present(own: np.random.Generator, gap_share: float) -> Mask:
    """Return which hours have a bar: gaps start at random and last `MEAN_GAP` hours on average."""
    begins = own.random(BLOCK) < gap_share / MEAN_GAP
    lengths = own.geometric(1 / MEAN_GAP, BLOCK)
    present = np.ones(BLOCK, dtype=bool)
    for at in np.flatnonzero(begins):
        present[at : at + lengths[at]] = False
    return present
