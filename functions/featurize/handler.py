"""The featurize function: builds features and targets from clean bars."""

from cryptovol.edge import stage_handler
from cryptovol.stages import featurize

lambda_handler = stage_handler(
    "featurize",
    lambda event, ports, params: featurize.run(event, store=ports.store, params=params),
)
