"""The venues on the network, each by its dialect."""

from __future__ import annotations

from cryptovol.adapters.sources.binance import Binance
from cryptovol.adapters.sources.coinbase import Coinbase
from cryptovol.adapters.sources.coindesk import CoinDesk
from cryptovol.adapters.sources.dialect import Dialect
from cryptovol.adapters.sources.histohour import Histohour
from cryptovol.adapters.sources.kraken import Kraken

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (Histohour(), CoinDesk(), Coinbase(), Kraken(), Binance())
}
