"""Log runs to MLflow: settings, data set, metrics and pictures."""

import hashlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import psutil
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import LoggedModelStatus, Metric

from transect.data_adapters.base import Case, shown
from transect.data_adapters.listing import walk
from transect.pipelines.errors import UsageError, raise_signal
from transect.pipelines.pictures import Picture, save_gif, side_by_side
from transect.pipelines.store import get_run, store_uri, use_experiment
from transect.pipelines.store_check import impatient, store_errors

log = logging.getLogger("transect")

TRAINING, EVALUATION = "training", "evaluation"
"""What a run does, its tag `transect.kind`."""
MODEL_SHA256 = "transect.model_sha256"
"""Tag of an MLflow model and of an evaluation: the hash of the model folder."""


class Tracker:
    """Writes one run to MLflow; when a run is resumed, points that it already has are not written again.

    Args:
        app: name of the app, also that of the experiment.
        resume: id of the run to resume; None starts a new one.
        name: name of a new run, to which the date and a number are added.
        kind: TRAINING or EVALUATION.
    """

    def __init__(self, app: str, resume: str | None = None, name: str = "", kind: str = TRAINING) -> None:
        experiment = use_experiment(app)
        self.client = MlflowClient()
        _close_stale_runs(self.client, experiment)
        mlflow.set_system_metrics_sampling_interval(5)
        run = mlflow.start_run(
            run_id=resume,
            experiment_id=None if resume else experiment,
            run_name=None if resume else _numbered(self.client, experiment, name or app),
            log_system_metrics=kind == TRAINING,
        )
        self.run_id: str = run.info.run_id
        self.name: str = run.info.run_name
        mlflow.set_tags({**_process_tags(app), "transect.kind": kind})
        self._done_steps = {name: self._last_step(name) for name in run.data.metrics}

    def _last_step(self, name: str) -> int:
        return max(metric.step for metric in self.client.get_metric_history(self.run_id, name))

    def describe(self, params: Mapping[str, Any], cases: Sequence[Case], data: str, context: str, note: str) -> None:
        """Write parameters, the command, and the data set with its path, splits and fingerprint.

        Args:
            params: nested settings, as `asdict` gives them.
            cases: the cases with their splits.
            data: path of the data set.
            context: what the data are used for, such as "training".
            note: what the run is, in Markdown; the numbers of cases are added.
        """
        mlflow.log_params(_flat(dict(params)))
        splits = {split: sum(case.split == split for case in cases) for split in sorted({c.split for c in cases})}
        place = shown(str(Path(data).absolute()), cases)
        source = resolve_dataset_source(place)
        dataset = MetaDataset(source, name=Path(place).name, digest=fingerprint(cases)[:36])  # type: ignore[abstract]
        mlflow.log_input(dataset, context=context)
        mlflow.log_params({f"data.{split or 'all'}_cases": count for split, count in splits.items()})
        mlflow.set_tag("mlflow.note.content", f"{note} on `{shown(data, cases)}`: {_join_counts(splits)} cases.")
        self.tag("transect.command", " ".join(shown(argument, cases) for argument in sys.argv[1:]))

    def metrics(self, points: Iterable[tuple[str, float, int]]) -> None:
        """Write points (name, value, step), without those that an interrupted process wrote before."""
        now = int(time.time() * 1000)
        new = [Metric(name, value, now, step) for name, value, step in points if step > self._done_steps.get(name, -1)]
        for start in range(0, len(new), 1000):
            self.client.log_batch(self.run_id, metrics=new[start : start + 1000])

    def tag(self, name: str, value: object) -> None:
        """Set a tag."""
        self.client.set_tag(self.run_id, name, str(value))

    def pictures(self, name: str, pictures: Mapping[str, Picture], step: int) -> None:
        """Write still pictures of equal height side by side as one image of a step, and animations as GIF files."""
        for part, animation in ((part, picture) for part, picture in pictures.items() if picture.ndim == 4):
            with tempfile.TemporaryDirectory() as scratch:
                file = Path(scratch, f"{part}_{step:04d}.gif")
                save_gif(animation, file)
                self.client.log_artifact(self.run_id, str(file), f"animations/{name}")
        still = {part: picture for part, picture in pictures.items() if picture.ndim == 3}
        self.client.log_image(self.run_id, side_by_side(still), key=name, step=step, synchronous=True)

    def finish(self, status: str) -> None:
        """End the run with the status FINISHED, FAILED or KILLED."""
        mlflow.end_run(status)


