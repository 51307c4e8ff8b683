"""The MLflow model: takes a table of file paths and returns a table of result folders.

MLflow runs this file when it loads a registered model, with the code that was logged with it.
"""

import os
import warnings
from pathlib import Path
from threading import Lock
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from transect.data_adapters.base import BadInput
from transect.pipelines import model_folder
from transect.pipelines.confine import output_folder, server_roots
from transect.pipelines.package import code_sha256
from transect.pipelines.predict_rows import predict_rows

DEVICE = "TRANSECT_DEVICE"


class CaseModel(PythonModel):
    """Predicts cases that are given by the paths of their files.

    Input: a table with one text column per file of a case, named by the adapter's `columns` (for change detection
    `before` and `after`). A relative path that does not exist is resolved against the example of the model. Parameter
    `out`: folder for the results, one subfolder per row. Output: a table with `case`, `status`, `folder` and `message`;
    a row that fails has the error in `message`.

    A server only accesses files below the folders in TRANSECT_ROOTS (separated like PATH), by default its working
    folder. It predicts one request at a time, because drawing is not safe in several threads; `transect serve` uses
    processes.
    """

    lock = Lock()

    def load_context(self, context: Any) -> None:
        """Load the model folder; warn if this process runs other code than the model was registered with."""
        self.example = Path(context.artifacts["example"])
        self.model = model_folder.load(context.artifacts["model"], device=os.environ.get(DEVICE, "auto"))
        expected = (self.example / "code.sha256").read_text(encoding="utf-8")
        if code_sha256() != expected:
            warnings.warn(
                "this process had already imported other code than the model was registered with; "
                "load one model per process, outside a checkout, to run the model's own code",
                stacklevel=2,
            )

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict every row of a table; see the class.

        Raises:
            MlflowException: a column is missing, or a server may not write to `out`. Servers answer it with 400.
        """
        columns, roots = self.model.app.adapter.columns, server_roots()
        try:
            if missing := [column for column in columns if column not in model_input]:
                raise BadInput("table", "columns", f"no {', '.join(missing)}", ", ".join(columns))
            out = output_folder((params or {}).get("out", "predictions"), roots)
        except BadInput as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        rows = [[self._resolve(str(text)) for text in row] for row in model_input[list(columns)].values.tolist()]
        with self.lock:
            answers = predict_rows(self.model, rows, out, None if roots is None else (*roots, self.example))
        return pd.DataFrame(answers, columns=["case", "status", "folder", "message"])

    def _resolve(self, file: str) -> str:
        packaged = self.example / file
        in_example = os.path.isfile(packaged) and packaged.parent == self.example
        return str(packaged) if in_example and not os.path.exists(file) else file


mlflow.models.set_model(CaseModel())
