"""Access to the MLflow tracking store: its address, experiments, runs and artifacts."""

import logging
import os
import warnings
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from transect.pipelines.errors import UsageError

logging.getLogger("mlflow").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="mlflow")
warnings.filterwarnings("ignore", "The specified dataset source can be interpreted in multiple ways")

_SQLITE = "sqlite:///"
DEFAULT_STORE = _SQLITE + "mlflow.db"


def use_store() -> str:
    """Use the store at MLFLOW_TRACKING_URI, by default `mlflow.db` in the working folder; returns its URI."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    if uri.startswith(_SQLITE):
        uri = _SQLITE + os.path.abspath(uri.removeprefix(_SQLITE))
    os.environ["MLFLOW_TRACKING_URI"] = uri
    mlflow.set_tracking_uri(uri)
    return uri


def use_experiment(name: str) -> str:
    """The id of an experiment, which is created if necessary; a local store keeps artifacts in `mlartifacts`."""
    store = use_store()
    experiment = MlflowClient().get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    local = store.startswith(_SQLITE)
    folder = Path(store.removeprefix(_SQLITE)).parent / "mlartifacts" / name
    return MlflowClient().create_experiment(
        name,
        artifact_location=folder.as_uri() if local else None,
        tags={"mlflow.experimentKind": "custom_model_development"},
    )


def get_run(run_id: str) -> Run:
    """Get a run by its id.

    Raises:
        UsageError: the run is not in the store.
    """
    use_store()
    try:
        return MlflowClient().get_run(run_id)
    except MlflowException as error:
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
