"""Train an app's model with Lightning, tracked in MLflow; a resumed run gives the result of an uninterrupted one."""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, Dataset

from transect.apps.base import App
from transect.core.inspect import attention_pictures, record
from transect.core.precision import computes_in_bf16
from transect.data_adapters.base import Case
from transect.data_adapters.files import write_json
from transect.pipelines import config as configs
from transect.pipelines import model_folder
from transect.pipelines.checkpoints import Checkpoints, read_checkpoint, usable_checkpoint, writable
from transect.pipelines.config import TrainConfig
from transect.pipelines.device import choose
from transect.pipelines.errors import StoreError, UsageError
from transect.pipelines.find import app_class, split_state, state_class
from transect.pipelines.memory import keep_freed_memory
from transect.pipelines.model_card import training_card
from transect.pipelines.pyfunc_model import log_model
from transect.pipelines.store import check_store
from transect.pipelines.task import MONITOR, ConsoleProgress, Task
from transect.pipelines.track import Tracker, log_pictures, resumable, run_name, tracked
from transect.pipelines.training_data import examples, of_split, split_cases

log = logging.getLogger("transect")


def train(
    app_name: str,
    data: Sequence[str],
    config: Any,
    settings: TrainConfig,
    start: Path | None = None,
    device: str = "auto",
) -> tuple[str, Path]:
    """Train a model and log that of the best epoch.

    The checkpoint and the calibrated values, such as a threshold, are selected on the validation split.

    Args:
        app_name: name of the app.
        data: the data set, as the app's adapter takes it.
        config: settings of the app.
        settings: settings of training.
        start: model folder with the initial weights; None initializes them randomly.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Returns:
        The id of the run and the model folder.

    Raises:
        UsageError: the data set has no training or no validation case, the weights in `start` do not fit, or the
            device does not exist.
        BadInput: the data set is not there, or some of its cases cannot be trained on. No run is started and nothing
            is written.
        KeyboardInterrupt, SystemExit: a signal ended training; the run can be resumed.
    """
    target = choose(device)
    check_store()
    new_app = app_class(app_name)
    app = new_app(config, model_folder.app_for(start).state if start else state_class(app_name)())
    cases = split_cases(app, data, settings)
    app = new_app(config, app.fit(of_split(cases, "train")))
    dataset = examples(app, cases)
    model = _initial_model(app, settings, start, resumed=False)
    checkpoints = writable(Path("checkpoints").absolute())
    with _tracked(app_name, name=run_name(app_name, config)) as tracker:
        folder = checkpoints / tracker.run_id
        folder.mkdir()
        content: dict[str, Any] = {
            "data": list(data),
            "start": str(start.absolute()) if start else "",
            "app": asdict(app.config),
            "state": asdict(app.state),
            "train": asdict(settings),
        }
        # JSON is a subset of YAML and writes tuples as lists.
        write_json(folder / "training.yaml", content)
        params = {**content["app"], "state": content["state"], "train": content["train"]}
        tracker.describe(params, cases, " ".join(data), "training", f"`{app_name}` trained")
        return tracker.run_id, _train(app_name, app, settings, model, dataset, cases, tracker, folder, target)


def resume(app_name: str, run_id: str, device: str = "auto", epochs: int | None = None) -> tuple[str, Path]:
    """Continue an interrupted run from its last finished epoch, with its own settings, or extend a run by epochs.

    The result equals that of an uninterrupted run of as many epochs: weights, order of examples and augmentation are
    the same.

    Args:
        app_name: name of the app.
        run_id: id of the run.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        epochs: number of epochs in place of the run's own, if its learning rate does not depend on it.

    Returns:
        The id of the run and the model folder.

    Raises:
        UsageError: the run or the device does not exist, the run cannot be extended, or its checkpoints are not in the
            working folder or are damaged.
    """
    target = choose(device)
    resumable(run_id, app_name)
    folder = Path("checkpoints", run_id).absolute()
    file = folder / "training.yaml"
    if not file.is_file():
        raise UsageError(f"run {run_id}: found no {file}; resume in the folder where the run was started")
    content = configs.read_yaml(file)
    try:
        settings = extended(TrainConfig(**content["train"]), epochs, f"run {run_id}")
        app = _restored(app_name, content["app"], content.get("state"))
        data = content["data"] if isinstance(content["data"], list) else [content["data"]]  # older runs have a string
    except (KeyError, TypeError) as error:
        raise UsageError(f"{file}: {error}: expected the settings of a run of transect") from error
    start = Path(content["start"]) if content.get("start") else None  # older runs lack it
    checkpoint = usable_checkpoint(folder)
    cases = split_cases(app, data, settings)
    dataset = examples(app, cases)
    model = _initial_model(app, settings, start, resumed=checkpoint is not None)
    with _tracked(app_name, run_id) as tracker:
        if settings.epochs != content["train"]["epochs"]:
            write_json(file, {**content, "train": asdict(settings)})
            tracker.tag("transect.epochs", settings.epochs)  # a parameter of a run cannot be changed
        return run_id, _train(app_name, app, settings, model, dataset, cases, tracker, folder, target, checkpoint)


