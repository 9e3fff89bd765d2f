"""The lane on LocalStack: the same parts, but the API is where it is on AWS, behind API Gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptovol.cloud import apigateway, deploy, embedded, lanes, localstack, mlflow_server, parts
from cryptovol.cloud.lane import Addresses, Lane, Plan
from cryptovol.errors import ConfigError


class LocalStackLane(Lane):
    """See `Lane`; the API's address is a path of LocalStack's own."""

    HOME = lanes.HOMES["localstack"]
    _url = ""

    def up(self, *, api_port: int | None = None, symbols: tuple[str, ...] = (), quote: str = "") -> Addresses:
        """See `Lane.up`.

        Raises
        ------
        ConfigError
            Also if a port is asked for, or LocalStack is not installed.
        """
        if api_port is not None:
            raise ConfigError("on LocalStack the API has no port of its own. Cure: leave out --port")
        localstack.python(self.root)
        return super().up(symbols=symbols, quote=quote)

    def _jobs(self, plan: Plan) -> dict[str, Callable[[], None]]:
        return {
            "cloud and api": lambda: self._cloud(plan),
            "metrics": lambda: self._sidecar(plan),
            "airflow database": lambda: self._airflow(plan),
            "market": lambda: self._market(plan),
        }

    def _cloud(self, plan: Plan) -> None:
        child = self.fleet.ensure(localstack.spec(self.root, self.folder, self.fleet.port("cloud"), self._environ))
        environment = {
            **plan.application,
            "CRYPTOVOL_MARKET": plan.market.name,
            "LAMBDA_LOG_FOLDER": str(embedded.log_folder(self.folder)),
        }
        target = deploy.Target(
            runtime=localstack.RUNTIME, bootstrap=None, environment=environment,
            buckets=(self._settings.bucket, mlflow_server.BUCKET, deploy.DVC_BUCKET),
        )  # fmt: skip
        s3, functions = deploy.clients(plan.endpoint)
        deploy.deploy(self.root, target, s3=s3, functions=functions)
        layer = deploy.ensure_layer(functions, plan.layer, target.runtime)
        app = apigateway.App(plan.params_path, layer, target.role, {**environment, **self._api_environ()})
        life = f"{child.pid} {child.born}"
        self._url = apigateway.deploy(
            self.root, self.folder / "api", app, endpoint=plan.endpoint, life=life, environ=self._environ
        )

    def _api_environ(self) -> dict[str, str]:
        """Return what only the API is told; with keys it is deployed with the authorizer, as on AWS."""
        given = {name: self._environ[name] for name in parts.API_SETTINGS if self._environ.get(name)}
        keyed = {"CRYPTOVOL_CLOUD": "aws"} if self._settings.api_keys else {}
        return {"CRYPTOVOL_METRICS_STATE": str(parts.metrics_state(self.folder)), **given, **keyed}

    def _api_log(self) -> Path:
        return embedded.log_folder(self.folder) / f"{apigateway.FUNCTION}.log"

    def _api_url(self) -> str:
        return self._url

    def place(self, bucket: str, key: str) -> str:
        """Return the object's address; LocalStack serves it to anybody on this machine."""
        return f"http://127.0.0.1:{self.fleet.port('cloud')}/{bucket}/{key}"
