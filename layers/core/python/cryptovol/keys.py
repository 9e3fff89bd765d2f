"""The one home of storage keys: the same on a folder, MiniStack, LocalStack, MinIO and S3.

::

    bars/raw/<market>/<series>/…       history of fetched bars        (csv.gz by month + manifests)
    bars/clean/<market>/<series>/…     history of gated bars          (npz by month + manifests)
    bars/quarantine/<market>/<series>/<as_of>.csv
    bars/witness/<market>/<series>/<as_of>.csv.gz    newest bars as a second source has them
    features/<market>/<series>/…       feature table and targets      (npz by month + manifests)
    reports/gate/<market>/<series>/<as_of>.json|html, refused.json
    models/<market>/<series>/h<horizon>/bundles/<sha256>/<file>
    models/<market>/<series>/h<horizon>/ledger/<sequence>.json
    models/<market>/<series>/h<horizon>/champion.json, aliases.json
    models/<market>/<series>/h<horizon>/tuning/tuned.json
    models/<market>/<series>/h<horizon>/tuning/<study>/log/<number>.json
    models/<market>/<series>/h<horizon>/revisions/<sha256>.json   DVC revision that first held a bundle
    predictions/<market>/<series>/h<horizon>/<as_of>/<bundle>.json
    shadows/<market>/<series>/h<horizon>/<bundle>/<as_of>.json   forecasts of an undecided challenger
    served/<market>/<date>/<sha256>.jsonl.gz    records of answers, a batch each
    scoreboard/<market>/<series>/<as_of>.json and latest.json
    scoreboard/<market>/<series>/live-h<horizon>.json   served forecasts of the longest window, hour by hour
    scoreboard/<market>/<series>/shadow-h<horizon>.json   shadow and champion, hour by hour
    scoreboard/<market>/<series>/log-h<horizon>.json.gz   copy of the prediction log of the longest window
    watch/<market>/<series>/<number>.json   decisions to retrain out of turn
    runs/<run_id>/<series>/<stage>.json
"""

from __future__ import annotations

import re

from cryptovol.errors import ConfigError

_SYMBOL = re.compile(r"[A-Z0-9]{1,12}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,127}")


def series(symbol: str, quote: str) -> str:
    """Return the name of one pair's history, for instance ``btc-usd``."""
    for text in (symbol, quote):
        if not _SYMBOL.fullmatch(text):
            raise ConfigError(f"{text!r} is not a symbol; write 1 to 12 capital letters or digits, for instance BTC")
    return f"{symbol.lower()}-{quote.lower()}"


def plain(text: str) -> str:
    """Return `text` if it is safe as one part of a key, else raise `ConfigError`."""
    if not _PLAIN.fullmatch(text):
        raise ConfigError(f"{text!r} cannot be part of a storage key; use letters, digits and _ . : + -")
    return text


def compact(as_of: str) -> str:
    """Return an instant as one part of a key: ``2025-05-01T00:00:00Z`` becomes ``20250501T000000Z``."""
    return as_of.replace("-", "").replace(":", "")


def raw(market: str, pair: str) -> str:
    """Return the prefix of a pair's raw history."""
    return f"bars/raw/{market}/{pair}"


def clean(market: str, pair: str) -> str:
    """Return the prefix of a pair's clean history."""
    return f"bars/clean/{market}/{pair}"


def features(market: str, pair: str) -> str:
    """Return the prefix of a pair's feature table."""
    return f"features/{market}/{pair}"


def quarantine(market: str, pair: str, as_of: str) -> str:
    """Return the key of the rows the gate set aside at one instant."""
    return f"bars/quarantine/{market}/{pair}/{compact(as_of)}.csv"


def witness(market: str, pair: str, as_of: str) -> str:
    """Return the key of the newest bars at one instant as a second source has them."""
    return f"bars/witness/{market}/{pair}/{compact(as_of)}.csv.gz"


def refusal(market: str, pair: str) -> str:
    """Return the key of the note that says at which instant the gate last refused."""
    return f"reports/gate/{market}/{pair}/refused.json"


