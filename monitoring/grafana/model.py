"""The page for whoever trusts the forecast: what it says, whether the world moved, and whether it beats HAR."""

from __future__ import annotations

from monitoring.grafana.panels import EVENTS_PER_SECOND, PLAIN, SECONDS, SHARE, Page, Panel, Query, gained

_MODEL = '{model=~"$model"}'
_RATE = "[$__rate_interval]"
_LIVE = '{model=~"$model",window=~"$window"}'


def _predicted(share: float) -> str:
    buckets = f"sum by (le) (rate(model_predictions_bucket{_MODEL}{_RATE}))"
    return f"histogram_quantile({share}, {buckets})"


_NUMBERS = [
    Panel(
        "number", "Forecasts", EVENTS_PER_SECOND, (Query(f"sum(rate(model_predictions_count{_MODEL}{_RATE}))", "forecasts"),),
        "Forecasts served per second.", 6,
    ),
    Panel(
        "number", "Drift", SHARE, (Query(f"max(data_drift_ratio{_MODEL})", "drifted features"),),
        "Share of the 36 features that drifted from the training data, of the model that drifted most.", 6, limit=0.15,
    ),
    Panel(
        "number", "QLIKE against HAR", SHARE, (Query(f"max(live_qlike{_LIVE} / live_qlike_har{_LIVE} - 1)", "worse than HAR by"),),
        "QLIKE of the worst model and window over that of HAR on the same hours. Above 0 HAR would have been better.",
        6, limit=0.0,
    ),
    Panel(
        "number", "Model age", SECONDS, (Query(f"max(time() - model_trained_timestamp_seconds{_MODEL})", "oldest champion"),),
        "Time since the end of the oldest champion's training data.", 6,
    ),
]  # fmt: skip

_LINES = [
    Panel(
        "lines", "Forecasts by model", EVENTS_PER_SECOND,
        (Query(f"sum by (model) (rate(model_predictions_count{_MODEL}{_RATE}))", "{{model}}"),), "Served per second.",
    ),
    Panel(
        "lines", "Predicted volatility", SHARE,
        tuple(Query(_predicted(share), f"P{100 * share:.0f}") for share in (0.1, 0.5, 0.9)),
        "Per hour, of the forecasts served: interpolated in the buckets of model_predictions.",
    ),
    Panel(
        "lines", "Drift ratio", SHARE, (Query(f"data_drift_ratio{_MODEL}", "{{model}}"),),
        "Share of drifted features. No line where fewer rows were served than one window holds.", limit=0.15,
    ),
    Panel(
        "bars", "Drift by feature", PLAIN,
        (Query(f"topk(10, max by (feature) (feature_drift_score{_MODEL}))", "{{feature}}"),),
        "The ten features with most evidence, over its limit: above 1 the feature drifted.", limit=1.0,
    ),
    Panel(
        "lines", "Age of the drift evaluation", SECONDS,
        (Query(f"time() - data_drift_last_evaluation_timestamp_seconds{_MODEL}", "{{model}}"),),
        "Drift is evaluated by the score stage; an old value says nothing about now.",
    ),
    Panel(
        "lines", "Values outside training", EVENTS_PER_SECOND,
        (Query(f"sum by (feature, reason) (rate(feature_ood_total{_RATE}))", "{{feature}} {{reason}}"),),
        "Feature values per second outside the training bounds, or missing, by feature.",
    ),
    Panel(
        "lines", "Values outside training, per forecast", PLAIN,
        (Query(f"sum(rate(feature_ood_total{_RATE})) / sum(rate(model_predictions_count{_RATE}))", "values per forecast"),),
        "Of all models; one forecast has 36 values.",
    ),
    Panel(
        "lines", "Live QLIKE", PLAIN,
        (
            Query(f"live_qlike{_LIVE}", "{{model}} {{window}} h"),
            Query(f"live_qlike_har{_LIVE}", "HAR beside {{model}} {{window}} h"),
        ),
        "Of forecasts whose horizon has passed. Smaller is better; the champion should stay below HAR.",
    ),
    Panel(
        "lines", "Live RMSE", SHARE,
        (
            Query(f"live_rmse{_LIVE}", "{{model}} {{window}} h"),
            Query(f"live_rmse_har{_LIVE}", "HAR beside {{model}} {{window}} h"),
        ),
        "In volatility per hour, of forecasts whose horizon has passed.",
    ),
    Panel(
        "lines", "Forecast against realized", PLAIN, (Query(f"live_bias{_LIVE}", "{{model}} {{window}} h"),),
        "Mean forecast over mean realized volatility: 1 is without bias. Hour by hour it is on the page at /.",
    ),
    Panel(
        "bars", "Forecasts with an outcome", PLAIN,
        (
            Query(gained("forecasts_matured_total", "model", _MODEL), "{{model}}"),
            Query(gained("forecasts_late_total", "model", _MODEL), "late: {{model}}"),
        ),
        "In the time range shown. Late: an earlier run of the score stage lacked their bars or entries.",
    ),
    Panel(
        "lines", "Coverage of the 90 % interval", SHARE, (Query(f"live_coverage{_LIVE}", "{{model}} {{window}} h"),),
        "Share of realized values inside the interval. The dashed line is what was promised.", limit=0.9, low=True,
    ),
    Panel(
        "lines", "Model age", SECONDS, (Query(f"time() - model_trained_timestamp_seconds{_MODEL}", "{{model}}"),),
        "Since the end of the champion's training data. It falls when a champion changes.",
    ),
]  # fmt: skip

PAGE = Page(
    uid="cryptovol-model",
    title="Cryptovol: Model",
    about="What the model forecasts, whether the data moved away from its training, and whether it beats HAR.",
    since="now-24h",
    panels=[*_NUMBERS, *_LINES],
    selectors={"model": "model_predictions_count", "window": "live_qlike"},
    events={
        "Alerts": Query('ALERTS{alertstate="firing"}', "{{alertname}}"),
        "New champion": Query(f"changes(model_trained_timestamp_seconds{_MODEL}[2m]) > 0", "{{model}}"),
    },
)
