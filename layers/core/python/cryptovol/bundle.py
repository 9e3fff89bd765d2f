"""A trained model as a directory of plain files, named by its content.

``bundle.json`` lists every other file with its sha256; its own sha256 is the bundle's name. The same bars, parameters
and code give the same bytes; what differs from run to run (MLflow run, git commit) is in the ledger instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cryptovol import baselines, drift, explain, forest, spec, tables
from cryptovol.bars import Floats
from cryptovol.baselines import Har
from cryptovol.drift import Bounds, Reference
from cryptovol.errors import BarSchemaError, BundleRefusedError, KeyNotFoundError, NotEnoughBarsError
from cryptovol.explain import Explanation, Paths
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.forest import Forest
from cryptovol.intervals import Calibration
from cryptovol.level import Level
from cryptovol.model import Model
from cryptovol.ports import Store
from cryptovol.volatility import EWMA_WINDOW

FORMAT = 3
MANIFEST = "bundle.json"


@dataclass(frozen=True, eq=False)
class Bundle:
    """Everything a forecast needs, and where it came from.

    Parameters
    ----------
    sha256
        The bundle's name.
    header
        ``name, symbol, quote, market, sources, horizon, trained_at, spec, data`` (range and digest of the rows).
    scores
        Out-of-sample errors of the model and its baselines on the same hours.
    model, har, calibration, bounds, reference
        The fitted parts; no reference where the training rows were too few to calibrate drift.
    window
        Out-of-sample hours the scores were taken on: ``time, realized, predicted, har``, each of shape (n,).
    """

    sha256: str
    header: Mapping[str, Any]
    scores: Mapping[str, Any]
    model: Model
    har: Har
    calibration: Calibration
    bounds: Bounds
    reference: Reference | None
    window: Mapping[str, Any]

    @property
    def horizon(self) -> int:
        """Hours ahead."""
        return int(self.header["horizon"])

    @property
    def levels(self) -> tuple[float, ...]:
        """The calibrated interval levels."""
        return tuple(sorted(self.calibration.errors))

    def predict(self, values: Floats) -> Floats:
        """Return the forecast per hour, shape (n,), from features of shape (n, 36)."""
        return self.model.predict(values)

    def explain(self, row: Floats) -> Explanation:
        """Return what each feature of one row, shape (36,), adds to the logarithm of its forecast; see `explain`."""
        return explain.explain(self.model, self._paths, row)

    @cached_property
    def _paths(self) -> Paths:
        return explain.paths(self.model.forest)

    def interval(self, volatility: Floats, level: float) -> tuple[Floats, Floats]:
        """Return lower and upper end per forecast; see `intervals.Calibration.bounds`."""
        return self.calibration.bounds(volatility, level)

    def out_of_distribution(self, row: Floats) -> list[str]:
        """Return the names of the features of one row, shape (36,), outside the training range."""
        return [FEATURE_NAMES[j] for j in self.bounds.outside(row)]

    def baselines(self, log_return: Floats) -> dict[str, float]:
        """Return persistence, EWMA and HAR at the newest hour.

        Parameters
        ----------
        log_return
            Shape (m,), newest last, at least the features' warm-up.

        Raises
        ------
        NotEnoughBarsError
            If there are fewer hours than the warm-up.
        """
        if len(log_return) < WARMUP:
            raise NotEnoughBarsError(
                f"baselines need {WARMUP} hours of bars, found {len(log_return)}", needed=WARMUP, found=len(log_return)
            )
        coverage = float(self.header["spec"]["window_coverage"])
        tail = log_return[-WARMUP:]
        inputs = baselines.har_inputs(tail, coverage=coverage)[-1:]
        # A window's value depends on its own hours alone: no more of them are looked at.
        return {
            "persistence": float(baselines.persistence(tail[-self.horizon :], self.horizon, coverage=coverage)[-1]),
            "ewma": float(baselines.ewma(tail[-EWMA_WINDOW:])[-1]),
            "har": float(self.har.predict(inputs)[0]),
        }


def encode(bundle: Bundle) -> dict[str, bytes]:
    """Return the bundle's files by name, ``bundle.json`` included; `bundle.sha256` is not read."""
    files = {
        "linear.json": tables.encode_json(_linear(bundle.model)),
        "forest.npz": tables.encode_npz(bundle.model.forest.arrays()),
        "har.json": tables.encode_json(
            {"coefficients": list(bundle.har.coefficients), "correction": bundle.har.correction}
        ),
        "intervals.json": tables.encode_json(_intervals(bundle.calibration)),
        "bounds.json": tables.encode_json(
            {"lower": bundle.bounds.lower.tolist(), "upper": bundle.bounds.upper.tolist()}
        ),
        "drift.npz": tables.encode_npz(bundle.reference.arrays() if bundle.reference else {}),
        "scores.json": tables.encode_json(bundle.scores),
        "window.npz": tables.encode_npz(dict(bundle.window)),
    }
    listing = {name: tables.sha256(data) for name, data in files.items()}
    files[MANIFEST] = tables.encode_json({"format": FORMAT, "header": dict(bundle.header), "files": listing})
    return files


