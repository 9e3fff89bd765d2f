"""The score function: scores matured forecasts against what came true."""

from cryptovol.edge import stage_handler
from cryptovol.stages import score

lambda_handler = stage_handler(
    "score",
    lambda event, ports, params: score.run(event, store=ports.store, params=params),
)
