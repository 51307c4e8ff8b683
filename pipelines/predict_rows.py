"""Predict the rows of a request, each the files of one case, for the servers of Transect and MLflow."""

from collections.abc import Sequence
from pathlib import Path

from transect.data_adapters.base import BadInput, Case
from transect.pipelines.claim import require_apart
from transect.pipelines.confine import Roots, confined_files, is_confined, without_roots
from transect.pipelines.errors import one_line
from transect.pipelines.model_folder import Model
from transect.pipelines.predict_case import predict_case
from transect.pipelines.results import Outcome


def predict_rows(model: Model, rows: Sequence[Sequence[str]], out: Path, roots: Roots | None) -> list[dict[str, str]]:
    """Predict each row into a folder below `out`.

    Args:
        model: the model.
        rows: the files of each case, in the order of the adapter's `columns`.
        out: folder for the results.
        roots: folders that inputs may come from; None for any, URLs included.

    Returns:
        For each row `case`, `status`, `folder` and `message`; a row that fails has the error in `message`.
    """
    answers = []
    for row in rows:
        outcome = _predict_row(model, row, out, roots)
        folder = str((out / outcome.case).absolute()) if outcome.status == "done" else ""
        message = outcome.message
        if roots is not None:
            message = without_roots(message, roots, row)
        answers.append({"case": outcome.case, "status": outcome.status, "folder": folder, "message": message})
    return answers


def _predict_row(model: Model, row: Sequence[str], out: Path, roots: Roots | None) -> Outcome:
    try:
        case = _case(model, row, roots)
        require_apart(out, (), [case], model)
        return predict_case(model, case, out)
    except Exception as error:
        return Outcome(" ".join(filter(None, row)), "failed", 0.0, one_line(error))


def _case(model: Model, row: Sequence[str], roots: Roots | None) -> Case:
    if not any(text.strip() for text in row):
        raise BadInput("row", " and ".join(model.app.adapter.columns), "nothing", "the files of a case")
    files = row if roots is None else [confined_files(text, roots) for text in row]
    cases: Sequence[Case] = model.app.adapter.cases(*files)
    if len(cases) != 1:
        raise BadInput(" ".join(filter(None, row)), "cases", len(cases), "one", "send a row for each case")
    for file in cases[0].files:
        if roots is not None and not is_confined(file, roots):
            raise BadInput(" ".join(filter(None, row)), "files", "one outside the served folders", "files below them")
    return cases[0]
