"""Log training runs to MLflow: settings, data set, metrics and pictures."""

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import psutil
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric

from transect.data_adapters.base import Case
from transect.pipelines.errors import UsageError
from transect.pipelines.pictures import Picture, save_gif, side_by_side
from transect.pipelines.store import get_run, use_experiment


class Tracker:
    """Writes one training run to MLflow; when a run is resumed, points that it already has are not written again.

    Args:
        app: name of the app, also that of the experiment.
        resume: id of the run to resume; None starts a new one.

    Raises:
        UsageError: the run to resume does not exist or belongs to another app.
    """

    def __init__(self, app: str, resume: str | None = None) -> None:
        experiment = use_experiment(app)
        self.client = MlflowClient()
        _close_stale_runs(self.client, experiment)
        if resume is not None and get_run(resume).data.tags.get("transect.app") != app:
            raise UsageError(f"run {resume}: found a run of another app, expected one of {app}")
        mlflow.set_system_metrics_sampling_interval(5)
        run = mlflow.start_run(run_id=resume, experiment_id=None if resume else experiment, log_system_metrics=True)
        self.run_id: str = run.info.run_id
        mlflow.set_tags(_process_tags(app))
        self._done_steps = {name: self._last_step(name) for name in run.data.metrics}

    def _last_step(self, name: str) -> int:
        return max(metric.step for metric in self.client.get_metric_history(self.run_id, name))

    def describe(self, config: Any, state: Any, training: Any, cases: Sequence[Case], data: str) -> None:
        """Write the settings, the fitted state, and the data set with its path, splits and fingerprint.

        Args:
            config: settings of the app.
            state: state of the app.
            training: settings of training.
            cases: the cases with their splits.
            data: path of the data set.
        """
        mlflow.log_params(_flat({**asdict(config), "state": asdict(state), "train": asdict(training)}))
        splits = {split: sum(case.split == split for case in cases) for split in sorted({c.split for c in cases})}
        source = resolve_dataset_source(str(Path(data).absolute()))
        dataset = MetaDataset(source, name=Path(data).name, digest=fingerprint(cases)[:36])  # type: ignore[abstract]
        mlflow.log_input(dataset, context="training")
        mlflow.log_params({f"data.{split or 'all'}_cases": count for split, count in splits.items()})
        mlflow.set_tag("mlflow.note.content", f"`{self._app()}` trained on `{data}`: {_join_counts(splits)} cases.")

    def _app(self) -> str:
        return str(self.client.get_run(self.run_id).data.tags["transect.app"])

    def metrics(self, points: Iterable[tuple[str, float, int]]) -> None:
        """Write points (name, value, step), without those that an interrupted process wrote before."""
        now = int(time.time() * 1000)
        new = [Metric(name, value, now, step) for name, value, step in points if step > self._done_steps.get(name, -1)]
        for start in range(0, len(new), 1000):
            self.client.log_batch(self.run_id, metrics=new[start : start + 1000])

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
    """A hash of the ids and splits of the cases and of each file's name, size, first and last 64 KiB."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(f"{case.id}\0{case.split}\n".encode())
        for file in map(Path, case.files):
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
        "transect.command": " ".join(sys.argv[1:]),
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