def _linear(model: Model) -> dict[str, Any]:
    arrays = {name: getattr(model, name).tolist() for name in ("centre", "scale", "weights", "importance")}
    plain = {name: getattr(model, name) for name in ("intercept", "members", "spread_slope")}
    return {**arrays, **plain, "level": asdict(model.level)}


def _intervals(calibration: Calibration) -> dict[str, Any]:
    ends = {str(level): list(pair) for level, pair in sorted(calibration.errors.items())}
    return {"errors": ends, "rows": calibration.rows, "usual": calibration.usual, "slope": calibration.slope}


def save(store: Store, prefix: str, files: Mapping[str, bytes]) -> None:
    """Write the files under a bundle's key prefix, ``bundle.json`` last: without it there is no bundle."""
    for name in sorted(files, key=lambda name: name == MANIFEST):
        store.put_new(f"{prefix}/{name}", files[name])


def fetch(store: Store, prefix: str, sha256: str) -> Bundle:
    """Return the bundle stored under a key prefix.

    Raises
    ------
    BundleRefusedError
        If a file is missing or does not have its sha256, the format is unknown, or the running feature code is not
        the one the model was fitted with.
    """

    def read(name: str, digest: str) -> bytes:
        try:
            data = store.get(f"{prefix}/{name}").data
        except KeyNotFoundError as error:
            raise BundleRefusedError(f"bundle {sha256[:12]}: {name} is missing; roll back or retrain") from error
        if tables.sha256(data) != digest:
            raise BundleRefusedError(f"bundle {sha256[:12]}: {name} is not the file it was; roll back or retrain")
        return data

    manifest = json.loads(read(MANIFEST, sha256))
    if manifest["format"] != FORMAT:
        raise BundleRefusedError(f"bundle {sha256[:12]} has format {manifest['format']}, this code reads {FORMAT}")
    return decode({name: read(name, digest) for name, digest in manifest["files"].items()}, manifest["header"], sha256)


def decode(files: Mapping[str, bytes], header: Mapping[str, Any], sha256: str) -> Bundle:
    """Return the bundle in already verified files."""
    if header["spec"] != spec.current(header["spec"]["window_coverage"]):
        raise BundleRefusedError(
            f"bundle {sha256[:12]} was fitted with other feature code than runs here; retrain with `cryptovol train`"
        )
    linear, har, interval, bounds = (
        json.loads(files[name]) for name in ("linear.json", "har.json", "intervals.json", "bounds.json")
    )
    try:
        trees = forest.from_arrays(tables.decode_npz(files["forest.npz"]), features=len(FEATURE_NAMES))
        reference = drift.from_arrays(tables.decode_npz(files["drift.npz"]))
        window = tables.decode_npz(files["window.npz"])
    except BarSchemaError as error:
        raise BundleRefusedError(f"bundle {sha256[:12]}: {error}") from error
    model = _model(linear, trees)
    ends = {float(level): (pair[0], pair[1]) for level, pair in interval["errors"].items()}
    return Bundle(
        sha256,
        header,
        json.loads(files["scores.json"]),
        model,
        Har(tuple(har["coefficients"]), har["correction"]),
        Calibration(ends, interval["rows"], interval["usual"], interval["slope"]),
        Bounds(np.asarray(bounds["lower"]), np.asarray(bounds["upper"])),
        reference,
        window,
    )


def _model(linear: Mapping[str, Any], trees: Forest) -> Model:
    centre, scale, weights, importance = (
        np.asarray(linear[name], dtype=np.float64) for name in ("centre", "scale", "weights", "importance")
    )
    level = Level(**linear["level"])
    rest = (linear["members"], level, linear["spread_slope"], importance)
    return Model(centre, scale, weights, linear["intercept"], trees, *rest)
