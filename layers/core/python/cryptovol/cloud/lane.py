"""The whole local lane: market, cloud, MLflow, functions, sidecar and API, started together and stopped together.

::

    market ───────────── api
    cloud ── deploy
    mlflow
    sidecar
    airflow's database

What an earlier command left running is used again if it is what would be started now, else replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptovol import params as params_module
from cryptovol import settings as settings_module
from cryptovol.cloud import airflow_run, commit, deploy, embedded, environs, mlflow_server, parts, processes, zips
from cryptovol.cloud.fleet import Fleet
from cryptovol.cloud.lanes import HOMES
from cryptovol.cloud.state import State, wanted_port
from cryptovol.errors import ConfigError
from cryptovol.settings import Settings

Say = Callable[[str, float], None]
NEEDED = ("params.yaml", "functions", "layers/core/python/cryptovol", "airflow/dags", "localstack/bootstrap")


@dataclass(frozen=True)
class Addresses:
    """Where the lane's parts are, and whose bars they serve."""

    source: str
    market: str
    bucket: str
    cloud_url: str
    mlflow_url: str
    metrics_url: str
    api_url: str
    market_urls: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """What `up` will start, decided before anything is."""

    market: parts.Market
    endpoint: str
    application: Mapping[str, str]
    layer: bytes
    api_port: int
    params_path: Path


