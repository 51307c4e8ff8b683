"""Package a model folder as an MLflow model, with its code, an example and pinned requirements."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from packaging.requirements import Requirement

from transect.apps.base import App
from transect.data_adapters.files import sha256
from transect.pipelines import model_folder
from transect.pipelines.model_folder import app_of
from transect.pipelines.package import PACKAGE, code_sha256
from transect.pipelines.track import MODEL_SHA256, logged_model


def log_model(folder: Path) -> str:
    """Log a model folder to the active run as an MLflow model, unless the run has it already; returns its URI."""
    content_hash = sha256(folder)
    run = mlflow.active_run()
    if run and (model_id := logged_model(run.info.run_id, content_hash)):
        return f"models:/{model_id}"
    with _content(folder) as content:
        return str(mlflow.pyfunc.log_model(name="model", tags={MODEL_SHA256: content_hash}, **content).model_uri)


def save_model(folder: Path, path: Path) -> None:
    """Save a model folder as an MLflow model in the folder `path`."""
    with _content(folder) as content:
        mlflow.pyfunc.save_model(path, **content)


@contextmanager
def _content(folder: Path) -> Iterator[dict[str, Any]]:
    folder = folder.absolute()
    app_name = app_of(folder)
    app = model_folder.app_for(folder)
    with tempfile.TemporaryDirectory() as scratch:
        example = Path(scratch, "example")
        row = _write_example(app, Path(scratch, "phantom"), example)
        (example / "code.sha256").write_text(code_sha256(), encoding="utf-8")
        # MLflow validates the example by predicting it, which writes into the current folder.
        with chdir(scratch), _without_warnings():
            yield {
                "python_model": str(Path(__file__).with_name("pyfunc.py")),
                "artifacts": {"model": str(folder), "example": str(example)},
                "code_paths": [str(PACKAGE)],
                "signature": _signature(app),
                "input_example": (row, {"out": "predictions"}),
                "pip_requirements": pinned_requirements(app_name),
                "metadata": {"app": app_name, "code_sha256": code_sha256()},
            }


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without warnings of the example, which a user would take for those of their own data."""
    log = logging.getLogger("transect")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _signature(app: App[Any, Any]) -> ModelSignature:
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, column) for column in app.adapter.columns]),
        outputs=Schema([ColSpec(DataType.string, column) for column in ("case", "status", "folder", "message")]),
        params=ParamSchema([ParamSpec("out", DataType.string, "predictions")]),
    )


def _write_example(app: App[Any, Any], scratch: Path, example: Path) -> pd.DataFrame:
    """Write the files of one synthetic case to `example`, named by column; returns the row of input."""
    example.mkdir()
    if hasattr(app.adapter, "example"):  # optional for an adapter
        return pd.DataFrame([app.adapter.example(example)])
    app.adapter.phantom(scratch, 3, 0)
    case = app.adapter.cases(str(scratch))[0]
    row = {}
    for column, file in zip(app.adapter.columns, case.files, strict=False):
        row[column] = f"{column}{Path(file).suffix}"
        shutil.copyfile(file, example / row[column])
    return pd.DataFrame([row])


def pinned_requirements(app_name: str) -> list[str]:
    """The requirements of transect for an app, pinned to the installed versions without local version labels."""
    requirements = [Requirement(text) for text in requires("transect") or []]
    names = {item.name for item in requirements if item.marker is None or item.marker.evaluate({"extra": app_name})}
    return [f"{name}=={version(name).partition('+')[0]}" for name in sorted(names - {"transect"})]
