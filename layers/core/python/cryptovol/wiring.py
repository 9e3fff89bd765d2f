"""The composition root: settings in, real ports out. Tests and `dvc repro` swap any of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cryptovol import params as params_module
from cryptovol import settings as settings_module
from cryptovol.params import Params
from cryptovol.ports import BarSource, Clock, Journal, Log, Meter, Store, Tracker
from cryptovol.settings import Settings

if TYPE_CHECKING:
    from cryptovol.adapters.sources.patience import Patience


def wall_clock() -> int:
    """Return the current unix seconds."""
    return int(time.time())


@dataclass
class Ports:
    """What the stages need from outside, each made at first use: a function pays only for what it touches.

    Parameters
    ----------
    settings, params
        Deployment and science.
    folder
        With a folder, everything is kept there as files and no cloud is needed; without, in the S3 bucket.
    clock
        Returns unix seconds.
    bounded
        Whether market sources must be done within `sources.budget_seconds`, as a function must that is ended by force;
        a person at a terminal has the time and Ctrl-C.
    lean
        Whether the store should be opened without boto3 where that is enough: for a process whose start somebody waits for.
    """

    settings: Settings
    params: Params
    folder: Path | None = None
    clock: Clock = wall_clock
    bounded: bool = False
    lean: bool = False

    @cached_property
    def store(self) -> Store:
        """The object store."""
        if self.folder is not None:
            from cryptovol.adapters.files import FileStore

            return FileStore(self.folder)
        settings_module.require_cloud(os.environ)
        if self.lean:
            from cryptovol.adapters import s3lean

            lean = s3lean.from_environ(self.settings.bucket, os.environ)
            if lean is not None:
                return lean
        import boto3
        from botocore.config import Config

        from cryptovol.adapters.s3 import S3Store

        # botocore's defaults wait a minute for a dead endpoint, five times: longer than any request may.
        patience = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 3})
        return S3Store(self.settings.bucket, boto3.client("s3", config=patience))

    @cached_property
    def source(self) -> BarSource:
        """The market source."""
        from cryptovol.adapters.sources import open_source

        return open_source(self.settings, self.params, clock=self.clock, patience=self.patience)

    @cached_property
    def second(self) -> Callable[[str], BarSource | None]:
        """What gives, for a venue's name, a source of the other venues, or None if there is none."""
        from cryptovol.adapters.sources import open_second

        return open_second(self.settings, self.params, clock=self.clock, patience=self.patience)

    @cached_property
    def patience(self) -> Patience:
        """What both sources share: tries, and one time budget."""
        from cryptovol.adapters.sources.patience import Patience

        own = self.params.sources
        return Patience(tries=own.tries, budget=own.budget_seconds if self.bounded else None)

    @cached_property
    def tracker(self) -> Tracker:
        """MLflow where a server is set; files in the store where there is none, and for a folder."""
        from cryptovol.adapters import tracking

        if self.settings.tracking_uri and self.folder is None:
            return tracking.MlflowTracker(self.settings.tracking_uri)
        return tracking.StoreTracker(self.store)

    @cached_property
    def meter(self) -> Meter:
        """EMF lines on standard output; quiet for a folder, where nothing collects them."""
        from cryptovol.adapters import telemetry

        return telemetry.EmfMeter() if self.folder is None else telemetry.QuietMeter()

    @cached_property
    def log(self) -> Log:
        """JSON lines on standard output; quiet for a folder, where it belongs to the person at the terminal."""
        from cryptovol.adapters import eventlog

        return eventlog.EventLog(self.settings.log_level) if self.folder is None else eventlog.QuietLog()

    @cached_property
    def journal(self) -> Journal:
        """A spool where one is set, shipped to the store; else lines on standard output, on Lambda the function's log."""
        from cryptovol.adapters import shipping, spool

        if self.settings.spool is None:
            return spool.Lines()
        journal = spool.Spool(self.settings.spool, self.meter)
        shipping.Shipper(journal, self.store, self.meter).start()
        return journal


def open_ports(folder: Path | None = None, *, bounded: bool = False, lean: bool = False) -> Ports:
    """Return the ports that the environment and `params.yaml` describe; see `Ports`.

    Raises
    ------
    ConfigError
        If a setting or a parameter is wrong.
    """
    settings = settings_module.load(os.environ)
    return Ports(settings, params_module.load(settings.params_path), folder, bounded=bounded, lean=lean)
