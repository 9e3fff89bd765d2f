"""The forecast function: logs the hour's own forecast of each horizon, so that each hour can be scored."""

from cryptovol import hourly
from cryptovol.adapters.telemetry import QuietMeter
from cryptovol.edge import stage_handler

# Quiet: `model_predictions` counts what callers were given.
lambda_handler = stage_handler(
    "forecast",
    lambda event, ports, params: hourly.run(
        event, store=ports.store, params=params, clock=ports.clock, meter=QuietMeter()
    ),
)
