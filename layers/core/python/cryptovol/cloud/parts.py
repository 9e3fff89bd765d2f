"""Our own processes of a local lane: the market's stand-in, the metrics sidecar and the API."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from cryptovol.adapters.sources import open_source
from cryptovol.market import PATH
from cryptovol.cloud import environs
from cryptovol.cloud.processes import Spec
from cryptovol.cloud.zips import STAGES
from cryptovol.errors import SourceUnavailableError
from cryptovol.market.files import stem
from cryptovol.params import Params
from cryptovol.settings import Settings
from cryptovol.wiring import wall_clock

PYTHON = sys.executable


@dataclass(frozen=True)
class Market:
    """Where the functions get bars.

    Parameters
    ----------
    source
        What `CRYPTOVOL_SOURCE` will be.
    name
        Whose history and models these bars make: ``live``, ``simulated`` or ``replay-<file>``.
    url
        Base URL, or an empty text for the source's own.
    spec
        The stand-in that serves it, or None where there is none to start.
    """

    source: str
    name: str
    url: str
    spec: Spec | None


def market(settings: Settings, params: Params, root: Path, port: int, environ: Mapping[str, str], code: str) -> Market:
    """Return the market the settings name.

    A simulated or replayed market is served by a stand-in on loopback, so that it goes through the same client as
    the live one. ``auto`` is the live market if there is a key and it can be reached, else the simulated one.

    Parameters
    ----------
    root
        The project folder, to which a relative bar file belongs.
    code
        Digest of our code, so that a stand-in of older code is replaced.
    """
    source = settings.source
    if settings.cryptocompare_url:
        return Market(source, _origin(settings, params), settings.cryptocompare_url, None)
    if source == "cryptocompare" or (source == "auto" and _live_answers(settings, params)):
        return Market("cryptocompare", "live", "", None)
    what, name = ["--simulated"], "simulated"
    if source.startswith("replay:"):
        path = (root / source.removeprefix("replay:")).resolve()
        what, name, source = ["--bars", str(path)], f"replay-{stem(path)}", f"replay:{path}"
    else:
        source = "simulated"
    command = (PYTHON, "-m", "cryptovol", "replay", *what, "--port", str(port))
    spec = Spec("market", command, environs.scrubbed(environ), port, PATH, code)
    return Market(source, name, spec.url, spec)


def _origin(settings: Settings, params: Params) -> str:
    return open_source(settings, params, clock=wall_clock).origin(params.symbols[0], params.quote).market


def _live_answers(settings: Settings, params: Params) -> bool:
    """Return whether there is a key and the live market answers, be it with a refusal."""
    if not settings.cryptocompare_key:
        return False
    try:
        _origin(replace(settings, source="cryptocompare"), params)
    except SourceUnavailableError as error:
        # Only a failed connection has an OSError for its cause; everything else is an answer.
        return not isinstance(error.__cause__, OSError)
    return True


def metrics_state(folder: Path) -> Path:
    """Return the sidecar's state file."""
    return folder / "metrics" / "state.sqlite"


def function_log(folder: Path, stage: str) -> Path:
    """Return the file that receives what a stage's function prints."""
    return folder / "logs" / "functions" / f"cryptovol-{stage}.log"


def sidecar(folder: Path, port: int, environ: Mapping[str, str], *, code: str) -> Spec:
    """Return the metrics sidecar: it follows the functions' and the API's logs and serves Prometheus series."""
    state = metrics_state(folder)
    state.parent.mkdir(parents=True, exist_ok=True)
    logs = [folder / "logs" / "api.log", *(function_log(folder, stage) for stage in (*STAGES, "version"))]
    files = [word for log in logs for word in ("--file", str(log))]
    command = (PYTHON, "-m", "cryptovol", "sidecar", "--state", str(state), "--port", str(port), *files)
    return Spec("sidecar", command, environs.scrubbed(environ), port, "/metrics", code)


def api(
    folder: Path, port: int, environ: Mapping[str, str], *, application: Mapping[str, str], market_name: str, code: str
) -> Spec:
    """Return the API, serving the champions of one market."""
    own = {
        **application,
        "CRYPTOVOL_MARKET": market_name,
        "CRYPTOVOL_METRICS_STATE": str(metrics_state(folder)),
        "CRYPTOVOL_API_KEY_SHA256": environ.get("CRYPTOVOL_API_KEY_SHA256", ""),
    }
    command = (PYTHON, "-m", "cryptovol.cloud.api", "--port", str(port))
    return Spec("api", command, environs.scrubbed(environ, **own), port, "/openapi.json", code)


def asked_params(root: Path, folder: Path, symbols: tuple[str, ...], quote: str) -> Path:
    """Return the project's `params.yaml`, or a copy of it with other symbols and quote where those were asked for.

    The API serves, and judges its health by, the symbols of its parameters.
    """
    path = root / "params.yaml"
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    if (tuple(body["symbols"]), body["quote"]) == (symbols, quote):
        return path
    copy = folder / "params" / f"{'-'.join(symbols)}-{quote}.yaml"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(yaml.safe_dump({**body, "symbols": list(symbols), "quote": quote}), encoding="utf-8")
    return copy
