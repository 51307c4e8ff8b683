"""The MLflow model: takes a table of file paths and returns a table of result folders.

MLflow runs this file when it loads a registered model, with the code that was logged with it.
"""

import os
import warnings
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from transect.data_adapters.base import BadInput, Case
from transect.pipelines import model_folder
from transect.pipelines.errors import one_line
from transect.pipelines.predict_case import predict_case
from transect.pipelines.results import Outcome

ROOTS, DEVICE = "TRANSECT_ROOTS", "TRANSECT_DEVICE"
_SERVER_MARK = "__pyfunc_model_path__"  # MLflow's scoring server sets it


class CaseModel(PythonModel):
    """Predicts cases that are given by the paths of their files.

    Input: a table with one text column per file of a case, named by the adapter's `columns` (for change detection
    `before` and `after`). A relative path that does not exist is resolved against the example of the model. Parameter
    `out`: folder for the results, one subfolder per row. Output: a table with `case`, `status`, `folder` and `message`;
    a row that fails has the error in `message`.

    A server only accesses files below the folders in TRANSECT_ROOTS (separated like PATH), by default its working
    folder.
    """

    def load_context(self, context: Any) -> None:
        """Load the model folder; warn if this process runs other code than the model was registered with."""
        self.example = Path(context.artifacts["example"])
        self.model = model_folder.load(context.artifacts["model"], device=os.environ.get(DEVICE, "auto"))
        expected = (self.example / "code.sha256").read_text(encoding="utf-8")
        if model_folder.code_sha256() != expected:
            warnings.warn(
                "this process had already imported other code than the model was registered with; "
                "load one model per process, outside a checkout, to run the model's own code",
                stacklevel=2,
            )

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict every row of a table; see the class.

        Raises:
            ValueError: a column is missing.
            BadInput: a server may not write to `out`.
        """
        out = Path((params or {}).get("out", "predictions"))
        columns = self.model.app.adapter.columns
        missing = [column for column in columns if column not in model_input]
        if missing:
            raise ValueError(f"columns: found {', '.join(model_input.columns)}, expected {', '.join(columns)}")
        _confine(out)
        rows = [self._predict_row([str(row[column]) for column in columns], out) for _, row in model_input.iterrows()]
        return pd.DataFrame(rows, columns=["case", "status", "folder", "message"])

    def _predict_row(self, files: list[str], out: Path) -> tuple[str, str, str, str]:
        try:
            paths = [self._resolve(file) for file in files]
            (case,) = self.model.app.adapter.cases(*paths)
            outcome = self._predict_case(case, out)
        except Exception as error:
            outcome = Outcome(" ".join(files), "failed", 0.0, one_line(error))
        folder = str((out / outcome.case).absolute()) if outcome.status == "done" else ""
        return outcome.case, outcome.status, folder, outcome.message

    def _predict_case(self, case: Case, out: Path) -> Outcome:
        for file in case.files:
            _confine(Path(file), self.example)
        return predict_case(self.model, case, out)

    def _resolve(self, file: str) -> str:
        packaged = (self.example / file).resolve()
        exists = packaged.exists() and packaged.is_relative_to(self.example.resolve())
        return str(packaged) if exists and not Path(file).exists() else file


def _confine(path: Path, *allowed: Path) -> None:
    """Refuse a path outside the folders that a server may access, which are TRANSECT_ROOTS and `allowed`."""
    if _SERVER_MARK not in os.environ and ROOTS not in os.environ:
        return
    roots = [*map(Path, os.environ.get(ROOTS, os.getcwd()).split(os.pathsep)), *allowed]
    if not any(path.resolve().is_relative_to(root.resolve()) for root in roots):
        raise BadInput(path, "path", "a path outside the served folders", "a file below one of them", f"set {ROOTS}")


mlflow.models.set_model(CaseModel())
