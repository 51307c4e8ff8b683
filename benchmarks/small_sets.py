"""Change detection learned from 12 crops: `python -m benchmarks.small_sets --minutes 10 --seeds 3`.

The crops are those of `transect phantom change_detection --phantom.hard true`: 256 x 256 pixels with seasonal colour,
cast shadows, a shift of one pixel between the dates and small changes; 12 for training and 6 unseen. Of the 12, those
that `train.validation_share` holds out choose checkpoint and threshold; the unseen ones are predicted once.

The U-Net trains twice with the app's loss and predictions: as before `tiles_per_epoch` and `augment.shift`, for 50
steps (50 epochs of one step), and with the app's defaults for `--minutes` of CPU time of one thread. Reading and
augmentation count, validation does not. Two rows need no training: all pixels changed, and the length of the difference
of the stretched values, with the threshold of the best F1 on the validation crops. The last column is F1 with
`--faults.shift 1`: the first date is moved by one pixel more. Settings were selected on the crops of `--crops 0`.
"""

import argparse
import copy
import itertools
import math
import os
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

# Set before torch is imported: idle threads must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, default_collate

from benchmarks.measure import Clock
from transect.apps.base import Contribution
from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.config import FaultConfig
from transect.apps.change_detection.dataset import TrainingTiles, trainable
from transect.apps.change_detection.prepare import to_unit, value_limits
from transect.data_adapters.base import Case
from transect.data_adapters.change_detection.maps import ChangeMap, ScoredStrip, to_levels
from transect.data_adapters.change_detection.phantom import write_phantom
from transect.data_adapters.change_detection.scene import Scene
from transect.pipelines import config as configs
from transect.pipelines.config import TrainConfig
from transect.pipelines.splits import with_splits

CROPS = 18
VALIDATIONS = 8
"""How often a training is validated, at equal distances."""
OLD_STEPS = 50
COLUMNS = "{:<26} {:>6} {:>7} {:>20} {:>7} {:>7} {:>9}"


@dataclass(frozen=True)
class Budget:
    """The length of a training, in CPU seconds or in steps."""

    seconds: float = math.inf
    steps: float = math.inf

    def share(self, seconds: float, steps: int) -> float:
        """How much of it is used, 0 to 1."""
        return min(max(seconds / self.seconds, steps / self.steps), 1.0)


def crops(folder: Path, seed: int) -> dict[str, list[Case]]:
    """The crops of each split."""
    write_phantom(folder, CROPS, seed, hard=True)
    app = ChangeDetection(configs.load_training("change_detection", None, [])[0])
    cases = with_splits(app.adapter.cases(str(folder)), TrainConfig().validation_share, 0)
    return {split: [case for case in cases if case.split == split] for split in ("train", "val", "test")}


def contributions(app: ChangeDetection, model: nn.Module, cases: Iterable[Any]) -> list[Contribution]:
    """The contributions of cases to the metrics."""
    samples = map(app.adapter.read, cases)
    return [app.metric.contribution(app.predict(model, sample), sample) for sample in samples]


