"""Log an evaluation to MLflow, linked to its model and to the run that trained it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput
from mlflow.exceptions import MlflowException

from transect.data_adapters.base import Case
from transect.pipelines.errors import UsageError
from transect.pipelines.model_folder import Model
from transect.pipelines.track import MODEL_SHA256, Tracker, logged_model

ARTIFACTS = ("metrics.json", "cases.csv", "manifest.csv", "report.html", "charts")
"""What a run keeps of the results; the pictures of cases stay in the results folder."""


def describe(tracker: Tracker, model: Model, cases: Sequence[Case], data: str, split: str) -> None:
    """Write what is evaluated: the model and where it comes from, its settings, and the data set.

    Tags of the run: `transect.model`, as it was named; `transect.model_sha256`; `transect.model_version`, such as
    `tiny/3`, of a registered model; `transect.training_run`, where its card names one.
    """
    training_run = training_run_of(model.folder) if model.folder != Path() else ""
    version = _version(model.name)
    tags = {"transect.model": model.name, MODEL_SHA256: model.sha256, "transect.training_run": training_run}
    tags["transect.model_version"] = version
    for name, value in tags.items():
        if value:
            tracker.tag(name, value)
    params = {**asdict(model.app.config), "state": asdict(model.app.state), "evaluate": {"split": split, "data": data}}
    note = f"`{version or model.name}`{_link(training_run)} evaluated"
    tracker.describe(params, cases, data, "evaluation", note)
    if model_id := _mlflow_model(training_run, model.sha256):
        tracker.client.log_inputs(tracker.run_id, models=[LoggedModelInput(model_id)])


def log_results(
    tracker: Tracker, metrics: Mapping[str, float], intervals: Mapping[str, tuple[float, float]], out: Path
) -> None:
    """Write the metrics, the bounds of their 95 % intervals as `NAME/low` and `NAME/high`, and the files."""
    bounds = {f"{name}/{end}": pair[end == "high"] for name, pair in intervals.items() for end in ("low", "high")}
    tracker.metrics((name, value, 0) for name, value in {**metrics, **bounds}.items())
    for path in (out / name for name in ARTIFACTS):
        if path.is_dir():
            mlflow.log_artifacts(str(path), path.name, run_id=tracker.run_id)
        elif path.is_file():
            mlflow.log_artifact(str(path), run_id=tracker.run_id)


def training_run_of(folder: Path) -> str:
    """The id of the run that trained a model, as its card says; "" if it names none."""
    card = folder / "card.md"
    found = (
        re.search(r"Trained in run `([0-9a-f]{32})`", card.read_text("utf-8", "replace")) if card.is_file() else None
    )
    return found[1] if found else ""


def _version(name: str) -> str:
    """The registered version `NAME/NUMBER` that `models:/NAME@ALIAS` names; "" if it names none."""
    model = re.fullmatch(r"models:/([^/@]+)(?:@(.+)|/(\d+))", name)
    if model is None:
        return ""
    number = model[3] or MlflowClient().get_model_version_by_alias(model[1], model[2]).version
    return f"{model[1]}/{number}"


def _link(run_id: str) -> str:
    """A link to the page of a run in the store; "" if it is not there."""
    try:
        experiment = MlflowClient().get_run(run_id).info.experiment_id if run_id else ""
    except MlflowException:
        return f" of run `{run_id}`"
    return f" of run [{run_id}](#/experiments/{experiment}/runs/{run_id})" if run_id else ""


def _mlflow_model(run_id: str, sha256: str) -> str:
    try:
        return logged_model(run_id, sha256) if run_id else ""
    except UsageError:  # the run is in another store
        return ""
