"""The Python interface behind `transect.load` and `transect.app`: the same steps as the command line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transect.data_adapters.base import BadInput, Case
from transect.pipelines import config, model_folder
from transect.pipelines.arguments import PICTURED_CASES
from transect.pipelines.claim import require_apart
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_class
from transect.pipelines.predict import predict_cases
from transect.pipelines.predict_case import written_case
from transect.pipelines.results import Outcome, require_own, run_of

Settings = Mapping[str, object]
"""Settings by dotted name, such as `{"read.nodata": 0}`; `--print-config` lists them all."""


class Reader:
    """Reads the cases of a domain.

    Args:
        name: name of the app.
        settings: settings that differ from the app's defaults.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.app = app_class(name)(config.load(name, None, _arguments(settings)))

    def cases(self, *inputs: str | Path) -> Sequence[Case]:
        """Find the cases in a folder, a table or the files of one case.

        Raises:
            BadInput: no case is found.
        """
        cases: Sequence[Case] = self.app.adapter.cases(*map(str, inputs))
        return cases

    def read(self, *files: str | Path) -> Any:
        """Read one case.

        Args:
            files: the files of the case.

        Returns:
            The sample, which may load its data lazily.

        Raises:
            BadInput: the case cannot be read.
            UsageError: the files are not exactly one case.
        """
        return self.app.adapter.read(_only(self.cases(*files), files))


class Model:
    """A trained model.

    Args:
        name: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`.
        settings: settings that differ from the model's.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
    """

    def __init__(self, name: str, settings: Settings, device: str) -> None:
        self.model = model_folder.load(name, _arguments(settings), device)

    def predict(self, *inputs: str | Path) -> "Result":
        """Open one case for prediction; it is computed when the result is saved.

        Args:
            inputs: the files of one case, or a folder or table that holds one.

        Raises:
            BadInput: the case cannot be read.
            UsageError: the inputs are not exactly one case.
        """
        return Result(self.model, _only(self.model.app.adapter.cases(*map(str, inputs)), inputs))

    def predict_batch(
        self,
        inputs: str | Path | Sequence[str | Path],
        out: str | Path,
        workers: int = 1,
        overwrite: bool = False,
        pictures: int | None = PICTURED_CASES,
    ) -> list[Outcome]:
        """Predict all cases, as `transect predict` does.

        Args:
            inputs: a folder, a table, or the files of one case.
            out: folder for the results, one subfolder per case.
            workers: number of processes; with more than one, a script calls this below `if __name__ == "__main__":`.
            overwrite: predict finished cases again.
            pictures: number of cases, the first ones, that get pictures and views; None for all.

        Returns:
            One outcome per case.

        Raises:
            BadInput: no case is found.
            UsageError: `out` holds results of another model and `overwrite` is not set, or another model is running
                there, or it is, contains or lies in an input.
        """
        paths = [str(path) for path in ([inputs] if isinstance(inputs, str | Path) else inputs)]
        return predict_cases(self.model, paths, Path(out), workers, overwrite=overwrite, pictures=pictures)


class Result:
    """The prediction for one case.

    Attributes:
        case: its id, group and files.
        sample: the opened input, in the domain's units.
    """

    def __init__(self, model: model_folder.Model, case: Case) -> None:
        self._model, self.case = model, case
        self.sample = model.app.adapter.read(case)

    def save(self, folder: str | Path) -> Path:
        """Compute the prediction and write it in the file formats of its domain, with pictures and `done.json`.

        Args:
            folder: a new or empty folder, or that of an earlier result of this case, which is replaced.

        Returns:
            The folder.

        Raises:
            BadInput: the case cannot be read.
            UsageError: the folder holds other files than an earlier result, or is, contains or lies in an input.
        """
        folder = Path(folder).resolve()
        require_apart(folder, (), [self.case], self._model)
        try:
            require_own(folder, self.case.id)
        except BadInput as error:
            raise UsageError(str(error)) from error
        with written_case(self._model, self.case, folder, run_of(self._model, "predict")):
            return folder


def _only(cases: Sequence[Case], inputs: Sequence[object]) -> Case:
    if len(cases) != 1:
        raise UsageError(f"{' '.join(map(str, inputs))}: found {len(cases)} cases, expected one; use predict_batch")
    return cases[0]


def _arguments(settings: Settings) -> list[str]:
    """Settings as command line arguments."""
    return [f"--{key}={value if isinstance(value, str) else _json(key, value)}" for key, value in settings.items()]


def _json(key: str, value: object) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        kinds = "text, a number, true, false, null, a list or a mapping of them"
        raise UsageError(f"{key}: found a value of type {type(value).__name__}, expected {kinds} ({error})") from error
