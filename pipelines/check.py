"""Check data before work: read every case without a model, and tell what was read."""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from transect.apps.base import App
from transect.data_adapters.base import BadInput, Case, shown
from transect.data_adapters.files import sha256, whole_folder, write_json
from transect.pipelines import config, model_folder
from transect.pipelines.claim import claim_check, require_apart
from transect.pipelines.console import Progress
from transect.pipelines.errors import one_line, raise_signal
from transect.pipelines.find import app_class, app_names
from transect.pipelines.predict_case import write_record
from transect.pipelines.results import Outcome, require_own, write_manifest, write_table
from transect.pipelines.splits import summary, with_splits

log = logging.getLogger("transect")

LISTED = 5
"""Number of files that are left out whose names are given."""

Facts = dict[str, float | str]


@dataclass(frozen=True)
class Checked:
    """What was read of a case.

    Args:
        case: the case.
        facts: what the adapter reports, such as sizes and units.
        warnings: what is suspicious in it, or unlike the training data of the model.
        problem: why the case cannot be used; empty if it can.
        seconds: time that it took.
    """

    case: Case
    facts: Facts = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    problem: str = ""
    seconds: float = 0.0


def check(
    source: str, inputs: Sequence[str], out: Path | None = None, file: Path | None = None, overrides: Sequence[str] = ()
) -> tuple[list[Checked], str]:
    """Read every case of a data set.

    With `out`, writes `cases.csv` (case, group, split, files, problem, warnings and the facts), `manifest.csv`, and for
    each case that can be read a folder with `facts.json` and what the adapter writes.

    Args:
        source: name of an app, whose defaults are used, or a model, whose settings and state are.
        inputs: the data, as for prediction.
        out: folder for what was read; nothing is written by default.
        file: settings as YAML.
        overrides: settings as command line arguments.

    Returns:
        One entry per case, and a summary of the data set: for an app how training would split it, and for all the files
        in its folders that belong to no case.

    Raises:
        UsageError: there is no such app or model, a setting is wrong, or `out` holds other results or is, contains or
            lies in an input.
        BadInput: no case is found.
    """
    app = _app(source, file, overrides)
    cases = app.adapter.cases(*inputs)
    if out is not None:
        require_apart(out, inputs, cases)
        claim_check(out)
    progress = Progress("checking", len(cases), "cases")
    checked = []
    try:
        for case in cases:
            checked.append(_checked(app, case, out))
            progress.advance(case.id)
    finally:
        progress.close()
    if out is not None:
        _write_tables(checked, out)
    splits = _summary(app, cases) if source in app_names() else ""
    descriptions = getattr(app.adapter, "descriptions", ())
    return checked, "\n".join(filter(None, [splits, _left_out(inputs, cases, descriptions)]))


def _app(source: str, file: Path | None, overrides: Sequence[str]) -> App[Any, Any]:
    if source not in app_names():
        return model_folder.app_for(model_folder.find(source), overrides, file)
    app: App[Any, Any] = app_class(source)(config.load(source, file, overrides))
    return app


def _checked(app: App[Any, Any], case: Case, out: Path | None) -> Checked:
    clock = time.monotonic()
    try:
        sample = app.adapter.read(case)
        differences = app.compare(sample)
        require = partial(require_own, case=case.id)
        with whole_folder(out / case.id, require) if out else nullcontext() as folder:
            reads = getattr(app.adapter, "check", None)  # optional for an adapter
            facts = reads(case, sample, folder) if reads else {}
            warnings = [str(facts.pop("warnings"))] if "warnings" in facts else []
            warnings += differences
            if folder is not None:
                write_json(folder / "facts.json", {"case": case.id, **facts, "warnings": warnings})
                write_record(
                    folder,
                    {
                        "case": case.id,
                        "kind": "check",
                        "outputs": {path.name: sha256(path) for path in folder.iterdir()},
                    },
                )
        return Checked(case, facts, tuple(warnings), seconds=time.monotonic() - clock)
    except Exception as error:
        raise_signal(error)
        return Checked(case, problem=case.shown(one_line(error)), seconds=time.monotonic() - clock)


def _write_tables(checked: Sequence[Checked], out: Path) -> None:
    facts = list(dict.fromkeys(name for each in checked for name in each.facts))
    rows = [
        {
            **each.facts,
            "case": each.case.id,
            "group": each.case.group,
            "split": each.case.split,
            "files": " ".join(map(each.case.shown, each.case.files)),
            "problem": each.problem,
            "warnings": "; ".join(each.warnings),
        }
        for each in checked
    ]
    write_table(out / "cases.csv", ["case", "group", "split", "files", "problem", "warnings", *facts], rows)
    outcomes = [
        Outcome(each.case.id, "failed" if each.problem else "done", each.seconds, each.problem) for each in checked
    ]
    write_manifest(out / "manifest.csv", outcomes)


def _summary(app: App[Any, Any], cases: Sequence[Case]) -> str:
    """The splits of a training with default settings; why there are none where a case cannot be divided."""
    settings = config.TrainConfig()
    try:
        units = app.split_units(cases)
    except BadInput as error:
        return f"splits: {error}"
    divided = with_splits(units, settings.validation_share, settings.seed)
    return summary(units, divided, getattr(app.adapter, "unit", "cases"))


def _left_out(inputs: Sequence[str], cases: Sequence[Case], descriptions: Sequence[str]) -> str:
    """A line on the files in folders of `inputs` that belong to no case; side files share the name of a case's file.

    `descriptions` are names of files that belong to the whole data set, and of folders that are not looked into.
    """
    used = {os.path.realpath(file) for case in cases for file in case.files}
    stems = {os.path.splitext(file)[0] for file in used}
    left = []
    for root in filter(os.path.isdir, inputs):
        if os.path.realpath(root) in used:
            continue
        for folder, folders, files in os.walk(os.path.realpath(root)):
            known = {*descriptions, *(name for name in folders if os.path.join(folder, name) in used)}
            folders[:] = [name for name in folders if name not in known]  # such as a Zarr store
            for path in (os.path.join(folder, name) for name in files):
                prefixes = (path[:end] for end, letter in enumerate(path) if letter == ".")
                if path not in used and stems.isdisjoint(prefixes) and os.path.basename(path) not in descriptions:
                    left.append(os.path.relpath(path, os.path.realpath(root)))
    if not left:
        return ""
    more = f" and {len(left) - LISTED} more" if len(left) > LISTED else ""
    count = "1 file that belongs" if len(left) == 1 else f"{len(left)} files that belong"
    names = ", ".join(shown(file, cases) for file in sorted(left)[:LISTED])
    return f"left out: {count} to no case: {names}{more}"
