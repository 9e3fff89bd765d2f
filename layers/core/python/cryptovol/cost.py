"""What the functions cost on AWS Lambda: GB-seconds and requests from measured seconds and configured memory.

The formula is Lambda's own: each invocation's duration, rounded up to a whole millisecond, times the memory it was
given, times a price, plus a price per request. Source: aws.amazon.com/lambda/pricing; `docs/cost.md` says which of its
numbers could be checked, and what is left out: cold starts, S3, API Gateway, logs, the machine that Airflow runs on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ARCHITECTURES = ("x86_64", "arm64")
DEFAULT_MEMORY_MB = 1024
MEMORY_MB = {"train": 2048, "tune": 2048}  # the one home of what functions are given; deployment reads it here
UNBILLED = frozenset({"version"})  # steps that are no function: they run where Airflow does
API = "predict"
HOURLY = ("ingest", "validate", "featurize", "score")  # stages of both DAGs
DAYS = 30  # of a month
# Parts of a millisecond below this are the binary fraction's, not the clock's: 1.1 s is 1100 ms and not 1101.
_DIGITS = 6


@dataclass(frozen=True)
class CostParams:
    """List prices in USD, of one region, without any free tier.

    Parameters
    ----------
    gb_second_x86, gb_second_arm
        Of one GB-second on each architecture.
    million_requests
        Of a million invocations.
    """

    gb_second_x86: float
    gb_second_arm: float
    million_requests: float

    def gb_second(self, architecture: str) -> float:
        """Return the price of a GB-second; raise `ValueError` for an architecture Lambda does not have."""
        if architecture not in ARCHITECTURES:
            raise ValueError(f"{architecture!r} is no architecture of Lambda; use one of {', '.join(ARCHITECTURES)}")
        return self.gb_second_x86 if architecture == "x86_64" else self.gb_second_arm


@dataclass(frozen=True)
class Use:
    """What one function used.

    Parameters
    ----------
    stage
        The function, for instance ``train``; `API` is the HTTP API.
    memory_mb
        What it was given, in MiB.
    requests
        Invocations; a month's plan may have parts of one.
    gb_seconds
        Billed, of all of them.
    """

    stage: str
    memory_mb: int
    requests: float
    gb_seconds: float

    def times(self, factor: float) -> Use:
        """Return so many of the same."""
        return Use(self.stage, self.memory_mb, self.requests * factor, self.gb_seconds * factor)

    def usd(self, prices: CostParams, architecture: str = ARCHITECTURES[0]) -> float:
        """Return its price in USD."""
        return self.gb_seconds * prices.gb_second(architecture) + self.requests * prices.million_requests / 1e6


def memory_mb(stage: str) -> int:
    """Return the memory in MiB that a stage's function is given."""
    return MEMORY_MB.get(stage, DEFAULT_MEMORY_MB)


def billed_milliseconds(seconds: float) -> int:
    """Return what Lambda bills for an invocation: its duration, rounded up to a whole millisecond.

    Raises
    ------
    ValueError
        If the duration is negative or not finite.
    """
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{seconds} is no duration in seconds")
    return math.ceil(round(seconds * 1000, _DIGITS))


def use(stage: str, durations: Iterable[float], memory: int | None = None) -> Use:
    """Return what invocations of one stage used.

    Parameters
    ----------
    durations
        Seconds of each, in any order.
    memory
        MiB; None is what the stage is deployed with.
    """
    given = memory_mb(stage) if memory is None else memory
    billed = [billed_milliseconds(seconds) for seconds in durations]
    return Use(stage, given, len(billed), sum(billed) / 1000 * given / 1024)


def month(
    measured: Mapping[str, Sequence[float]],
    *,
    symbols: int,
    runs_per_day: float,
    scores_per_day: float,
    forecasts: float,
) -> list[Use]:
    """Return what each function would use in a month of `DAYS` days, at the mean of its measured invocations.

    Parameters
    ----------
    measured
        Seconds of the measured invocations by stage, none empty. Steps that are no function are left out.
    symbols, runs_per_day
        Each run invokes each stage once per symbol.
    scores_per_day
        Runs of the DAG `score_forecasts` per symbol beside those: all stages but `train`, and `forecast`; `watch`
        runs as often.
    forecasts
        Requests to the API in the month.

    Notes
    -----
    `tune` runs once a week.
    """
    runs = symbols * runs_per_day * DAYS
    hourly = symbols * scores_per_day * DAYS
    counts = dict.fromkeys(HOURLY, runs + hourly)
    counts |= {"forecast": hourly, "watch": hourly, "tune": symbols * DAYS / 7, API: forecasts}
    found = []
    for stage, durations in measured.items():
        if stage not in UNBILLED:
            one = use(stage, durations)
            found.append(one.times(counts.get(stage, runs) / one.requests))
    return found


def total(uses: Iterable[Use], prices: CostParams, architecture: str = ARCHITECTURES[0]) -> tuple[float, float, float]:
    """Return the GB-seconds, requests and USD of all together."""
    known = list(uses)
    return (
        sum(each.gb_seconds for each in known),
        sum(each.requests for each in known),
        sum(each.usd(prices, architecture) for each in known),
    )
