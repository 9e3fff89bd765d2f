"""The page's tables: scores against the baselines, months, regimes, hours, and the facts of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from cryptovol.evaluation.verdict import outcome
from cryptovol.page.texts import MINUS, flat, name, number, percent

Body = Mapping[str, Any]

# Score, heading, how its best is told, and how it is written.
COLUMNS: tuple[tuple[str, str, Callable[[float], float], Callable[[float], str]], ...] = (
    ("qlike", "QLIKE", lambda v: v, lambda v: number(v, ".4f")),
    ("rmse", "RMSE<small>% per hour</small>", lambda v: v, lambda v: number(100 * v, ".4f")),
    ("mae", "MAE<small>% per hour</small>", lambda v: v, lambda v: number(100 * v, ".4f")),
    ("r2", "R²", lambda v: -v, lambda v: number(v, ".3f")),
    ("r2_log", "R²<small>of logs</small>", lambda v: -v, lambda v: number(v, ".3f")),
    ("bias", "Bias", lambda v: abs(v - 1), lambda v: number(v, ".3f")),
)
BEST, OTHER = '<i class="dot">●</i>', '<i class="dot" aria-hidden="true"></i>'  # as wide: numbers stay aligned
COMPARED = ("qlike", "rmse", "mae")
TESTS = (("qlike", "Test on QLIKE"), ("squared_error", "Test on<small>squared error</small>"))
MARKS = {
    "better": ("✓ model better", ' class="good"'), "worse": ("✕ model worse", ' class="bad"'),
    "undecided": ("≈ not told apart", ""),
}  # fmt: skip


def table(heads: Sequence[str], rows: Sequence[str], kind: str = "plain") -> str:
    """Return a table that scrolls sideways where it is wider than the page; heads and rows are HTML."""
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def scores(body: Body) -> str:
    """Return the table of scores: the model first, the best of each column marked, each baseline tested against."""
    heads = ["", *(head for _, head, _, _ in COLUMNS)]
    tested = bool(body["dm"])
    if tested:
        heads += [head for _, head in TESTS]
    rows = []
    for model in body["models"]:
        cells = "".join(_score(body, model, *column) for column in COLUMNS)
        if tested:
            cells += "".join(_test(body["dm"].get(model), key) for key, _ in TESTS)
        kind = ' class="own"' if model == "model" else ""
        rows.append(f'<tr{kind}><th scope="row">{name(model)}</th>{cells}</tr>')
    return table(heads, rows, "scores")


def _score(
    body: Body, model: str, key: str, _: str, badness: Callable[[float], float], shown: Callable[[float], str]
) -> str:
    every = body["scores"]
    own, value = every["model"][key], every[model][key]
    best = len(every) > 1 and badness(value) == min(badness(errors[key]) for errors in every.values())
    opening, mark = ('<td class="best">', BEST) if best else ("<td>", OTHER)
    below = _compared(own, value) if model != "model" and key in COMPARED else ""
    return f"{opening}{shown(value)}{mark}{below}</td>"


def _compared(own: float, other: float) -> str:
    if other <= 0 or own == other:
        return "<small>model equal</small>" if own == other else '<small class="bad">model higher</small>'
    share = own / other - 1
    kind, sign = ("good", MINUS) if share < 0 else ("bad", "+")
    return f'<small class="{kind}">model {sign}{percent(abs(share))}</small>'


def _test(tests: Mapping[str, Any] | None, key: str) -> str:
    if tests is None:
        return "<td></td>"
    test = tests[key]
    if test is None:
        return "<td>too few hours</td>"
    words, kind = MARKS[outcome(test)]
    p = "p &lt; 0.001" if test["p"] < 0.001 else f"p {test['p']:.3f}"
    return f"<td><span{kind}>{words}</span><small>DM {number(test['statistic'], '+.2f')}, {p}</small></td>"


def _against(each: Body, model: str, against: str | None) -> str:
    """Return a cell of QLIKE; the model's says whether it lost."""
    value = each["qlike"][model]
    other = each["qlike"].get(against)
    lost = model == "model" and None not in (value, other) and value > other
    shown = number(value, ".4f")
    return f'<td class="bad">✕ {shown}</td>' if lost else f"<td>{shown}</td>"


def months(body: Body, against: str | None) -> str:
    """Return the table of months; those in which the model lost are marked."""
    models = body["models"]
    heads = [
        "month",
        "hours",
        *(f"QLIKE {name(m)}" for m in models),
        *(f"RMSE {name(m)}, %" for m in models[:2]),
        "held",
    ]
    rows = []
    for each in body["by_month"]:
        cells = "".join(_against(each, model, against) for model in models)
        cells += "".join(f"<td>{number(100 * each['rmse'][model], '.3f')}</td>" for model in models[:2])
        cells += f"<td>{percent(each['coverage'])}</td>"
        rows.append(f'<tr><th scope="row">{escape(each["month"])}</th><td>{each["rows"]:,}</td>{cells}</tr>')
    return table(heads, rows)


def regimes(body: Body, against: str | None) -> str:
    """Return the table of regimes: the model's forecast, the scores, its bias and its interval."""
    heads = ["forecast, % per hour", "hours", *(f"QLIKE {name(model)}" for model in body["models"]), "bias", "held"]
    rows = []
    for each in body["by_regime"]:
        span = f"{number(100 * each['from'], '.3f')} – {number(100 * each['to'], '.3f')}"
        cells = "".join(_against(each, model, against) for model in body["models"])
        cells += f"<td>{number(each['bias'], '.3f')}</td><td>{percent(each['coverage'])}</td>"
        rows.append(f'<tr><th scope="row">{span}</th><td>{each["rows"]:,}</td>{cells}</tr>')
    return table(heads, rows)


def hours(body: Body) -> str:
    """Return the table of hours of the day."""
    models = [model for model in body["models"] if model in body["by_hour"][0]["qlike"]]
    heads = [
        "hour, UTC",
        "hours",
        "mean realized, %",
        *(f"QLIKE {name(m)}" for m in models),
        *(f"bias {name(m)}" for m in models),
    ]
    rows = []
    for each in body["by_hour"]:
        mean = each["mean_realized"]
        cells = f"<td>{each['rows']:,}</td><td>{number(None if mean is None else 100 * mean, '.3f')}</td>"
        cells += "".join(_against(each, model, "har") for model in models)
        cells += "".join(f"<td>{number(each['bias'][model], '.3f')}</td>" for model in models)
        rows.append(f'<tr><th scope="row">{each["hour"]:02}:00</th>{cells}</tr>')
    return table(heads, rows)


def facts(run: Mapping[str, Any]) -> str:
    """Return the facts of the run, nested ones under dotted names."""
    rows = [f'<tr><th scope="row">{escape(key)}</th><td>{escape(text)}</td></tr>' for key, text in flat(dict(run))]
    return f'<table class="plain facts"><tbody>{"".join(rows)}</tbody></table>'
