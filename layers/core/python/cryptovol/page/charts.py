"""The page's charts as plain data for plotly.js; colours are names that the page's script looks up in its style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from cryptovol.page.texts import NAMES

Body = Mapping[str, Any]
Chart = dict[str, Any]

DASHES = {"model": "solid", "har": "dash", "garch": "dashdot", "ewma": "dot", "persistence": "longdash"}
SYMBOLS = {"model": "circle", "har": "diamond", "garch": "square", "ewma": "triangle-up", "persistence": "x"}
FAMILIES = ("model", "har", "garch", "ewma", "persistence")  # colours of feature families, in order of appearance
TICKS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100)  # of logarithmic axes
TOP = 20  # features shown
HEIGHT = 330


def chart(key: str, data: Sequence[Chart], *, x: Chart, y: Chart, height: int = HEIGHT, **layout: Any) -> Chart:
    """Return a chart with the page's look; `key` is the id of its place in the page."""
    axis = {
        "gridcolor": "$rule", "linecolor": "$rule", "zerolinecolor": "$soft", "zeroline": False, "automargin": True,
        "ticks": "outside", "tickcolor": "$rule",
    }  # fmt: skip
    return {
        "id": key, "data": list(data),
        "layout": {
            "font": {"family": "system-ui, sans-serif", "size": 12, "color": "$soft"}, "height": height,
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "x unified",
            "hoverlabel": {"bgcolor": "$ground", "bordercolor": "$rule", "font": {"color": "$ink"}},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"color": "$ink"}},
            "margin": {"l": 52, "r": 14, "t": 44, "b": 42}, "uirevision": 1,
            "xaxis": {**axis, **x}, "yaxis": {**axis, **y}, **layout,
        },
    }  # fmt: skip


def title(text: str) -> Chart:
    """Return an axis title."""
    return {"text": text, "standoff": 8}


def _line(model: str, x: Sequence[Any], y: Sequence[float | None], **more: Any) -> Chart:
    return {
        "type": "scatter", "mode": "lines", "name": escape(NAMES.get(model, model)), "x": list(x), "y": list(y),
        "line": {"color": f"${model}", "width": 1.6, "dash": DASHES.get(model, "solid")}, **more,
    }  # fmt: skip


def _hundredfold(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else float(f"{100 * value:.5g}") for value in values]


def forecasts(body: Body) -> Chart:
    """Return forecast against realized over time, one point a day, with the interval."""
    series, time = body["series"], body["series"]["time"]
    data: list[Chart] = []
    if "lower" in series:
        edge = {"type": "scatter", "mode": "lines", "x": time, "line": {"width": 0, "color": "$model"}}
        share = f"{series['level']:.0%} interval".replace("%", " %")
        data.append({**edge, "y": _hundredfold(series["lower"]), "showlegend": False, "name": "lower end"})
        data.append(
            {**edge, "y": _hundredfold(series["upper"]), "fill": "tonexty", "fillcolor": "$band", "name": share}
        )
    data.append(_line("realized", time, _hundredfold(series["realized"])) | {"name": "realized"})
    data[-1]["line"] = {"color": "$realized", "width": 1}
    if "har" in series:
        data.append(_line("har", time, _hundredfold(series["har"]), visible="legendonly"))
    data.append(_line("model", time, _hundredfold(series["model"])))
    steps = [
        {"count": n, "step": step, "stepmode": "backward", "label": label}
        for n, step, label in ((1, "month", "1 month"), (6, "month", "6 months"), (1, "year", "1 year"))
    ]
    buttons: Chart = {
        "buttons": [*steps, {"step": "all", "label": "all"}], "bgcolor": "$ground", "activecolor": "$rule",
        "bordercolor": "$rule", "borderwidth": 1, "font": {"color": "$ink"}, "x": 0, "y": -0.16, "yanchor": "top",
    }  # fmt: skip
    return chart(
        "forecasts", data, x={"type": "date", "rangeselector": buttons}, height=460,
        y={"title": title("volatility, % per hour"), "rangemode": "tozero", "hoverformat": ".3f"},
        margin={"l": 52, "r": 14, "t": 44, "b": 84},
    )  # fmt: skip


def calibration(body: Body) -> Chart:
    """Return mean realized against mean forecast, by tenth of the forecasts, on logarithmic axes."""
    deciles = body["calibration"]["deciles"]
    x, y = (_hundredfold([each[key] for each in deciles]) for key in ("forecast", "realized"))
    ends = [value for value in (*x, *y) if value is not None and value > 0]
    span = [min(ends, default=0.1) * 0.9, max(ends, default=1.0) * 1.1]
    ideal = {
        "type": "scatter", "mode": "lines", "x": span, "y": span, "name": "forecast = realized", "hoverinfo": "skip",
        "line": {"color": "$soft", "dash": "dot", "width": 1.2},
    }  # fmt: skip
    points = {
        "type": "scatter", "mode": "lines+markers", "x": x, "y": y, "name": "tenths of the hours",
        "line": {"color": "$model", "width": 1.2}, "marker": {"size": 8, "color": "$model"},
        "hovertemplate": "forecast %{x:.3f} %<br>realized %{y:.3f} %<extra></extra>",
    }  # fmt: skip
    ticks = [tick for tick in TICKS if span[0] <= tick <= span[1]]
    log = {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks], "hoverformat": ".3f"}
    return chart(
        "calibration", [ideal, points], hovermode="closest", x={**log, "title": title("mean forecast, % per hour")},
        y={**log, "title": title("mean realized, % per hour")},
    )  # fmt: skip


