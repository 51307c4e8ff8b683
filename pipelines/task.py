"""The LightningModule that trains and validates an app's model."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor, nn

from transect.apps.base import App, Contribution
from transect.data_adapters.base import Case
from transect.pipelines.config import TrainConfig
from transect.pipelines.console import Progress
from transect.pipelines.errors import UsageError
from transect.pipelines.model_folder import channels_last
from transect.pipelines.pictures import previewed
from transect.pipelines.track import Tracker

log = logging.getLogger("transect")

PICTURED_CASES = 4
SHOWN_METRICS = 6  # on the console; MLflow gets all
MONITOR = "goal"
"""Name of the monitored metric in checkpoints, the same for every app."""


class Task(lightning.LightningModule):
    """Trains an app's model with its loss, and validates with the prediction and metrics of `evaluate`.

    Args:
        app: the app.
        model: the network to train.
        settings: settings of training.
        validation: the cases of the validation split.
        tracker: where metrics and pictures are written.
    """

    def __init__(
        self,
        app: App[Any, Any],
        model: nn.Module,
        settings: TrainConfig,
        validation: Sequence[Case],
        tracker: Tracker,
    ) -> None:
        super().__init__()
        self.app, self.settings, self.validation, self.tracker = app, settings, validation, tracker
        self.model: nn.Module = channels_last(model)
        self.losses: list[Tensor] = []
        self.learning_rate = math.nan
        self.contributions: list[Contribution] = []
        self.summary: dict[str, float] = {}
        self.pending: list[tuple[str, float, int]] = []

    def configure_optimizers(self) -> Any:
        """AdamW with polynomial decay of the learning rate to zero, per epoch."""
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

    def on_fit_start(self) -> None:
        """Leave a resumed run as it is that had stopped without improvement."""
        stopping = self.trainer.early_stopping_callback
        if isinstance(stopping, EarlyStopping) and stopping.wait_count >= stopping.patience:
            log.info("training had stopped after %d epochs without improvement (train.patience)", stopping.patience)
            self.trainer.should_stop = True

    def on_train_epoch_start(self) -> None:
        """Write the previous epoch's metrics, whose checkpoint is now saved, and seed the generator for this epoch."""
        self._flush()
        self.learning_rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
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
        """Predict and score one whole case; pictures of the first cases are logged in selected epochs.

        Autocast of training is disabled: the app chooses the precision of prediction, as in an evaluation.
        """
        with torch.autocast(self.device.type, enabled=False):
            self._validate(index)

    def _validate(self, index: int) -> None:
        case = self.validation[index]
        sample = self.app.adapter.read(case)
        prediction = self.app.predict(self.model, sample)
        preview = None
        if index < PICTURED_CASES and self._logs_pictures:
            preview = previewed(self.app, prediction, sample, labels=True)
        self.contributions.append(self.app.metric.contribution(prediction, sample))
        if preview is not None:
            self.tracker.pictures(f"validation/{case.id}", preview.pictures(), self.current_epoch)

    @property
    def _logs_pictures(self) -> bool:
        """Whether this is epoch 1, 2, 4, 8, ... or the last, since pictures may take longer than a short epoch."""
        epoch = self.current_epoch + 1
        return epoch & (epoch - 1) == 0 or epoch == self.settings.epochs

    def on_validation_epoch_end(self) -> None:
        """Calibrate the app on the validation split and compute the metrics, one of which selects the checkpoint."""
        state = self.app.metric.calibrate(self.contributions)
        if state is not None:
            self.app = type(self.app)(self.app.config, state)
        self.summary = self.app.metric.summary(self.contributions)
        if self._logs_pictures:
            for name, chart in self.app.charts(self.contributions).items():
                self.tracker.pictures(f"validation/{name}", {name: chart}, self.current_epoch)
        self.contributions = []
        monitored = self.summary[self.app.metric.monitor]
        # An undefined metric must not win over any other value.
        self.log(MONITOR, -math.inf if math.isnan(monitored) else monitored)

    def on_train_epoch_end(self) -> None:
        """Collect the epoch's metrics, which are written after its checkpoint."""
        losses = torch.stack(self.losses).tolist()
        self.losses = []
        first = self.global_step - len(losses)
        self.pending += [("train/loss", loss, first + step) for step, loss in enumerate(losses)]
        self.pending += [(f"val/{name}", value, self.current_epoch) for name, value in self.summary.items()]
        mean = sum(losses) / len(losses)
        first_metrics = list(self.summary.items())[:SHOWN_METRICS]
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in first_metrics)
        log.info("epoch %d of %d: loss %.4f, %s", self.current_epoch + 1, self.settings.epochs, mean, metrics)
        self.pending += [
            ("train/epoch_loss", mean, self.current_epoch),
            ("train/learning_rate", self.learning_rate, self.current_epoch),
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add to the checkpoint what a model folder and a resumed run need."""
        checkpoint["app_config"] = asdict(self.app.config)
        checkpoint["app_state"] = asdict(self.app.state)
        checkpoint["validation"] = dict(self.summary)
        checkpoint["pending"] = [list(point) for point in self.pending]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the metrics that an interrupted process may not have written."""
        self.pending = [tuple(point) for point in checkpoint["pending"]]

    def on_fit_end(self) -> None:
        """Write the last epoch's metrics."""
        self._flush()

    def _flush(self) -> None:
        self.tracker.metrics((name, value, step) for name, value, step in self.pending if value == value)
        self.pending = []


class ConsoleProgress(Callback):
    """Reports training steps on the console."""

    def __init__(self, epochs: int, steps: int) -> None:
        self.epochs, self.steps = epochs, steps
        self.progress: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.progress = Progress("training", self.epochs * self.steps, "steps", done=trainer.global_step)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        assert self.progress is not None
        self.progress.advance(f"epoch {trainer.current_epoch + 1}/{self.epochs}")

    def teardown(self, trainer: lightning.Trainer, task: lightning.LightningModule, stage: str) -> None:
        if self.progress is not None:
            self.progress.close()
