"""Trackers: MLflow over HTTP by `mlflow-skinny`, and plain files in the store where no server is set."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptovol import tables
from cryptovol.errors import KeyNotFoundError, TransientError
from cryptovol.ports import Store, TrackedRun

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

EXPERIMENT = "cryptovol"
IDENTITY = "cryptovol.identity"  # tag that finds a run again when a killed training is repeated


class MlflowTracker:
    """Logs to an MLflow server and its model registry; talks HTTP only."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")

    @cached_property
    def _client(self) -> MlflowClient:
        # The default is minutes of silent retries, which a stage's time budget does not have.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def log(
        self,
        name: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        fold_metrics: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
        tags: Mapping[str, str],
    ) -> TrackedRun:
        """Log one run and register its version; a run with the same bundle and run id is reused, not doubled.

        Raises
        ------
        TransientError
            If the server does not answer or refuses.
        """
        identity = f"{name}/{tags['run_id']}/{tags['bundle_sha256'][:16]}"
        with self._told(name):
            run = self._recorded(name, identity, params, metrics, fold_metrics, artifacts, tags)
            return TrackedRun(run.info.run_id, self._version(name, run, tags), self._url(run))

    def note(
        self,
        name: str,
        *,
        identity: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        series: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
        tags: Mapping[str, str],
    ) -> TrackedRun:
        """Log one run without a registered version; a run of the same identity is reused, not doubled.

        Raises
        ------
        TransientError
            If the server does not answer or refuses.
        """
        with self._told(name):
            run = self._recorded(name, f"{name}/{identity}", params, metrics, series, artifacts, tags)
            return TrackedRun(run.info.run_id, "", self._url(run))

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Turn MLflow's own errors into ours."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise TransientError(f"MLflow at {self._uri} did not take the run of {name}: {error}") from error

    def _url(self, run: Run) -> str:
        return f"{self._uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"

    def _recorded(
        self,
        name: str,
        identity: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        series: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
        tags: Mapping[str, str],
    ) -> Run:
        """Return the finished run of an identity, made unless it is there."""
        experiment = self._experiment()
        run = self._started(experiment, identity)
        if run is None:
            run = self._client.create_run(experiment, run_name=name, tags={**tags, IDENTITY: identity})
            self._fill(run.info.run_id, params, metrics, series, artifacts)
            self._client.set_terminated(run.info.run_id)
        return run

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                return str(self._client.create_experiment(EXPERIMENT))
            except MlflowException:
                found = self._client.get_experiment_by_name(EXPERIMENT)  # another function was first
                if found is None:
                    raise
        return str(found.experiment_id)

    def _started(self, experiment: str, identity: str) -> Run | None:
        """Return the finished run of an earlier attempt, if there is one."""
        query = f"tags.`{IDENTITY}` = '{identity}' and attributes.status = 'FINISHED'"
        runs = self._client.search_runs([experiment], filter_string=query, max_results=1)
        return runs[0] if runs else None

    def _fill(
        self,
        run_id: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        fold_metrics: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
    ) -> None:
        from mlflow.entities import Metric, Param

        logged = [Metric(name, value, 0, 0) for name, value in metrics.items()]
        logged += [Metric(n, value, 0, step) for n, values in fold_metrics.items() for step, value in enumerate(values)]
        settings = [Param(name, str(value)) for name, value in flatten(params).items()]
        self._client.log_batch(run_id, metrics=logged, params=settings)
        with tempfile.TemporaryDirectory() as folder:
            for name, data in artifacts.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._client.log_artifacts(run_id, folder)

    def _version(self, name: str, run: Run, tags: Mapping[str, str]) -> str:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for version in self._client.search_model_versions(f"name = '{name}'"):
            if version.run_id == run.info.run_id:
                return str(version.version)
        source = f"{run.info.artifact_uri}/bundle"
        made = self._client.create_model_version(name, source, run.info.run_id, tags=dict(tags), await_creation_for=0)
        return str(made.version)

    def alias(self, name: str, *, version: str, alias: str) -> None:
        """Point an alias of the registered model at a version."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.set_registered_model_alias(name, alias, version)
        except MlflowException as error:
            raise TransientError(f"MLflow at {self._uri} did not set {name}@{alias}: {error}") from error


class StoreTracker:
    """Keeps runs as files in the store; the same run again gives the same bytes and the same version."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def log(
        self,
        name: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        fold_metrics: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
        tags: Mapping[str, str],
    ) -> TrackedRun:
        """Write the run under ``tracking/<name>/<bundle>/``; its version is the bundle's short hash."""
        version = tags["bundle_sha256"][:12]
        url = self._written(f"tracking/{name}/{version}", params, metrics, fold_metrics, artifacts, tags)
        return TrackedRun(version, version, url)

    def note(
        self,
        name: str,
        *,
        identity: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        series: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
        tags: Mapping[str, str],
    ) -> TrackedRun:
        """Write the run under ``tracking/<name>/<identity>/`` unless it is there."""
        prefix = f"tracking/{name}/{identity}"
        if not self._store.exists(f"{prefix}/run.json"):
            self._written(prefix, params, metrics, series, artifacts, tags)
        return TrackedRun(identity, "", f"{prefix}/run.json")

    def _written(
        self,
        prefix: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        series: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
        tags: Mapping[str, str],
    ) -> str:
        """Write a run's files and return the key of the last, which names the rest."""
        for file, data in artifacts.items():
            self._store.put(f"{prefix}/{file}", data)
        body = {"params": flatten(params), "metrics": dict(metrics), "folds": dict(series), "tags": dict(tags)}
        self._store.put(f"{prefix}/run.json", tables.encode_json(body))
        return f"{prefix}/run.json"

    def alias(self, name: str, *, version: str, alias: str) -> None:
        """Write the version an alias points at; a version never logged is refused."""
        if not self._store.exists(f"tracking/{name}/{version}/run.json"):
            raise KeyNotFoundError(f"{name} has no tracked version {version}")
        self._store.put(f"tracking/{name}/{alias}.json", tables.encode_json({"version": version}))


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested parameters as one level, names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat
