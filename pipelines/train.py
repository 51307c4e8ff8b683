"""Train an app's model with Lightning, tracked in MLflow, to the same result whether or not it was interrupted."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
import yaml
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from apps.base import App
from data_adapters.base import Case
from data_adapters.files import write_whole
from pipelines import config as configs
from pipelines import model_folder
from pipelines.config import TrainConfig
from pipelines.console import Progress
from pipelines.find import UsageError, app_class
from pipelines.hardware import computes_in_bf16
from pipelines.model_card import training_card
from pipelines.pyfunc_model import log_model
from pipelines.splits import with_splits
from pipelines.track import Tracker, get_run

log = logging.getLogger("transect")

PICTURED_CASES = 4


def train(app_name: str, data: str, config: Any, settings: TrainConfig) -> tuple[str, Path]:
    """Train on the cases in `data` and log the model of the best epoch; returns the run's id and the model folder.

    The checkpoint and whatever the app calibrates, such as a threshold, are chosen on the validation split.

    Raises:
        UsageError: the data set has no case to train or to validate on.
        KeyboardInterrupt, SystemExit: a signal ended the training; the run can be resumed.
    """
    with _tracked(app_name, None) as tracker:
        folder = Path("checkpoints", tracker.run_id).absolute()
        folder.mkdir(parents=True)
        app = app_class(app_name)(config)
        cases = _cases(app, data, settings)
        content = {"data": data, "app": asdict(config), "train": asdict(settings)}
        write_whole(folder / "training.yaml", yaml.safe_dump(content, sort_keys=False))
        tracker.describe(config, settings, cases, data)
        return tracker.run_id, _train(app_name, app, settings, cases, tracker, folder)


def resume(app_name: str, run_id: str) -> tuple[str, Path]:
    """Go on with an interrupted run from its last finished epoch, with the settings it had.

    It ends as if it had not been interrupted: weights, order of examples and augmentation are the same.

    Raises:
        UsageError: the run is unknown or its checkpoints are not in the working folder.
    """
    get_run(run_id)
    folder = Path("checkpoints", run_id).absolute()
    if not (folder / "training.yaml").is_file():
        raise UsageError(f"run {run_id}: found no {folder / 'training.yaml'}; resume in the folder it was started in")
    content = yaml.safe_load((folder / "training.yaml").read_text(encoding="utf-8"))
    settings = TrainConfig(**content["train"])
    app = app_class(app_name)(configs.load(app_name, None, [], base=content["app"]))
    with _tracked(app_name, run_id) as tracker:
        return run_id, _train(app_name, app, settings, _cases(app, content["data"], settings), tracker, folder)


@contextmanager
def _tracked(app_name: str, run_id: str | None) -> Iterator[Tracker]:
    tracker = Tracker(app_name, run_id)
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        log.warning("interrupted; go on with: transect train %s --resume %s", app_name, tracker.run_id)
        raise
    finally:
        tracker.finish(status)


def _cases(app: App[Any, Any], data: str, settings: TrainConfig) -> list[Case]:
    cases = with_splits(app.adapter.cases(data), settings.validation_share, settings.seed)
    counts = {split: sum(case.split == split for case in cases) for split in ("train", "val")}
    if not all(counts.values()):
        raise UsageError(f"{data}: found {counts['train']} training and {counts['val']} validation cases, needs both")
    return cases


def _train(
    app_name: str,
    app: App[Any, Any],
    settings: TrainConfig,
    cases: Sequence[Case],
    tracker: Tracker,
    folder: Path,
) -> Path:
    torch.manual_seed(settings.seed)
    examples = app.examples([case for case in cases if case.split == "train"])
    task = Task(app, settings, [case for case in cases if case.split == "val"], tracker)
    loader = DataLoader(
        examples,
        settings.batch_size,
        sampler=DistributedSampler(examples, num_replicas=1, rank=0, seed=settings.seed),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        drop_last=len(examples) > settings.batch_size,  # type: ignore[arg-type]
    )
    bf16 = settings.precision == "bf16" or settings.precision == "auto" and computes_in_bf16()
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=settings.epochs,
        precision="bf16-mixed" if bf16 else "32-true",
        gradient_clip_val=settings.gradient_clip or None,
        callbacks=[
            EarlyStopping("goal", mode="max", patience=settings.patience, check_on_train_epoch_end=True),
            ModelCheckpoint(
                folder,
                filename="best",
                monitor="goal",
                mode="max",
                save_last=True,
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            ),
            _Console(settings.epochs, len(loader)),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    last = folder / "last.ckpt"
    trainer.fit(task, loader, DataLoader(range(len(task.validation)), batch_size=None),  # type: ignore[arg-type]
                ckpt_path=last if last.is_file() else None, weights_only=True)
    if trainer.received_sigterm:
        raise SystemExit(143)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return _save_best(app_name, app, task, folder, tracker)


def _save_best(app_name: str, app: App[Any, Any], task: "Task", folder: Path, tracker: Tracker) -> Path:
    best = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)
    app = type(app)(configs.load(app_name, None, [], base=best["app_config"]))
    task.load_state_dict(best["state_dict"])
    task.model.to(memory_format=torch.contiguous_format)
    card = training_card(app_name, tracker.run_id, best["epoch"], best["validation"])
    model_folder.save(folder / "model", app_name, app, task.model, card)
    tracker.metrics([(f"best/{name}", value, best["epoch"]) for name, value in best["validation"].items()])
    log_model(folder / "model")
    return folder / "model"


class Task(lightning.LightningModule):
    """An app's model, loss and validation as Lightning sees them."""

    def __init__(self, app: App[Any, Any], settings: TrainConfig, validation: Sequence[Case], tracker: Tracker) -> None:
        super().__init__()
        self.app, self.settings, self.validation, self.tracker = app, settings, validation, tracker
        self.model: nn.Module = app.model().to(memory_format=torch.channels_last)
        self.losses: list[Tensor] = []
        self.measures: list[dict[str, Any]] = []
        self.summary: dict[str, float] = {}
        self.pending: list[tuple[str, float, int]] = []

    def configure_optimizers(self) -> Any:
        """AdamW whose learning rate falls to zero over the epochs as a power."""
        groups = []
        for group in self.app.parameter_groups(self.model):
            group = dict(group)
            group["lr"] = self.settings.learning_rate * group.pop("learning_rate_scale", 1.0)
            group["weight_decay"] = self.settings.weight_decay * group.pop("weight_decay_scale", 1.0)
            groups.append(group)
        optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: max(1 - epoch / self.settings.epochs, 0) ** self.settings.decay_power
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_epoch_start(self) -> None:
        """Write the finished epoch's metrics, now that its checkpoint is safe, and draw this epoch's own chance."""
        self._flush()
        torch.manual_seed(self.settings.seed * 100_003 + self.current_epoch + 1)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """The loss of one batch."""
        loss = self.app.loss(self.model, batch)
        if not torch.isfinite(loss):
            raise UsageError(
                f"training: found a loss of {float(loss)} in step {self.global_step}, expected a finite one; "
                "lower train.learning_rate or set train.precision fp32"
            )
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, index: int, batch_index: int) -> None:
        """Predict and measure one whole case; the first few are pictured."""
        case = self.validation[index]
        sample = self.app.adapter.read(case)
        prediction = self.app.predict(self.model, sample)
        self.measures.append(self.app.measure(prediction, sample))
        if index < PICTURED_CASES and (pictures := self.app.figures(prediction, sample)):
            self.tracker.pictures(f"validation/{case.id}", pictures, self.current_epoch)

    def on_validation_epoch_end(self) -> None:
        """Calibrate the app on the validation split and score it: this number picks the checkpoint."""
        self.app = self.app.calibrate(self.measures)
        self.summary = self.app.summary(self.measures)
        self.measures = []
        goal = self.summary[self.app.goal]
        self.log("goal", goal if goal == goal else 0.0)

    def on_train_epoch_end(self) -> None:
        """Gather the epoch's metrics; they are written once the checkpoint is."""
        losses = torch.stack(self.losses).tolist()
        self.losses = []
        first = self.global_step - len(losses)
        self.pending += [("train/loss", loss, first + step) for step, loss in enumerate(losses)]
        self.pending += [(f"val/{name}", value, self.current_epoch) for name, value in self.summary.items()]
        rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        self.pending += [
            ("train/epoch_loss", sum(losses) / len(losses), self.current_epoch),
            ("train/learning_rate", rate, self.current_epoch),
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep beside the weights what a model folder and a resumed run need."""
        checkpoint["app_config"] = asdict(self.app.config)
        checkpoint["validation"] = dict(self.summary)
        checkpoint["pending"] = [list(point) for point in self.pending]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the metrics that a killed process may not have written."""
        self.pending = [tuple(point) for point in checkpoint["pending"]]

    def on_fit_end(self) -> None:
        """Write the last epoch's metrics."""
        self._flush()

    def _flush(self) -> None:
        self.tracker.metrics((name, value, step) for name, value, step in self.pending if value == value)
        self.pending = []


class _Console(Callback):
    """Steps as a bar with rate and time left, epochs as lines."""

    def __init__(self, epochs: int, steps: int) -> None:
        self.epochs, self.steps = epochs, steps
        self.progress: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.progress = Progress("training", self.epochs * self.steps, "steps", done=trainer.global_step)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        assert self.progress is not None
        self.progress.advance(f"epoch {trainer.current_epoch + 1}/{self.epochs}")

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        scores = ", ".join(f"{name} {value:.3f}" for name, value in task.summary.items())
        loss = [value for name, value, _ in task.pending if name == "train/epoch_loss"]
        log.info("epoch %d: loss %.4f, %s", trainer.current_epoch + 1, loss[-1] if loss else float("nan"), scores)

    def teardown(self, trainer: lightning.Trainer, task: lightning.LightningModule, stage: str) -> None:
        if self.progress is not None:
            self.progress.close()


os.environ.setdefault("LIGHTNING_DISABLE_TIPS", "1")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")