def gate_report(market: str, pair: str, as_of: str, *, suffix: str) -> str:
    """Return the key of the gate's report at one instant; `suffix` is ``json`` or ``html``."""
    return f"reports/gate/{market}/{pair}/{compact(as_of)}.{suffix}"


def model(market: str, pair: str, horizon: int) -> str:
    """Return the prefix of everything about the models of one horizon."""
    return f"models/{market}/{pair}/h{horizon}"


def bundle(market: str, pair: str, horizon: int, *, sha256: str) -> str:
    """Return the prefix of one bundle's files."""
    return f"{model(market, pair, horizon)}/bundles/{sha256}"


def ledger(market: str, pair: str, horizon: int) -> str:
    """Return the prefix of the ledger's entries."""
    return f"{model(market, pair, horizon)}/ledger/"


def champion(market: str, pair: str, horizon: int) -> str:
    """Return the key of the pointer to the champion."""
    return f"{model(market, pair, horizon)}/champion.json"


def aliases(market: str, pair: str, horizon: int) -> str:
    """Return the key of the note that says which ledger entry the registry's aliases were set from."""
    return f"{model(market, pair, horizon)}/aliases.json"


def revision(market: str, pair: str, horizon: int, *, sha256: str) -> str:
    """Return the key of the note that says which DVC revision first held a bundle."""
    return f"{model(market, pair, horizon)}/revisions/{sha256}.json"


def tuned(market: str, pair: str, horizon: int) -> str:
    """Return the key of the parameters that the last search found."""
    return f"{model(market, pair, horizon)}/tuning/tuned.json"


def tuning_log(market: str, pair: str, horizon: int, *, study: str) -> str:
    """Return the prefix of one study's records."""
    return f"{model(market, pair, horizon)}/tuning/{study}/log/"


def predictions(market: str, pair: str, horizon: int) -> str:
    """Return the prefix of the prediction log."""
    return f"predictions/{market}/{pair}/h{horizon}/"


def prediction(market: str, pair: str, horizon: int, *, as_of: str, bundle_sha256: str) -> str:
    """Return the key of one logged forecast: one per instant and model."""
    return f"{predictions(market, pair, horizon)}{compact(as_of)}/{bundle_sha256[:16]}.json"


def shadows(market: str, pair: str, horizon: int, *, bundle_sha256: str) -> str:
    """Return the prefix of the forecasts of a challenger that shadows the champion."""
    return f"shadows/{market}/{pair}/h{horizon}/{bundle_sha256[:16]}/"


def served(market: str, date: str, *, sha256: str) -> str:
    """Return the key of a batch of answers' records, named by its content; `date` is for instance 2025-05-01."""
    return f"served/{plain(market)}/{plain(date)}/{sha256}.jsonl.gz"


def scoreboard(market: str, pair: str, as_of: str | None = None) -> str:
    """Return the key of the scoreboard at one instant, or of the newest."""
    return f"scoreboard/{market}/{pair}/{compact(as_of) if as_of else 'latest'}.json"


def scoreboards(market: str, pair: str, date: str) -> str:
    """Return the prefix of one day's scoreboards; `date` is for instance 2025-05-01."""
    return f"scoreboard/{market}/{pair}/{compact(date)}T"


def retrainings(market: str, pair: str) -> str:
    """Return the prefix of the numbered decisions to retrain out of turn."""
    return f"watch/{market}/{pair}/"


def live(market: str, pair: str, horizon: int) -> str:
    """Return the key of the newest scored hours, forecast by forecast, of one horizon."""
    return f"scoreboard/{market}/{pair}/live-h{horizon}.json"


def shadowboard(market: str, pair: str, horizon: int) -> str:
    """Return the key of shadow and champion hour by hour, as scored last."""
    return f"scoreboard/{market}/{pair}/shadow-h{horizon}.json"


def logbook(market: str, pair: str, horizon: int) -> str:
    """Return the key of the score stage's copy of the newest part of the prediction log."""
    return f"scoreboard/{market}/{pair}/log-h{horizon}.json.gz"


def run(run_id: str, pair: str, stage: str) -> str:
    """Return the key of the status object of one stage of one run."""
    return f"runs/{plain(run_id)}/{pair}/{stage}.json"