def extended(settings: TrainConfig, epochs: int | None, run: str) -> TrainConfig:
    """The settings of a run with more epochs.

    Raises:
        UsageError: there are fewer of them, or the epochs before would have been trained at another learning rate.
    """
    if epochs is None or epochs == settings.epochs:
        return settings
    if epochs < settings.epochs:
        raise UsageError(f"{run}: train.epochs: found {epochs}, expected at least the {settings.epochs} of the run")
    if settings.decay_power:
        raise UsageError(
            f"{run}: train.epochs: found {epochs}, expected the {settings.epochs} of the run: its learning rate decays "
            f"to zero over them (train.decay_power {settings.decay_power}), so that {epochs} epochs would have had "
            "another from the first on; train a new run, which --from can start from this model, with "
            "train.decay_power 0 to extend it later"
        )
    return replace(settings, epochs=epochs)


def _restored(app_name: str, settings: dict[str, Any], state: dict[str, Any] | None) -> App[Any, Any]:
    """An app from plain values; in runs of earlier versions `settings` contain the state."""
    values = split_state(app_name, settings) if state is None else state
    app: App[Any, Any] = app_class(app_name)(
        configs.load(app_name, None, [], base=settings), configs.load_state(app_name, values)
    )
    return app


@contextmanager
def _tracked(app_name: str, run_id: str | None = None, name: str = "") -> Iterator[Tracker]:
    """A run of training; where it is interrupted, the log says how to go on."""
    try:
        with tracked(app_name, run_id, name) as tracker:
            run_id = tracker.run_id
            yield tracker
    except (KeyboardInterrupt, SystemExit, StoreError):
        if run_id:
            log.warning("interrupted; continue with: transect train %s --resume %s", app_name, run_id)
        raise


def _train(
    app_name: str,
    app: App[Any, Any],
    settings: TrainConfig,
    model: nn.Module,
    dataset: Dataset[Any],
    cases: Sequence[Case],
    tracker: Tracker,
    folder: Path,
    device: torch.device,
    checkpoint: Path | None = None,
) -> Path:
    if device.type == "cpu":
        keep_freed_memory()
    task = Task(app, model, settings, of_split(cases, "val"), tracker)
    loader = DataLoader(
        dataset,
        batch_sampler=app.batch_sampler(dataset, settings.batch_size, settings.seed),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        # A separate generator, so that creating an iterator does not advance that of the augmentation.
        generator=torch.Generator().manual_seed(settings.seed),
    )
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and computes_in_bf16(device))
    every_epoch: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    trainer = lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=[device.index or 0] if device.type == "cuda" else 1,
        max_epochs=settings.epochs,
        precision="bf16-mixed" if bf16 else "32-true",
        gradient_clip_val=settings.gradient_clip or None,
        plugins=[Checkpoints()],
        callbacks=[
            EarlyStopping(
                MONITOR, mode="max", patience=settings.patience, check_finite=False, check_on_train_epoch_end=True
            ),
            ModelCheckpoint(folder, filename="best", monitor=MONITOR, mode="max", **every_epoch),
            ModelCheckpoint(folder, filename="last", **every_epoch),
            ConsoleProgress(settings.epochs, len(loader)),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    trainer.fit(
        task,
        loader,
        DataLoader(range(len(task.validation)), batch_size=None),  # type: ignore[arg-type]
        ckpt_path=checkpoint,
        weights_only=True,
    )
    if trainer.received_sigterm:
        raise SystemExit(143)
    if trainer.interrupted:
        raise KeyboardInterrupt
    saved = _save_best(app_name, app, task, folder, tracker)
    show_attention(task.app, task.model, task.validation[:1], tracker.run_id)
    return saved


def _initial_model(app: App[Any, Any], settings: TrainConfig, start: Path | None, resumed: bool) -> nn.Module:
    torch.manual_seed(settings.seed)
    if resumed:  # the checkpoint fills it
        with torch.device("meta"):
            model = app.model()
        if unsaved := {name for name, _ in model.named_buffers()} - model.state_dict().keys():
            raise TypeError(f"model: found buffers that are not saved with it: {', '.join(sorted(unsaved))}")
        return model.to_empty(device="cpu")
    if start is None:
        return app.model()
    try:
        return app.warm_start(model_folder.weights(start))
    except RuntimeError as error:
        raise UsageError(f"{start}: {' '.join(str(error).split())}") from error


def show_attention(app: App[Any, Any], model: nn.Module, cases: Sequence[Case], run_id: str) -> None:
    """Log pictures of the attention maps for the first example of the cases; none if the model has no attention."""
    batch = next(iter(DataLoader(app.dataset(cases), 1)))
    with torch.no_grad(), record(model.eval()) as maps:
        app.loss(model, batch)
    log_pictures(run_id, attention_pictures(maps))


def _save_best(app_name: str, app: App[Any, Any], task: Task, folder: Path, tracker: Tracker) -> Path:
    best = read_checkpoint(folder / "best.ckpt")
    app = _restored(app_name, best["app_config"], best.get("app_state"))
    if not math.isfinite(best["validation"][app.metric.monitor]):
        log.warning(
            "%s was never finite on the validation split: the weights are those of the first epoch", app.metric.monitor
        )
    task.load_state_dict(best["state_dict"])
    task.model.to(memory_format=torch.contiguous_format)
    card = training_card(app_name, tracker.run_id, best["epoch"], best["validation"])
    model_folder.save(folder / "model", app_name, app, task.model, card)
    tracker.metrics([(f"best/{name}", value, best["epoch"]) for name, value in best["validation"].items()])
    log_model(folder / "model")
    return folder / "model"


os.environ.setdefault("LIGHTNING_DISABLE_TIPS", "1")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")