class Lane:
    """One project folder's local cloud: the embedded one, which other kinds change where they differ.

    Parameters
    ----------
    root
        The project folder; everything is kept under its ``var``.
    environ
        The caller's environment.
    say
        Told the name of each part that is up and the seconds it took.

    Raises
    ------
    ConfigError
        If the folder is not the project's, or a setting is wrong.
    """

    HOME = HOMES["embedded"]

    def __init__(self, root: Path, environ: Mapping[str, str], say: Say) -> None:
        self.root = root.resolve()
        self.folder = self.root / self.HOME
        self.state = State(self.folder)
        self.fleet = Fleet(self.root, self.state)
        self.airflow_environ: dict[str, str] = {}
        self._environ = environ
        self._settings: Settings = settings_module.load(environ)
        self._say = say
        self._later = ThreadPoolExecutor(1)
        self._tracking: Future[None] | None = None
        for wanted in NEEDED:
            if not (self.root / wanted).exists():
                raise ConfigError(f"{self.root} has no {wanted}. Cure: run from the project folder")
        self.params = params_module.load(self.root / "params.yaml")

    def up(self, *, api_port: int | None = None, symbols: tuple[str, ...] = (), quote: str = "") -> Addresses:
        """Start what does not run yet and return where everything is; MLflow may still be starting, see `settle`.

        Parameters
        ----------
        api_port
            The API's port, or None for the one of last time.
        symbols, quote
            What the API serves, where it is not what `params.yaml` says.

        Raises
        ------
        ConfigError
            If the port is taken, a bar file is missing, or something is not installed.
        TransientError
            If a part does not come up; what this call started is stopped again.
        """
        embedded.require_space(self.folder)
        plan = self._plan(api_port, symbols or self.params.symbols, quote or self.params.quote)
        jobs = self._jobs(plan)
        # MLflow takes longest and is needed last: the DAG may start without it.
        self._tracking = self._later.submit(self._timed, "mlflow", lambda: self._mlflow(plan))
        with ThreadPoolExecutor(len(jobs)) as pool:
            running = [pool.submit(self._timed, name, job) for name, job in jobs.items()]
            try:
                for job in as_completed(running):
                    job.result()
            except BaseException:
                self.fleet.stop_started()  # ends the waiting of the others, too
                raise
        addresses = self._addresses(plan)
        self.state.write_lane(asdict(addresses))
        return addresses

    def _jobs(self, plan: Plan) -> dict[str, Callable[[], None]]:
        """Return what is done side by side, by the name it is told under."""
        return {
            "cloud and functions": lambda: self._cloud(plan),
            "metrics": lambda: self._sidecar(plan),
            "airflow database": lambda: self._airflow(plan),
            "market and api": lambda: self._serve(plan),
        }

    def settle(self) -> None:
        """Return once MLflow is up, too; raise what kept it from that."""
        if self._tracking is not None:
            self._tracking.result()

    def _plan(self, api_port: int | None, symbols: tuple[str, ...], quote: str) -> Plan:
        if api_port is not None and self.fleet.port("api") != api_port:
            wanted_port(api_port, name="the API")
        layer = zips.layer_zip(self.root)
        code = zips.digest(layer)
        market = parts.market(self._settings, self.params, self.root, self.fleet.port("market"), self._environ, code)
        application = environs.application(
            source=market.source,
            market_urls=market.urls,
            market_key=self._settings.cryptocompare_key,
            bucket=self._settings.bucket,
            tracking_uri=f"http://127.0.0.1:{self.fleet.port('mlflow')}",
            git_commit=self._settings.git_commit or commit.head(self.root),
        )
        endpoint = f"http://127.0.0.1:{self.fleet.port('cloud')}"
        params_path = parts.asked_params(self.root, self.folder, symbols, quote)
        return Plan(market, endpoint, application, layer, api_port or self.fleet.port("api"), params_path)

    def _timed(self, name: str, job: Callable[[], None]) -> None:
        started = time.monotonic()
        job()
        self._say(name, time.monotonic() - started)

    def _cloud(self, plan: Plan) -> None:
        if processes.find(self.folder, embedded.NAME) is None:
            embedded.repair(self.folder)
        self.fleet.ensure(embedded.spec(self.folder, self.fleet.port("cloud"), self._environ))
        target = deploy.Target(
            runtime=embedded.RUNTIME,
            bootstrap=embedded.bootstrap(self.root),
            environment={
                **environs.cloud(plan.endpoint),
                **plan.application,
                "CRYPTOVOL_MARKET": plan.market.name,
                **embedded.function_environ(self.folder, plan.layer),
            },
            buckets=(self._settings.bucket, mlflow_server.BUCKET, deploy.DVC_BUCKET),
        )
        s3, functions = deploy.clients(plan.endpoint)
        deploy.deploy(self.root, target, s3=s3, functions=functions)

    def _mlflow(self, plan: Plan) -> None:
        port = self.fleet.port("mlflow")
        self.fleet.ensure(mlflow_server.spec(self.folder, port, self._environ, endpoint=plan.endpoint))

    def _sidecar(self, plan: Plan) -> None:
        code, port = zips.digest(plan.layer), self.fleet.port("sidecar")
        self.fleet.ensure(parts.sidecar(self.folder, port, self._environ, code=code, api_log=self._api_log()))

    def _api_log(self) -> Path:
        return self.folder / "logs" / "api.log"

    def _airflow(self, plan: Plan) -> None:
        self.airflow_environ = airflow_run.environ(
            self.root, self.folder, self._environ, endpoint=plan.endpoint, application=plan.application,
            symbols=self.params.symbols, quote=self.params.quote,
        )  # fmt: skip
        airflow_run.migrate(self.root, self.folder, self.airflow_environ)

    def _market(self, plan: Plan) -> None:
        if plan.market.spec is not None:
            self.fleet.ensure(plan.market.spec)

    def _serve(self, plan: Plan) -> None:
        self._market(plan)
        files = {**zips.read_tree(self.root / "functions" / "predict"), "params": plan.params_path.read_bytes()}
        application = {
            **environs.cloud(plan.endpoint), **plan.application, "CRYPTOVOL_PARAMS": str(plan.params_path),
        }  # fmt: skip
        self.fleet.ensure(
            parts.api(
                self.folder, plan.api_port, self._environ, market_name=plan.market.name, application=application,
                code=zips.digest(plan.layer) + zips.digest(zips.pack(files)),
            )
        )  # fmt: skip

    def _addresses(self, plan: Plan) -> Addresses:
        return Addresses(
            source=plan.market.source,
            market=plan.market.name,
            bucket=self._settings.bucket,
            cloud_url=plan.endpoint,
            mlflow_url=plan.application["MLFLOW_TRACKING_URI"],
            metrics_url=f"{self.fleet.children['sidecar'].url}/metrics",
            api_url=self._api_url(),
            market_urls=plan.market.urls,
        )

    def _api_url(self) -> str:
        return self.fleet.children["api"].url

    def place(self, bucket: str, key: str) -> str:
        """Return where a person can open a stored object."""
        return str(embedded.object_path(bucket, key))

    def open_airflow(self) -> str:
        """Start Airflow's scheduler and UI on the lane and return the UI's address."""
        specs = airflow_run.ui_specs(self.root, self.airflow_environ, self.fleet.port("airflow-ui"))
        return [self.fleet.ensure(spec) for spec in specs][-1].url
