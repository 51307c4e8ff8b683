"""Join the results of each group of cases, such as those of the frames of a drive to a film."""

import json
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transect.data_adapters.base import Case
from transect.data_adapters.files import reserved, safe_name, sha256, whole_folder
from transect.pipelines.errors import one_line, raise_signal
from transect.pipelines.model_folder import Model
from transect.pipelines.predict_case import write_record
from transect.pipelines.results import JOIN, manifest_rows, require_own
from transect.pipelines.views.page import save_views

log = logging.getLogger("transect")


def join_groups(model: Model, cases: Sequence[Case], out: Path, run: str) -> None:
    """Write the folder `out / app.joined / GROUP` of each group with two or more finished cases.

    A group is left to a later command while it has cases that are neither finished nor failed, which other shards are
    predicting. One that was joined from the same results before is left as it is. A group that cannot be joined is a
    warning, since all of its cases are done.

    Args:
        model: the model.
        cases: the cases of all shards.
        out: the results folder.
        run: `run_of` the model.
    """
    name = model.app.joined
    if not name:
        return
    if any(case.id == name for case in cases):
        log.warning("%s: not joined, since a case has the name of their folder", name)
        return
    failed = {row.get("case") for row in manifest_rows(out) if row.get("status") == "failed"}
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    for group, members in groups.items():
        finished = {case.id: when for case in members if (when := _finished(out / case.id, run))}
        left = [case.id for case in members if case.id not in finished and case.id not in failed]
        if left:
            log.info("%s: %s is joined by the command that finishes its cases last", name, group)
        elif len(finished) > 1:
            try:
                _join(model, group, finished, out, run)
            except Exception as error:
                raise_signal(error)
                log.warning("%s: %s was not joined: %s", name, group, one_line(error))


def _finished(folder: Path, run: str) -> str:
    """When this run finished the case of a folder; empty if it has not."""
    done = _record(folder)
    return str(done.get("finished", "")) if done.get("run") == run else ""


def _join(model: Model, group: str, finished: dict[str, str], out: Path, run: str) -> None:
    clock, place = time.monotonic(), out / model.app.joined / safe_name(group)
    with reserved(place) as attempts:
        require_own(place, group)
        done = _record(place)
        if (done.get("run"), done.get("cases")) == (run, finished):
            return
        with whole_folder(place, partial(require_own, case=group), attempts) as attempt:
            views = model.app.join(group, [out / case for case in finished], attempt)
            outputs = {path.name: sha256(path) for path in sorted(attempt.iterdir())}
            pages = save_views(views, attempt, group)
            record = {"case": group, "kind": JOIN, "run": run, "cases": finished, "outputs": outputs, "views": pages}
            write_record(attempt, {**record, "seconds": time.monotonic() - clock})


def _record(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
