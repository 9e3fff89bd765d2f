"""The model card as Markdown, for people and for the run's artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptovol.card import HIGHER, LOWER, NEAR_ONE, Card

NAMES = {"rmse": "RMSE", "mae": "MAE", "r2": "R²", "r2_log": "R² of logarithms", "qlike": "QLIKE", "bias": "bias"}
PER_HOUR = ("rmse", "mae")  # volatility per hour, shown in per cent


def markdown(card: Card) -> str:
    """Return the card as a Markdown document."""
    version = f", version {card['version']}" if card["version"] else ""
    title = f"# {card['name']}{version}"
    parts = [title, _head(card), _use(card), _data(card), _model(card), _scores(card), _coverage(card)]
    parts += [_section("Limits", _bullets(card["limits"])), _decision(card), _lineage(card)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(card: Card) -> str:
    what = f"volatility of {card['symbol']}/{card['quote']} over the next {card['horizon_hours']} hours"
    return f"Forecasts the {what}. Market: {_safe(card['market'])}, bars from {_safe(card['source'])}."


def _use(card: Card) -> str:
    use = card["use"]
    intended, not_intended = _bullets(use["intended"]), _bullets(use["not_intended"])
    return _section("Intended use", intended) + "\n\n" + _section("Not intended", not_intended)


def _data(card: Card) -> str:
    data = card["data"]
    rows = f"{data['rows']:,} labelled hours, {data['first']} to {data['last']}" if data else "not on record"
    return _section("Data", f"{rows}. Trained on what was known at {card['trained_at']}.")


def _model(card: Card) -> str:
    own = [f"- {name}: {_safe(value)}" for name, value in card["model"].items() if name != "kind"]
    families = card["features"]
    told = [f"- {family} ({len(names)}): {', '.join(names)}" for family, names in families.items()]
    count = sum(map(len, families.values()))
    kind = card["model"]["kind"]
    return "\n\n".join([_section("Model", "\n".join([f"{kind[0].upper()}{kind[1:]}.", *own])),
                        _section(f"Features ({count})", "\n".join(told))])  # fmt: skip


def _scores(card: Card) -> str:
    scores = card["scores"]
    shown = [error for error in NAMES if any(error in errors for errors in scores["errors"].values())]
    if not shown:
        return _section("Scores", "None on record.")
    rows = [
        [name, *(_figure(error, errors.get(error)) for error in shown)] for name, errors in scores["errors"].items()
    ]
    where = f"{scores['rows']:,} hours, {scores['first']} to {scores['last']}" if "rows" in scores else "hours"
    lines = [
        f"On the same {where}, which no scored model was fitted on. Lower is better for {_words(LOWER, shown)}; higher"
        f" for {_words(HIGHER, shown)}; best at 1 for {_words(NEAR_ONE, shown)}.",
        "",
        *_table(["forecast", *(NAMES[error] for error in shown)], rows),
        "",
        *_tests(scores["tests"]),
        _loses(scores["loses"]),
        *(f"Left out: {name} ({_safe(why)})." for name, why in sorted(scores["left_out"].items())),
    ]
    return _section("Scores", "\n".join(lines))


def _words(errors: Sequence[str], shown: Sequence[str]) -> str:
    return ", ".join(NAMES[error] for error in errors if error in shown) or "none"


def _tests(tests: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"Diebold–Mariano against {name.removeprefix('dm_').upper()}: statistic {test['statistic']:.2f}"
        f" (negative where the model is better), p {test['p']:.3g}.\n"
        for name, test in tests.items()
    ]


def _loses(loses: Sequence[Mapping[str, Any]]) -> str:
    if not loses:
        return "The model is the worse of the two nowhere in this table."
    named = {each["to"]: [e for e in loses if e["to"] == each["to"]] for each in loses}
    lines = [f"- to {name} in {', '.join(_compared(each) for each in found)}" for name, found in named.items()]
    return "\n".join(["**It loses**", "", *lines, ""])


def _compared(lost: Mapping[str, Any]) -> str:
    error = lost["error"]
    return f"{NAMES[error]} ({_figure(error, lost['model'])} against {_figure(error, lost['baseline'])})"


def _coverage(card: Card) -> str:
    rows = [[f"{each['level']:.0%}", f"{each['covered']:.1%}"] for each in card["coverage"]]
    told = "\n".join(_table(["interval", "scored hours inside"], rows)) if rows else "Not measured."
    return _section("Interval coverage", told)


def _decision(card: Card) -> str:
    told = card["decision"]
    if not told:
        return _section("Decision", "None on record.")
    number = f"Ledger entry {told['entry']}, " if "entry" in told else ""
    outcome = f" ({told['outcome']})" if told.get("outcome") else ""
    return _section("Decision", f"{number}{told['decision']}{outcome}: {_safe(told.get('reason', ''))}.")


def _lineage(card: Card) -> str:
    rows = [["bundle", card["bundle_sha256"]], *([name, _safe(value)] for name, value in card["lineage"].items())]
    return _section("Lineage", "\n".join(_table(["step", "value"], rows)))


def _figure(error: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4%}" if error in PER_HOUR else f"{value:.4f}"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_safe(line)}" for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _safe(value: Any) -> str:
    """Return a text that can break neither a table nor the page it is shown on."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")
