"""The venues whose APIs a stand-in server can play."""

from cryptovol.errors import ConfigError
from cryptovol.market.shapes.binance import Binance
from cryptovol.market.shapes.coinbase import Coinbase
from cryptovol.market.shapes.coindesk import CoinDesk
from cryptovol.market.shapes.histohour import Histohour
from cryptovol.market.shapes.kraken import Kraken
from cryptovol.market.shapes.shape import Shape

SHAPES: dict[str, Shape] = {shape.name: shape for shape in (Histohour(), CoinDesk(), Binance(), Coinbase(), Kraken())}


def named(name: str) -> Shape:
    """Return a shape; raise `ConfigError` if there is none of that name."""
    if name not in SHAPES:
        raise ConfigError(f"there is no shape {name!r}. Cure: use one of {', '.join(SHAPES)}")
    return SHAPES[name]
