"""The validate function: the gate; refuses a bad batch."""

from cryptovol.edge import stage_handler
from cryptovol.stages import validate

lambda_handler = stage_handler(
    "validate",
    lambda event, ports, params: validate.run(event, store=ports.store, params=params),
)