def coverage(body: Body) -> Chart:
    """Return the share inside the interval over the last 30 days, day by day, with each level's nominal line."""
    time, levels = body["coverage_over_time"]["time"], body["coverage_over_time"]["levels"]
    data: list[Chart] = []
    for (level, share), colour in zip(levels.items(), _cycle(len(levels)), strict=True):
        label = f"{float(level):.0%}".replace("%", " %")
        data.append(_line("model", time, _hundredfold(share), name=f"{label} interval"))
        data[-1]["line"] = {"color": f"${colour}", "width": 1.6}
        data.append({
            "type": "scatter", "mode": "lines", "x": [time[0], time[-1]], "y": [100 * float(level)] * 2,
            "line": {"color": f"${colour}", "dash": "dash", "width": 1.2}, "hoverinfo": "skip",
            "name": f"{label} promised", "showlegend": len(levels) == 1,
        })  # fmt: skip
    return chart(
        "coverage", data, x={"type": "date"},
        y={"title": title("held in the last 30 days, %"), "hoverformat": ".1f"},
    )  # fmt: skip


def _cycle(count: int) -> list[str]:
    return [FAMILIES[i % len(FAMILIES)] for i in range(count)]


def by_hour(body: Body) -> Chart:
    """Return QLIKE by the hour of the day at which forecasts are made."""
    hours = body["by_hour"]
    models = [model for model in body["models"] if model in hours[0]["qlike"]]
    data = [
        _line(
            model, [each["hour"] for each in hours], [each["qlike"][model] for each in hours], mode="lines+markers",
            marker={"color": f"${model}", "symbol": SYMBOLS.get(model, "circle"), "size": 7},
        )
        for model in models
    ]  # fmt: skip
    return chart(
        "by-hour", data, x={"title": title("hour of the day, UTC"), "dtick": 3, "range": [-0.6, 23.6]},
        y={"title": title("QLIKE"), "rangemode": "tozero", "hoverformat": ".4f"},
    )  # fmt: skip


def by_regime(body: Body) -> Chart:
    """Return QLIKE by fifth of the model's own forecast, for every model."""
    regimes = body["by_regime"]
    x = [f"{_percents(each['from'])}–{_percents(each['to'])}" for each in regimes]
    data = [
        {
            "type": "scatter", "mode": "markers+lines", "name": escape(NAMES.get(model, model)), "x": x,
            "y": [each["qlike"][model] for each in regimes],
            "line": {"color": f"${model}", "width": 1, "dash": DASHES.get(model, "solid")},
            "marker": {"color": f"${model}", "size": 9, "symbol": SYMBOLS.get(model, "circle")},
        }
        for model in body["models"]
    ]  # fmt: skip
    return chart(
        "by-regime", data, x={"type": "category", "title": title("the model's forecast, % per hour")},
        y={"title": title("QLIKE"), "rangemode": "tozero", "hoverformat": ".4f"},
    )  # fmt: skip


def _percents(value: float) -> str:
    return f"{100 * value:.2f}"


def by_month(body: Body, against: str) -> Chart:
    """Return how far the model's QLIKE is below or above the other's, month by month: below zero it wins."""
    # Against a perfect month there is no share.
    months = [each for each in body["by_month"] if each["qlike"][against] > 0]
    share = [100 * (each["qlike"]["model"] / each["qlike"][against] - 1) for each in months]
    label = escape(NAMES.get(against, against))
    data = []
    for name, colour, lost in ((f"better than {label}", "$win", False), (f"worse than {label}", "$loss", True)):
        own = [(m["month"], float(f"{s:.4g}")) for m, s in zip(months, share, strict=True) if (s > 0) == lost]
        x, y = [month for month, _ in own], [value for _, value in own]
        data.append({"type": "bar", "name": name, "x": x, "y": y, "marker": {"color": colour}})
    return chart(
        "by-month", data, x={"type": "date", "tickformat": "%b %Y", "hoverformat": "%B %Y"}, barmode="relative",
        bargap=0.25,
        y={"title": title(f"QLIKE against {label}, %"), "zeroline": True, "hoverformat": "+.1f", "ticksuffix": " %"},
    )  # fmt: skip


def importance(body: Body) -> Chart:
    """Return the largest shares of the features, coloured by family."""
    top = sorted(body["importance"], key=lambda each: -each["share"])[:TOP]
    families = list(dict.fromkeys(str(each["family"]) for each in top))
    data = [
        {
            "type": "bar", "orientation": "h", "name": escape(family), "marker": {"color": f"${colour}"},
            "y": [escape(str(each["feature"])) for each in top if str(each["family"]) == family],
            "x": [float(f"{100 * each['share']:.4g}") for each in top if str(each["family"]) == family],
            "hovertemplate": "%{y}: %{x:.1f} %<extra></extra>",
        }
        for family, colour in zip(families, _cycle(len(families)), strict=True)
    ]  # fmt: skip
    order = [escape(str(each["feature"])) for each in reversed(top)]
    return chart(
        "importance", data, height=max(HEIGHT, 110 + 19 * len(top)), hovermode="closest",
        x={"title": title("share, %"), "rangemode": "tozero"},
        y={"type": "category", "categoryorder": "array", "categoryarray": order, "dtick": 1, "range": [-0.6, len(order) - 0.4]},
    )  # fmt: skip


def learning_curve(body: Body) -> Chart:
    """Return QLIKE on seen and on unseen hours by hours of history."""
    curve = body["learning_curve"]
    hours = [each["hours"] for each in curve]
    data = [
        _line(model, hours, [each[key] for each in curve], name=name, mode="lines+markers")
        for model, key, name in (("har", "qlike_seen", "hours it was fitted on"), ("model", "qlike_unseen", "unseen hours"))
    ]  # fmt: skip
    return chart(
        "learning-curve", data, x={"title": title("hours of history"), "rangemode": "tozero"},
        y={"title": title("QLIKE"), "hoverformat": ".4f"},
    )  # fmt: skip
