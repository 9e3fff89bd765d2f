"""The metric contract: every operational metric's name, kind, labels and unit, declared once.

The functions and the API may emit only these (`ports.Meter`), the sidecar exposes only these, and dashboards and
alerts may name only these. Scores (forecast quality) are in `scores.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

NAMESPACE = "Cryptovol"  # of the EMF blobs; the sidecar leaves others' metrics alone

LATENCY_BUCKETS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.5, 2.5, 5.0)
DURATION_BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0)
VOLATILITY_BUCKETS = (0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05)


@dataclass(frozen=True)
class Metric:
    """One metric: `unit` is CloudWatch's unit in EMF and `help` ends up in the exposition."""

    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str
    buckets: tuple[float, ...] = ()


CONTRACT: dict[str, Metric] = {
    "http_requests_total": Metric(
        "counter", ("endpoint", "method", "status"), "Count", "Requests answered by the API."
    ),
    "prediction_latency": Metric(
        "histogram", ("endpoint",), "Seconds", "Seconds from request to response.", LATENCY_BUCKETS
    ),
    "model_predictions": Metric(
        "histogram", ("model",), "None", "Predicted volatility per hour of each forecast served.", VOLATILITY_BUCKETS
    ),
    "data_drift_ratio": Metric(
        "gauge", ("model",), "None", "Share of features that drifted from the training data, 0 to 1."
    ),
    "feature_drift_score": Metric(
        "gauge", ("model", "feature"), "None", "Evidence that a feature drifted, over its limit: above 1 it did."
    ),
    "data_drift_last_evaluation_timestamp_seconds": Metric(
        "gauge", ("model",), "Seconds", "Unix time as of which drift was last evaluated."
    ),
    "feature_ood_total": Metric(
        "counter", ("feature", "reason"), "Count", "Feature values outside the training range."
    ),
    "stage_runs_total": Metric(
        "counter", ("stage", "outcome"), "Count", "Stage runs by outcome: done, refused, failed."
    ),
    "stage_duration_seconds": Metric("histogram", ("stage",), "Seconds", "Seconds a stage took.", DURATION_BUCKETS),
    "stage_last_success_timestamp_seconds": Metric(
        "gauge", ("stage", "series"), "Seconds", "Unix time at which a stage last ended well."
    ),
    "stage_rows": Metric("gauge", ("stage", "series"), "Count", "Rows the stage's newest run wrote."),
    "stage_gigabyte_seconds_total": Metric(
        "counter", ("stage",), "None", "GB-seconds Lambda bills for a stage: its seconds times its memory."
    ),
    "stage_cost_usd_total": Metric(
        "counter", ("stage",), "None", "USD for a stage at the list prices of params.yaml, free tier ignored."
    ),
    "gate_findings_total": Metric(
        "counter", ("rule",), "Count", "Rows found by each rule of the gate, added up over runs."
    ),
    "gate_rule_refusals_total": Metric("counter", ("rule",), "Count", "Batches refused by each rule of the gate."),
    "gate_refusals_total": Metric("counter", ("series",), "Count", "Batches refused by the gate."),
    "bars_ingested_total": Metric(
        "counter", ("series", "kind"), "Count", "Bars written by ingest: new, revised, repaired."
    ),
    "model_trained_timestamp_seconds": Metric(
        "gauge", ("model",), "Seconds", "Unix time up to which the champion was trained."
    ),
    "data_newest_timestamp_seconds": Metric(
        "gauge", ("series",), "Seconds", "Unix time at which the newest bar closed."
    ),
    "store_reachable": Metric(
        "gauge", (), "None", "Whether the object store answered the API when it was last asked, 0 or 1."
    ),
    "bundle_refusals_total": Metric(
        "counter", ("series",), "Count", "Champions that the API refused to serve, each counted once."
    ),
    "answers_unrecorded_total": Metric(
        "counter", ("reason",), "Count", "Forecasts given away without a record: disk, full."
    ),
    "answers_pending_bytes": Metric("gauge", (), "None", "Bytes of records that are not in the store yet."),
    "live_qlike": Metric("gauge", ("model", "window"), "None", "QLIKE of matured forecasts over a window of hours."),
    "live_qlike_har": Metric("gauge", ("model", "window"), "None", "QLIKE of the HAR baseline on the same hours."),
    "live_rmse": Metric(
        "gauge", ("model", "window"), "None", "RMSE, per hour, of matured forecasts over a window of hours."
    ),
    "live_rmse_har": Metric(
        "gauge", ("model", "window"), "None", "RMSE, per hour, of the HAR baseline on the same hours."
    ),
    "live_bias": Metric(
        "gauge", ("model", "window"), "None", "Mean forecast over mean realized volatility: 1 is without bias."
    ),
    "forecasts_matured_total": Metric(
        "counter", ("model",), "Count", "Forecasts whose outcome became known, each counted once."
    ),
    "forecasts_late_total": Metric(
        "counter", ("model",), "Count", "Those of them that an earlier score run lacked bars or entries for."
    ),
    "live_coverage": Metric("gauge", ("model", "window"), "None", "Share of realized values inside the 90 % interval."),
}
