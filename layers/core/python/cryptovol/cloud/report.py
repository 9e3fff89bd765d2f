"""What a run ends with: the forecasts, the baselines' scores and the addresses, as text or JSON."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from cryptovol import keys
from cryptovol.cloud.progress import Status
from cryptovol.errors import CryptovolError, ModelNotFoundError, TransientError
from cryptovol.times import format_instant

Forecast = dict[str, Any]
LABELS = {
    "api_url": "API", "mlflow_url": "MLflow", "metrics_url": "metrics", "cloud_url": "S3 and Lambda",
    "airflow_url": "Airflow", "prometheus_url": "Prometheus", "alertmanager_url": "Alertmanager",
}  # fmt: skip
SIMULATED = (
    "SIMULATED BARS: made-up prices, for a try-out only. `cryptovol sources check` shows which real markets answer"
)


def teller(out: Callable[[], TextIO]) -> Callable[[str, float], None]:
    """Return what prints one line per part of the lane that is up.

    The stream is asked for at each line: a live table puts its own in place of the terminal's meanwhile.
    """

    def say(name: str, seconds: float) -> None:
        print(f"  up  {name:<22}{seconds:>5.1f} s", file=out(), flush=True)

    return say


def addresses_text(lane: Mapping[str, Any]) -> str:
    """Return the addresses as lines."""
    lines = [f"  {label:<14}{lane[name]}" for name, label in LABELS.items() if lane.get(name)]
    return "\n".join([f"market: {lane['market']} (source {lane['source']})", *lines])


def ask(api_url: str, body: Mapping[str, Any]) -> Forecast:
    """Return the API's forecast.

    Raises
    ------
    ModelNotFoundError
        If the API says that there is no champion.
    TransientError
        If it does not answer, or answers with another problem; the message is the problem's own.
    """
    request = urllib.request.Request(
        f"{api_url}/predict", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            forecast: Forecast = json.loads(answer.read())
            return forecast
    except urllib.error.HTTPError as error:
        raise _refused(error.code, error.read()) from error
    except (OSError, ValueError) as error:
        raise TransientError(f"POST /predict at {api_url} failed: {error}. Cure: see var/logs/api.log") from error


def _refused(status: int, body: bytes) -> CryptovolError:
    """Return the error that a problem document stands for."""
    try:
        problem = json.loads(body)
        detail, code = problem.get("detail") or problem.get("title"), problem.get("code")
    except (ValueError, AttributeError):
        detail, code = body.decode("utf-8", "replace")[:200], ""
    if code == ModelNotFoundError.code:
        return ModelNotFoundError(str(detail))
    return TransientError(f"POST /predict answered {status}: {detail}")


def forecasts_text(forecasts: Sequence[Forecast]) -> str:
    """Return the forecasts as a table: volatility per hour with its interval, annualized, and the baselines."""
    if not forecasts:
        return ""
    names = list(dict.fromkeys(name for forecast in forecasts for name in forecast["baselines"]))
    head = ["symbol", "horizon", "volatility/h", "interval", "annualized", *names, "model"]
    rows = [head]
    for forecast in forecasts:
        interval = forecast["interval"]
        rows.append(
            [
                forecast["symbol"],
                f"{forecast['horizon_hours']} h",
                _percent(forecast["volatility"]),
                f"{_percent(interval['lower'])} to {_percent(interval['upper'])} ({interval['level']:.0%})",
                f"{forecast['volatility_annualized']:.1%}",
                *(_percent(forecast["baselines"].get(name)) for name in names),
                f"{forecast['model']['name']} v{forecast['model']['version']}",
            ]
        )
    doubts = [
        f"  {f['symbol']} {f['horizon_hours']} h: {', '.join(f['warnings'])}" for f in forecasts if f.get("warnings")
    ]
    return "\n".join([table_text(rows), *doubts])


def scores_text(statuses: Mapping[tuple[str, str], Status]) -> str:
    """Return the challengers' QLIKE beside the baselines' on the same untouched hours; smaller is better."""
    rows: list[list[str]] = []
    for (symbol, stage), status in statuses.items():
        models = status.result.get("models", {}) if stage == "train" else {}
        for horizon, model in sorted(models.items(), key=lambda item: int(item[0])):
            names = sorted(model["qlike"], key=lambda name: (name != "model", name))
            if not rows:
                rows.append(["symbol", "horizon", *names, "decision"])
            figures = [f"{model['qlike'][name]:.4f}" for name in names]
            rows.append([symbol, f"{horizon} h", *figures, f"{model['decision']}: {model['reason']}"])
    return table_text(rows)


def places_text(
    statuses: Mapping[tuple[str, str], Status], as_of: int, *, place: Callable[[str], str], api_url: str
) -> str:
    """Return where each symbol's gate report is, and its scoreboard if there is an API; `place` is asked by key."""
    lines = []
    for (symbol, stage), status in statuses.items():
        if stage == "ingest" and status.result.get("market"):
            market, pair = status.result["market"], keys.series(symbol, status.result["quote"])
            page = keys.gate_report(market, pair, format_instant(as_of), suffix="html")
            lines.append(f"  gate report   {place(page)}")
            lines += [f"  scoreboard    {api_url}/scoreboard/{symbol}"] if api_url else []
    return "\n".join(lines)


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as an aligned table, the first row its head."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.3%}"
