"""The watch function: decides whether drift or decay calls for a retraining out of turn."""

from cryptovol import watching
from cryptovol.edge import stage_handler

lambda_handler = stage_handler(
    "watch",
    lambda event, ports, params: watching.run(event, store=ports.store, params=params, market=ports.settings.market),
)