@contextmanager
def tracked(app: str, resume: str | None = None, name: str = "", kind: str = TRAINING) -> Iterator[Tracker]:
    """A run that is FINISHED at the end, KILLED by a signal and FAILED by an error; see `Tracker`.

    Raises:
        StoreError: the tracking store stopped answering.
    """
    with store_errors(store_uri()):
        tracker = Tracker(app, resume, name, kind)
    log.info("run %s, %s", tracker.run_id, tracker.name)
    try:
        try:
            with store_errors(store_uri()):
                yield tracker
        except Exception as error:
            raise_signal(error)
            raise
    except BaseException as error:
        with suppress(Exception), impatient():  # what ended the run is worth more than that MLflow has not heard of it
            tracker.finish("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    with store_errors(store_uri()):
        tracker.finish("FINISHED")


def resumable(run_id: str, app: str) -> None:
    """Check that a run can be resumed as a training of an app.

    Raises:
        UsageError: it does not exist, was deleted, belongs to another app, or is no training.
    """
    run = get_run(run_id)
    if run.info.lifecycle_stage == "deleted":
        raise UsageError(
            f"run {run_id}: found it deleted, expected one to resume; bring it back with: "
            f"mlflow runs restore --run-id {run_id}"
        )
    tags = run.data.tags
    if tags.get("transect.app") != app:
        found = f"of {tags['transect.app']}" if "transect.app" in tags else "that transect did not start"
        raise UsageError(f"run {run_id}: found a run {found}, expected one of {app}")
    if (kind := tags.get("transect.kind", TRAINING)) != TRAINING:
        raise UsageError(f"run {run_id}: found an {kind}, expected a {TRAINING}")


def logged_model(run_id: str, sha256: str) -> str:
    """The id of the MLflow model of a run that holds the model folder with this hash; "" if there is none."""
    outputs = get_run(run_id).outputs
    for output in outputs.model_outputs if outputs else []:
        model = MlflowClient().get_logged_model(output.model_id)
        if model.status == LoggedModelStatus.READY and model.tags.get(MODEL_SHA256) == sha256:
            return str(model.model_id)
    return ""


def run_name(app: str, config: Any) -> str:
    """What a run of an app is called: its name and that of the model, where the app has several."""
    model = getattr(getattr(config, "model", None), "name", "")
    return f"{app}-{model}" if model else app


def _numbered(client: MlflowClient, experiment: str, name: str) -> str:
    """`name` with the date and the first number that no run of that day has."""
    stem = f"{name}-{date.today().isoformat()}-"
    runs = client.search_runs([experiment], f"attributes.run_name LIKE '{stem}%'")
    numbers = [run.info.run_name.removeprefix(stem) for run in runs]
    return f"{stem}{max((int(number) for number in numbers if number.isdecimal()), default=0) + 1}"


def log_pictures(run_id: str, pictures: Mapping[str, Any]) -> None:
    """Write pictures to a run as artifacts.

    Args:
        run_id: id of the run.
        pictures: uint8 `(height, width, 3)`, arrays or tensors on the CPU, by their artifact path, such as
            `attention_pictures` returns.

    Raises:
        UsageError: the run does not exist.
    """
    get_run(run_id)
    for path, picture in pictures.items():
        MlflowClient().log_image(run_id, np.asarray(picture), artifact_file=path)


def fingerprint(cases: Sequence[Case]) -> str:
    """A hash of the ids and splits of the cases and of each file's name, size, first and last 64 KiB.

    Of a folder, such as a DICOM study, it has the names and sizes of all files, which are too many to be read.
    """
    digest = hashlib.sha256()
    for case in cases:
        digest.update(f"{case.id}\0{case.split}\n".encode())
        for file in map(Path, case.files):
            if file.is_dir():
                for folder, _, files in walk(file):
                    for each in files:
                        name = (folder / each.name).relative_to(file).as_posix()
                        digest.update(f"{name}\0{each.stat().st_size if each.is_file() else -1}\n".encode())
                continue
            if not file.is_file():
                digest.update(f"{file}\n".encode())
                continue
            size = file.stat().st_size
            digest.update(f"{file.name}\0{size}\n".encode())
            with file.open("rb") as content:
                digest.update(content.read(65536))
                content.seek(max(size - 65536, 0))
                digest.update(content.read(65536))
    return digest.hexdigest()


def _process_tags(app: str) -> dict[str, str]:
    packages = ("torch", "lightning", "mlflow", "numpy", "transect")
    return {
        "transect.app": app,
        "transect.host": socket.gethostname(),
        "transect.process": _process_name(os.getpid()),
        "transect.packages": ", ".join(f"{package} {version(package)}" for package in packages),
        "transect.git": _git_state(),
    }


def _process_name(pid: int) -> str:
    """The id and start time of a process, since ids are reused; empty if there is none."""
    try:
        return f"{pid}@{psutil.Process(pid).create_time():.0f}"
    except psutil.NoSuchProcess:
        return ""


def _close_stale_runs(client: MlflowClient, experiment: str) -> None:
    """Set runs of this machine to KILLED that are RUNNING although their process has ended."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        process = tags.get("transect.process", "")
        here = process and tags.get("transect.host") == socket.gethostname()
        if here and process != _process_name(int(process.partition("@")[0])):
            client.set_terminated(run.info.run_id, "KILLED")


def _git_state() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    return result.stdout.strip()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return flat


def _join_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name or 'unsplit'}" for name, count in counts.items())
