"""Claim a results folder for the results of one model, next to other commands of that model that are running."""

import json
import logging
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transect.data_adapters.base import Case, shown
from transect.data_adapters.files import clear_leftovers, write_json
from transect.data_adapters.locks import Lock, acquire
from transect.pipelines.errors import UsageError
from transect.pipelines.model_folder import Model
from transect.pipelines.results import KINDS, digest, run_of

log = logging.getLogger("transect")

OURS = re.compile(r"manifest(-\d+-of-\d+)?\.csv|metrics\.json|cases\.csv|report\.html")
"""Names of the files of a results folder, in addition to `run.json`."""


def require_apart(out: Path, inputs: Sequence[str], cases: Sequence[Case], model: Model | None = None) -> None:
    """Refuse a results folder that is, contains or lies in an input, or that is or lies in the model folder.

    Args:
        out: the results folder, which need not exist.
        inputs: what the user named: folders, tables or files.
        cases: the cases that were found there.
        model: the model, if one is used.

    Raises:
        UsageError: names the input.
    """
    place, parents = os.path.realpath(out), dict[str, str]()
    for path in dict.fromkeys([*inputs, *(file for case in cases for file in case.files)]):
        parent, name = os.path.split(os.path.abspath(path))
        if parent not in parents:  # many files are in one folder
            parents[parent] = os.path.realpath(parent)
        joined = os.path.join(parents[parent], name)
        places = {joined, os.path.realpath(joined)} if os.path.islink(joined) else {joined}
        if os.path.lexists(joined) and any(_within(place, other) or _within(other, place) for other in places):
            found = shown(f"--out {out}: found a folder that is, contains or lies in the input {path}", cases)
            raise UsageError(f"{found}, expected a folder apart from the inputs; choose another --out")
    if model is not None and model.folder != Path() and _within(place, os.path.realpath(model.folder)):
        raise UsageError(f"--out {out}: found the model folder, expected another; choose another --out")


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


@contextmanager
def claimed(
    out: Path, model: Model, kind: str, overwrite: bool, cases: Sequence[Case] = ()
) -> Iterator[dict[str, Any]]:
    """Hold a folder for the results of one model while a command runs.

    Predictions with the same model and settings share the folder. At the end `run.json` receives start and duration.

    Args:
        out: the folder; created if necessary.
        model: the model.
        kind: "predict" or "evaluate".
        overwrite: replace the `run.json` of another model that is not running.
        cases: the cases, which say how the command's arguments are shown.

    Yields:
        The content of `run.json`, which is written again at the end; `run` is what the records of its cases repeat.

    Raises:
        UsageError: the folder holds results of another model, other settings, another kind or another program, another
            model is running in it, or it is not writable.
    """
    started, clock = datetime.now(UTC).isoformat(), time.monotonic()
    record = {
        "kind": kind,
        "app": model.app_name,
        "model": model.name,
        "model_sha256": model.sha256,
        "settings": asdict(model.app.config),
        "state": asdict(model.app.state),
        "joined": model.app.joined if kind == "predict" else "",
        # Evaluations are not continued, so each is a run of its own.
        "run": run_of(model, kind) if kind == "predict" else digest([run_of(model, kind), started]),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out):
            _refuse_running(out, record)
            if _refuse_results(out, record, overwrite):
                for path in [path for path in out.iterdir() if OURS.fullmatch(path.name)]:
                    path.unlink()
            if _read(out / "run.json").get("run") != record["run"]:
                write_json(out / "run.json", record)
            running = _announce(out, record, cases)
            clear_leftovers(out)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror or error}; choose a writable --out") from error
    try:
        yield record
        with _alone(out):
            write_json(out / "run.json", {**record, "started": started, "seconds": time.monotonic() - clock})
            _running(out)
            clear_leftovers(out)
    finally:
        running.release()


def claim_check(out: Path) -> None:
    """Reserve a folder for what `check` writes.

    Raises:
        UsageError: it holds other files of these names, or results of a prediction or an evaluation.
    """
    record = {"kind": "check"}
    try:
        out.mkdir(parents=True, exist_ok=True)
        kind = _read(out / "run.json").get("kind")
        if kind in KINDS and kind != "check":
            raise UsageError(
                f"{out}: found results of {kind}, expected an empty folder or those of check; choose another --out"
            )
        _refuse_results(out, record, overwrite=True)
        write_json(out / "run.json", record)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror or error}; choose a writable --out") from error


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Let no other command claim the folder at the same time."""
    lock = acquire(out / ".claim.lock", wait=True)
    assert lock is not None
    try:
        if not lock.exclusive:
            log.warning("%s: this file system has no locks; run one command at a time in this folder", out)
        yield
    finally:
        lock.release()


def _announce(out: Path, record: dict[str, Any], cases: Sequence[Case]) -> Lock:
    """Name this command in a lock file of its own, which others find locked as long as it runs."""
    content = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": shlex.join(shown(argument, cases) for argument in sys.argv),
        **{key: record[key] for key in ("kind", "model", "model_sha256", "run")},
    }
    number = 0
    while (lock := acquire(out / f".running-{os.getpid()}-{number}.lock", wait=False)) is None:
        number += 1  # another thread of this process, or a process of this number on another machine
    os.write(lock.descriptor, json.dumps(content).encode())
    return lock


def _refuse_running(out: Path, record: dict[str, Any]) -> None:
    """Refuse the folder while a command runs in it that does not share it."""
    for other in _running(out):
        if record["kind"] == "evaluate" or other.get("run") != record["run"]:
            what, pid, host, command, sha = (
                other.get(key, "unknown") for key in ("kind", "pid", "host", "command", "model_sha256")
            )
            raise UsageError(
                f"{out}: found a running {what} (process {pid} on {host}: {command}; model SHA-256 {str(sha)[:12]}), "
                "expected none, or a predict with the same model and settings; wait for it or choose another --out"
            )


def _running(out: Path) -> list[dict[str, Any]]:
    """What the running commands have announced; the lock files of killed ones are removed."""
    running = []
    for path in list(out.glob(".running-*.lock")):
        lock = acquire(path, wait=False)
        if lock is None:
            running.append(_read(path))
        else:
            lock.release()
    return running


def _refuse_results(out: Path, record: dict[str, Any], overwrite: bool) -> bool:
    """Refuse other results or files in the folder; return whether it holds results of another run to replace."""
    path = out / "run.json"
    if not (path.exists() or path.is_symlink()):
        others = sorted(entry.name for entry in out.iterdir() if OURS.fullmatch(entry.name))
        if others:
            raise UsageError(f"{out}: found {others[0]} but no run.json, expected results; choose another --out")
        return False
    existing = _read(path)
    if existing.get("kind") not in KINDS:
        raise UsageError(
            f"{path}: found no record of a prediction or an evaluation, expected an object with kind, model_sha256 and "
            "settings; choose another --out, or remove the file if it is damaged"
        )
    differing = [
        key for key in ("kind", "model_sha256", "settings") if digest(existing.get(key)) != digest(record.get(key))
    ]
    if differing and not overwrite:
        raise UsageError(
            f"{out}: found results of another run ({', '.join(differing)} differ), expected an empty folder "
            "or results of this model; choose another --out or add --overwrite"
        )
    return bool(differing)


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
