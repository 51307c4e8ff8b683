"""Register a trained or imported model in the MLflow registry."""

import re
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.pyfunc_model import log_model
from transect.pipelines.store import use_experiment, use_store


def register(source: str, name: str, alias: str) -> str:
    """Register a new version of a model, described by its model card.

    Args:
        source: the id of a run, `runs:/RUN_ID/model`, or a model folder.
        name: name of the registered model.
        alias: alias of the new version; an earlier version loses it.

    Returns:
        The URI `models:/NAME@ALIAS`.

    Raises:
        UsageError: the run or the model does not exist, or MLflow refuses the name or the alias.
    """
    if not re.fullmatch(r"[\w-]+", alias) or re.fullmatch(r"v\d+|latest", alias, re.IGNORECASE):
        # MLflow refuses these as well, but only after creating the version.
        raise UsageError(
            f"alias: found {alias!r}, expected letters, digits, _ or -, and neither latest nor a version as v1"
        )
    use_store()
    uri = model_folder.uri(source)
    folder = model_folder.find(uri)
    try:
        if not uri.startswith(("runs:/", "models:/")):
            uri = _log_folder(folder)
        registered = mlflow.register_model(uri, name)
        client = MlflowClient()
        card = (folder / "card.md").read_text(encoding="utf-8") if (folder / "card.md").is_file() else ""
        client.update_model_version(name, registered.version, description=card)
        client.set_registered_model_alias(name, alias, registered.version)
    except MlflowException as error:
        raise UsageError(f"register {source} as {name}@{alias}: {' '.join(str(error).split())}") from error
    return f"models:/{name}@{alias}"


def _log_folder(folder: Path) -> str:
    app_name = model_folder.app_of(folder)
    with mlflow.start_run(experiment_id=use_experiment(app_name), run_name=f"import {folder.name}"):
        mlflow.set_tag("transect.app", app_name)
        return log_model(folder)
