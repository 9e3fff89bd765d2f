"""The train function: trains a challenger per horizon, scores it, and promotes it or not."""

from cryptovol.edge import stage_handler
from cryptovol.stages import train

lambda_handler = stage_handler(
    "train",
    lambda event, ports, params: train.run(
        event, store=ports.store, tracker=ports.tracker, params=params, git_commit=ports.settings.git_commit
    ),
)
