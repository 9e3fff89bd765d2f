"""What is searched: eight numbers of the ridge and the forest, each between two bounds of `params.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from cryptovol.errors import ConfigError
from cryptovol.params import TrainParams
from cryptovol.tuneparams import SpaceParams

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Counted up when a name is added or changes its meaning: parameters found in another space are not used.
VERSION = 1
WHOLE = ("trees", "depth")
SHARES = ("subsample", "colsample")  # all others are searched on a logarithmic scale
NAMES = tuple(field.name for field in fields(SpaceParams))

Values = Mapping[str, float]
Bounds = Mapping[str, tuple[float, float]]


def values_of(train: TrainParams) -> dict[str, float]:
    """Return the searched numbers of a training block by name."""
    return {name: getattr(train if name == "ridge" else train.forest, name) for name in NAMES}


def with_values(train: TrainParams, values: Values) -> TrainParams:
    """Return the training block with the searched numbers replaced and everything else as it is."""
    forest: dict[str, Any] = {
        name: int(value) if name in WHOLE else float(value) for name, value in values.items() if name != "ridge"
    }
    return replace(train, ridge=float(values["ridge"]), forest=replace(train.forest, **forest))


def bounds(space: SpaceParams, train: TrainParams) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value of each number, widened to hold the one in `params.yaml`.

    Raises
    ------
    ConfigError
        If a pair of bounds is not two rising numbers above zero, or those of a share are above one.
    """
    found = {}
    for name, present in values_of(train).items():
        pair = getattr(space, name)
        most = 1.0 if name in SHARES else float("inf")
        if len(pair) != 2 or not 0 < pair[0] < pair[1] <= most:
            raise ConfigError(
                f"params.yaml: tune.space.{name} must be two rising numbers above 0"
                f"{' and at most 1' if name in SHARES else ''}, not {list(pair)}"
            )
        found[name] = (min(pair[0], present), max(pair[1], present))
    return found


def distributions(limits: Bounds) -> dict[str, BaseDistribution]:
    """Return optuna's form of the bounds."""
    from optuna.distributions import FloatDistribution, IntDistribution

    made: dict[str, BaseDistribution] = {}
    for name, (low, high) in limits.items():
        if name in WHOLE:
            made[name] = IntDistribution(int(low), int(high), log=True)
        else:
            made[name] = FloatDistribution(float(low), float(high), log=name not in SHARES)
    return made


def objection(values: object, limits: Bounds) -> str:
    """Return why these cannot be values of the space, or an empty text."""
    if not isinstance(values, Mapping) or set(values) != set(NAMES):
        named = ", ".join(sorted(map(str, values))) if isinstance(values, Mapping) else repr(values)
        return f"its parameters are {named}; this version searches {', '.join(NAMES)}"
    for name, value in values.items():
        low, high = limits[name]
        if isinstance(value, bool) or not isinstance(value, int if name in WHOLE else int | float):
            return f"its {name} is {value!r}, which is no {'whole ' if name in WHOLE else ''}number"
        if not low <= value <= high:
            return f"its {name} of {value} is outside tune.space, which is {low} to {high}"
    return ""
