"""Our own processes of a local lane: the market's stand-in, the metrics sidecar and the API."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from cryptovol.adapters.sources import live_answers, open_source
from cryptovol.market import PATH
from cryptovol.cloud import environs
from cryptovol.cloud.processes import Spec
from cryptovol.cloud.zips import STAGES
from cryptovol.market.files import stem
from cryptovol.params import Params
from cryptovol.settings import VENUES, Settings
from cryptovol.wiring import wall_clock

PYTHON = sys.executable
# What of the shell's environment the API gets: whom it lets in, and how often.
API_SETTINGS = (
    "CRYPTOVOL_API_KEY_SHA256", "CRYPTOVOL_RATE_PER_MINUTE", "CRYPTOVOL_RATE_BURST", "CRYPTOVOL_CORS_ORIGIN",
)  # fmt: skip


@dataclass(frozen=True)
class Market:
    """Where the functions get bars.

    Parameters
    ----------
    source
        What `CRYPTOVOL_SOURCE` will be.
    name
        Whose history and models these bars make: ``live``, ``simulated`` or ``replay-<file>``.
    urls
        Base URLs by venue; the others are asked at their own.
    spec
        The stand-in that serves it, or None where there is none to start.
    """

    source: str
    name: str
    urls: Mapping[str, str]
    spec: Spec | None


def market(settings: Settings, params: Params, root: Path, port: int, environ: Mapping[str, str], code: str) -> Market:
    """Return the market the settings name.

    A simulated or replayed market is served by a stand-in on loopback, so that it goes through the same client as
    the live one. What ``auto`` is, is decided here, once: ``live`` if any venue can be reached, so that no function
    ever takes made-up bars in place of real ones, else ``simulated``.

    Parameters
    ----------
    root
        The project folder, to which a relative bar file belongs.
    code
        Digest of our code, so that a stand-in of older code is replaced.

    Raises
    ------
    CryptovolError
        If a server at an address of the settings, which must be asked whose market it serves, does not answer.
    """
    source = settings.source
    if source == "auto":
        source = "live" if live_answers(settings, params, clock=wall_clock) else "simulated"
    if source in ("live", *VENUES) or (source == settings.source and "cryptocompare" in settings.urls):
        return Market(source, _served(replace(settings, source=source), params), settings.urls, None)
    return _stand_in(source, root, port, environ, code)


def _served(settings: Settings, params: Params) -> str:
    """Return the market of a source: a server that is not the venue's own may be a stand-in, and is asked."""
    if not settings.urls or (settings.source in VENUES and settings.source not in settings.urls):
        return "live"
    return open_source(settings, params, clock=wall_clock).origin(params.symbols[0], params.quote).market


def _stand_in(source: str, root: Path, port: int, environ: Mapping[str, str], code: str) -> Market:
    what, name = ["--simulated"], "simulated"
    if source.startswith("replay:"):
        path = (root / source.removeprefix("replay:")).resolve()
        what, name, source = ["--bars", str(path)], f"replay-{stem(path)}", f"replay:{path}"
    command = (PYTHON, "-m", "cryptovol", "replay", *what, "--port", str(port))
    spec = Spec("market", command, environs.scrubbed(environ), port, PATH, code)
    return Market(source, name, {"cryptocompare": spec.url}, spec)


def metrics_state(folder: Path) -> Path:
    """Return the sidecar's state file."""
    return folder / "metrics" / "state.sqlite"


def function_log(folder: Path, stage: str) -> Path:
    """Return the file that receives what a stage's function prints."""
    return folder / "logs" / "functions" / f"cryptovol-{stage}.log"


def sidecar(folder: Path, port: int, environ: Mapping[str, str], *, code: str, api_log: Path) -> Spec:
    """Return the metrics sidecar: it follows the functions' and the API's logs and serves Prometheus series."""
    state = metrics_state(folder)
    state.parent.mkdir(parents=True, exist_ok=True)
    logs = [api_log, *(function_log(folder, stage) for stage in (*STAGES, "version"))]
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
        "CRYPTOVOL_SPOOL": str(folder / "spool"),
        **{name: environ[name] for name in API_SETTINGS if environ.get(name)},
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
