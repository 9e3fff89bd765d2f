"""Prometheus and Alertmanager over a lane's metrics sidecar, from copies of the project's own files under its ``var``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cryptovol.cloud import environs, zips
from cryptovol.cloud.fleet import Fleet
from cryptovol.cloud.processes import Spec
from cryptovol.errors import ConfigError

PROMETHEUS, ALERTMANAGER = "prometheus", "alertmanager"
# Debian calls Alertmanager `prometheus-alertmanager`, its own releases call it `alertmanager`.
PROGRAMS = {PROMETHEUS: ("prometheus",), ALERTMANAGER: ("prometheus-alertmanager", "alertmanager")}
CURE = "on Debian and Ubuntu `apt-get install --no-install-recommends prometheus prometheus-alertmanager`"


def programs(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the paths of both programs by their part's name.

    Raises
    ------
    ConfigError
        If one of them is not on the environment's PATH.
    """
    path = environ.get("PATH", "")
    found = {
        part: next((where for name in names if (where := shutil.which(name, path=path))), "")
        for part, names in PROGRAMS.items()
    }
    missing = [" or ".join(PROGRAMS[part]) for part, where in found.items() if not where]
    if missing:
        raise ConfigError(f"not on PATH: {', '.join(missing)}. Cure: {CURE}")
    return found


def start(root: Path, fleet: Fleet, environ: Mapping[str, str], *, webhook: str = "") -> dict[str, str]:
    """Start both over the lane's sidecar, or use again what runs with the same files; return their addresses.

    Parameters
    ----------
    root
        The project folder, whose ``monitoring`` says what is scraped, recorded, alerted and routed.
    fleet
        The lane's processes, its sidecar among them.
    environ
        The caller's environment.
    webhook
        URL that alerts are sent to; without it they are only shown.

    Raises
    ------
    ConfigError
        If a program or a file of the project is missing, or the webhook is no URL.
    TransientError
        If one of them does not come up.
    """
    if webhook and not webhook.startswith(("http://", "https://")):
        raise ConfigError(f"{webhook!r} is not where alerts can be sent. Cure: a URL with http:// or https://")
    found = programs(environ)
    home = fleet.folder / "monitoring"
    ports = {part: fleet.port(part) for part in (PROMETHEUS, ALERTMANAGER)}
    code = _write(root / "monitoring", home, _local(fleet.port("sidecar")), _local(ports[ALERTMANAGER]), webhook)
    own = environs.scrubbed(environ)
    commands = {
        # An empty cluster address: with one instance there is nobody to gossip with, and no second port is opened.
        ALERTMANAGER: ("--storage.path", str(home / "silences"), "--cluster.listen-address="),
        PROMETHEUS: ("--storage.tsdb.path", str(home / "series")),
    }
    for part, words in commands.items():
        listens = (f"--config.file={home / part}.yml", f"--web.listen-address={_local(ports[part])}")
        fleet.ensure(Spec(part, (found[part], *listens, *words), own, ports[part], "/-/ready", code))
    return {f"{part}_url": fleet.children[part].url for part in PROGRAMS}


def _write(source: Path, home: Path, sidecar: str, alertmanager: str, webhook: str) -> str:
    """Write the copies and return their digest, by which a process of other files is replaced."""
    scraping = _read(source / "prometheus" / "prometheus.yml")
    scraping["scrape_configs"][0]["static_configs"] = [{"targets": [sidecar]}]
    scraping["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    routing = _read(source / "alertmanager" / "alertmanager.yml")
    for receiver in routing["receivers"]:
        hooks = receiver.pop("webhook_configs")
        if webhook:
            receiver["webhook_configs"] = [{**hook, "url": webhook} for hook in hooks]
    files = {
        f"{PROMETHEUS}.yml": yaml.safe_dump(scraping).encode(),
        f"{ALERTMANAGER}.yml": yaml.safe_dump(routing).encode(),
        **{f"rules/{path.name}": path.read_bytes() for path in sorted((source / "prometheus" / "rules").glob("*.yml"))},
    }
    # A rule file that the project has no longer must not be read on.
    shutil.rmtree(home / "rules", ignore_errors=True)
    (home / "rules").mkdir(parents=True)
    for name, data in files.items():
        (home / name).write_bytes(data)
    return zips.digest(zips.pack(files))


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}. Cure: run from the project folder") from error
    return found


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"