def trained(
    app: ChangeDetection,
    dataset: TrainingTiles,
    validation: Sequence[Case],
    settings: TrainConfig,
    budget: Budget,
) -> tuple[ChangeDetection, nn.Module, int]:
    """Train within a budget; returns the calibrated app and the model of the best validation, and the steps."""
    torch.manual_seed(settings.seed)
    model = app.model().to(memory_format=torch.channels_last)
    batches = _batches(app, dataset, settings)
    groups = [
        {"params": group["params"], "weight_decay": settings.weight_decay * group.get("weight_decay_scale", 1.0)}
        for group in app.parameter_groups(model)
    ]
    optimizer = torch.optim.AdamW(groups, settings.learning_rate)
    best, highest, steps = (app, model), -math.inf, 0
    clock = Clock()
    for part in range(1, VALIDATIONS + 1):
        while (share := budget.share(clock.seconds(), steps)) < part / VALIDATIONS:
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * (1 - share) ** settings.decay_power
            optimizer.zero_grad()
            app.loss(model, next(batches)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimizer.step()
            steps += 1
        model.eval()
        scored = clock.excluding(partial(contributions, app, model, validation))
        state = app.metric.calibrate(scored) or app.state
        calibrated = ChangeDetection(app.config, state)
        if (f1 := calibrated.metric.summary(scored)["f1"]) > highest:
            best, highest = (calibrated, copy.deepcopy(model)), f1
        model.train()
    return best[0], best[1].eval(), steps


def _batches(app: ChangeDetection, dataset: Dataset[Any], settings: TrainConfig) -> Iterator[Any]:
    sampler: Any = app.batch_sampler(dataset, settings.batch_size, settings.seed)
    for epoch in itertools.count():
        sampler.sampler.set_epoch(epoch)
        for batch in sampler:
            yield default_collate([dataset[index] for index in batch])


def by_difference(app: ChangeDetection, sample: Scene) -> ChangeMap:
    """The length of the difference of the stretched values, from 0 to 1, as a score."""

    def blocks() -> Iterator[ScoredStrip]:
        limits = value_limits(sample, app.config.stretch, app.state.limits)
        for strip in sample.strips():
            before, after = (
                to_unit(values, strip.valid, of_date)
                for values, of_date in zip((strip.before, strip.after), limits, strict=True)
            )
            yield ScoredStrip(strip.row, to_levels(np.sqrt(((before - after) ** 2).mean(axis=0))))

    return ChangeMap(sample.grid, blocks(), app.threshold)


def everywhere(sample: Scene) -> ChangeMap:
    """All pixels changed."""
    levels = to_levels(np.ones((sample.grid.height, sample.grid.width)))
    return ChangeMap(sample.grid, [ScoredStrip(0, levels)], 0.5)


def baselines(app: ChangeDetection, cases: dict[str, list[Case]]) -> dict[str, float]:
    """F1 on the unseen crops without training."""

    def scored(predict: Any, split: str) -> list[Contribution]:
        samples = [app.adapter.read(pair) for pair in trainable(cases[split])]
        return [app.metric.contribution(predict(sample), sample) for sample in samples]

    difference = partial(by_difference, app)
    calibrated = ChangeDetection(app.config, app.metric.calibrate(scored(difference, "val")))
    return {
        "all changed": app.metric.summary(scored(everywhere, "test"))["f1"],
        "difference of values": calibrated.metric.summary(scored(difference, "test"))["f1"],
    }


def run(folder: Path, seed: int, seeds: int, budget: Budget) -> None:
    """Train, score and print the table."""
    config, settings, _ = configs.load_training("change_detection", None, [])
    config = replace(config, precision="fp32")
    cases = crops(folder, seed)
    print("crops:", ", ".join(f"{len(of_split)} {split}" for split, of_split in cases.items()), flush=True)
    print(COLUMNS.format("", "steps", "F1", "by seed", "recall", "ece", "shifted"))
    rows = baselines(ChangeDetection(config), cases)
    for name, f1 in rows.items():
        print(COLUMNS.format(name, "", f"{f1:.3f}", "", "", "", ""), flush=True)
    before = replace(config, augment=replace(config.augment, shift=0.0))
    for name, each, limit in (("U-Net, as before", before, Budget(steps=OLD_STEPS)), ("U-Net", config, budget)):
        app = ChangeDetection(each)
        dataset = app.dataset(cases["train"])
        results = []
        for number in range(seeds):
            best, model, steps = trained(app, dataset, cases["val"], replace(settings, seed=number), limit)
            shifted = ChangeDetection(replace(each, faults=FaultConfig(1.0)), best.state)
            found, moved = (of.metric.summary(contributions(of, model, cases["test"])) for of in (best, shifted))
            results.append(found | {"steps": steps, "shifted": moved["f1"]})
        mean = {key: statistics.mean(result[key] for result in results) for key in results[0]}
        numbers = [f"{mean[key]:.3f}" for key in ("recall", "ece", "shifted")]
        by_seed = " ".join(f"{result['f1']:.3f}" for result in results)
        print(COLUMNS.format(name, f"{mean['steps']:.0f}", f"{mean['f1']:.3f}", by_seed, *numbers), flush=True)
    print(f"the U-Net is {mean['f1'] - rows['all changed']:+.3f} above all changed, expected +0.150 or more")


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=1, help="seed of the crops; settings were selected on 0")
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings")
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of each training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), arguments.crops, arguments.seeds, Budget(seconds=60 * arguments.minutes))


if __name__ == "__main__":
    main()
