"""The Python interface behind `transect.load` and `transect.app`: the same steps as the command line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transect.data_adapters.base import Case
from transect.pipelines import config, model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_class
from transect.pipelines.predict import predict_cases
from transect.pipelines.predict_case import write_case
from transect.pipelines.results import Outcome

Settings = Mapping[str, object]
"""Settings by their dotted names, such as `{"read.nodata": 0}`; `--print-config` shows them all."""


class Reader:
    """Reads the cases of a domain.

    Args:
        name: of the app.
        settings: that differ from the app's defaults.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.app = app_class(name)(config.load(name, None, _words(settings)))

    def cases(self, *inputs: str | Path) -> Sequence[Case]:
        """The cases in a folder, a table or the files of one case.

        Raises:
            BadInput: there are none.
        """
        cases: Sequence[Case] = self.app.adapter.cases(*map(str, inputs))
        return cases

    def read(self, *files: str | Path) -> Any:
        """The sample of one case, which may read lazily.

        Raises:
            BadInput: the case cannot be read.
            UsageError: the files are not exactly one case.
        """
        return self.app.adapter.read(_only(self.cases(*files), files))


class Model:
    """A trained model.

    Args:
        name: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`.
        settings: that differ from the model's.
        device: as `--device` names it.
    """

    def __init__(self, name: str, settings: Settings, device: str) -> None:
        self.model = model_folder.load(name, _words(settings), device)

    def predict(self, *inputs: str | Path) -> "Result":
        """One case, opened; it is computed when it is saved.

        Raises:
            BadInput: the case cannot be read.
            UsageError: the inputs are not exactly one case.
        """
        return Result(self.model, _only(self.model.app.adapter.cases(*map(str, inputs)), inputs))

    def predict_batch(
        self, inputs: str | Path | Sequence[str | Path], out: str | Path, workers: int = 1, overwrite: bool = False
    ) -> list[Outcome]:
        """Predict all cases in `inputs` into `out`, as `transect predict` does; returns one outcome a case.

        Raises:
            BadInput: there is no case.
            UsageError: `out` holds another model's results and `overwrite` is not set.
        """
        names = [inputs] if isinstance(inputs, str | Path) else inputs
        return predict_cases(self.model, [str(name) for name in names], Path(out), workers, overwrite=overwrite)


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
        """Write the prediction in the formats of its domain, with pictures and a record; returns the folder.

        Raises:
            UsageError: the folder holds something else than an earlier result.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / "done.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder}: found other files, expected a new folder or an earlier result")
        write_case(self._model, self.case, folder)
        return folder


def _only(cases: Sequence[Case], inputs: Sequence[object]) -> Case:
    if len(cases) != 1:
        raise UsageError(f"{' '.join(map(str, inputs))}: found {len(cases)} cases, expected one; use predict_batch")
    return cases[0]


def _words(settings: Settings) -> list[str]:
    """Settings as the words of a command line."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]
