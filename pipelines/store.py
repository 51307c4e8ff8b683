"""Access to the MLflow tracking store: its address, experiments, runs and artifacts."""

import logging
import os
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from transect.pipelines.errors import UsageError
from transect.pipelines.store_check import SQLITE, check, store_errors

logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)  # it logs the traceback of what it raises
warnings.filterwarnings("ignore", module="mlflow")
warnings.filterwarnings("ignore", "The specified dataset source can be interpreted in multiple ways")

DEFAULT_STORE = SQLITE + "mlflow.db"


def store_uri() -> str:
    """The URI in MLFLOW_TRACKING_URI, by default that of `mlflow.db` in the working folder; absolute for SQLite."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    return SQLITE + os.path.abspath(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else uri


def check_store() -> None:
    """Check that the store answers; creates nothing.

    Raises:
        StoreError: it does not.
    """
    check(store_uri())


def use_store() -> str:
    """Open the store at `store_uri`, which creates it if necessary; returns its URI.

    Raises:
        StoreError: it does not answer, or another version of MLflow wrote it.
    """
    uri = store_uri()
    os.environ["MLFLOW_TRACKING_URI"] = uri
    mlflow.set_tracking_uri(uri)
    _open(uri)
    return uri


@cache
def _open(uri: str) -> None:
    with _creation_lock(uri), store_errors(uri):
        check(uri)
        MlflowClient(uri).search_experiments(max_results=1)


def _creation_lock(uri: str) -> AbstractContextManager[Any]:
    """Makes processes take turns, since those that create the same database at the same time disturb each other."""
    file = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE):
        return nullcontext()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(file.parent, os.W_OK):
        return nullcontext()
    return FileLock(file.with_name(f".{file.name}.lock"))


def use_experiment(name: str) -> str:
    """The id of an experiment, which is created if necessary; a local store keeps artifacts in `mlartifacts`.

    Raises:
        StoreError: the store cannot be used.
        UsageError: the experiment was deleted.
    """
    store = use_store()
    with store_errors(store):
        experiment = MlflowClient().get_experiment_by_name(name)
        if experiment is None:
            return _create_experiment(store, name)
    if experiment.lifecycle_stage == "deleted":
        restore = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
        raise UsageError(f"experiment {name}: found it deleted in {store}; bring it back with: {restore}")
    return str(experiment.experiment_id)


def _create_experiment(store: str, name: str) -> str:
    local = store.startswith(SQLITE)
    folder = Path(store.removeprefix(SQLITE)).parent / "mlartifacts" / name
    try:
        return MlflowClient().create_experiment(
            name,
            artifact_location=folder.as_uri() if local else None,
            tags={"mlflow.experimentKind": "custom_model_development"},
        )
    except MlflowException:
        experiment = MlflowClient().get_experiment_by_name(name)
        if experiment is None:
            raise
        return str(experiment.experiment_id)  # another process was quicker


def get_run(run_id: str) -> Run:
    """Get a run by its id.

    Raises:
        UsageError: the run is not in the store.
    """
    with store_errors(use_store()):
        try:
            return MlflowClient().get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise UsageError(f"run {run_id}: not found in {mlflow.get_tracking_uri()}") from error


def download(uri: str) -> Path:
    """Download artifacts to a local folder.

    Args:
        uri: `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `runs:/RUN_ID/PATH`.

    Raises:
        UsageError: the model is not in the store.
    """
    use_store()
    try:
        return Path(mlflow.artifacts.download_artifacts(uri))
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"model {uri}: not found in {mlflow.get_tracking_uri()}: {reason}") from error
