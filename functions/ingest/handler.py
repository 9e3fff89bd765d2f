"""The ingest function: fetches the bars closed by `as_of` that are not stored yet."""

from cryptovol.edge import stage_handler
from cryptovol.stages import ingest

lambda_handler = stage_handler(
    "ingest",
    lambda event, ports, params: ingest.run(
        event, store=ports.store, source=ports.source, second=ports.second, clock=ports.clock, params=params
    ),
)
