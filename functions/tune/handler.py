"""The tune function: searches better parameters on the newest feature table, for the next training to use."""

from cryptovol.edge import stage_handler
from cryptovol.stages import tune

lambda_handler = stage_handler(
    "tune",
    lambda event, ports, params: tune.run(
        event, store=ports.store, tracker=ports.tracker, params=params, market=ports.settings.market
    ),
)
