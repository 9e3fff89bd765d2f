"""What a run of the pipeline would have cost on Lambda, from the durations in its status objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cryptovol import cost
from cryptovol.cloud.progress import FINISHED, Status
from cryptovol.cost import CostParams, Use


def uses(statuses: Iterable[Status]) -> list[Use]:
    """Return what each finished stage used, refused and failed ones too: Lambda bills them all."""
    return [
        cost.use(status.stage, [status.seconds])
        for status in statuses
        if status.state in FINISHED and status.stage not in cost.UNBILLED
    ]


def body(statuses: Iterable[Status], prices: CostParams) -> dict[str, Any]:
    """Return the run's GB-seconds, requests and USD on both architectures."""
    found = uses(statuses)
    usd = {name: cost.total(found, prices, name)[2] for name in cost.ARCHITECTURES}
    gb_seconds, requests, _ = cost.total(found, prices)
    return {"gb_seconds": gb_seconds, "requests": requests, "usd": usd}


def text(statuses: Mapping[tuple[str, str], Status], prices: CostParams) -> str:
    """Return the same as one line, or an empty text if nothing finished."""
    told = body(statuses.values(), prices)
    if not told["requests"]:
        return ""
    usd = " or ".join(f"{amount:.6f} on {name}" for name, amount in told["usd"].items())
    seconds, requests = told["gb_seconds"], told["requests"]
    return f"  {seconds:.1f} GB-seconds and {requests} requests: USD {usd}, at list prices, without cold starts"
