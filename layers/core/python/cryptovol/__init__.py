"""Crypto volatility forecasts: the domain, its stages and its adapters.

This package is the Lambda layer: what is tested here is, byte for byte, what ships. It imports nothing on
its own, so a function pays only for the modules it names.
"""

__version__ = "0.1.0"
