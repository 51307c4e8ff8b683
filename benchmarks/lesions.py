"""Slices with tumour in unseen synthetic bodies: `python -m benchmarks.lesions`, about 12 CPU minutes.

Two kinds of body (`data_adapters/petct/body.py`). With context, lesions and physiological spots look alike within a
slice and differ only in how many slices they cover; without, each slice is drawn independently of all others. On both,
ResNet-18 on single slices and the slice-context model train for the same CPU time of one thread with the app's loss
and predictions, and flips and shifts as augmentation. Reading and augmentation count, preparation and validation do
not. The weights of the best validation AUROC are kept, and the unseen bodies are predicted once. Two thresholds of
SUV need no training: slices are ranked by their largest SUV (flagged above 4.0), and by its share of the study's
largest (flagged above 41 %).

Then the point of the paper behind `paper.yaml`: ResNet-18 on few patients, whose slices or who themselves are divided
into training and validation. Held-out slices of known patients overestimate the AUROC on new patients.

Settings were selected on the bodies of `--bodies 0`, `1` and `2`.
"""

import argparse
import copy
import itertools
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import default_collate

from benchmarks.measure import Clock
from transect.apps.petct.app import PetCT
from transect.apps.petct.config import AugmentConfig, Config, SplitConfig
from transect.apps.petct.dataset import POSITIONS, TrainingRuns
from transect.apps.petct.models.config import ModelConfig
from transect.data_adapters.petct.config import PhantomConfig
from transect.data_adapters.petct.study import StudyCase
from transect.pipelines.splits import with_splits

RATE, WEIGHT_DECAY, DECAY_POWER, CLIP_NORM = 3e-3, 0.01, 0.9, 1.0
SLICES_PER_BATCH = 64
VALIDATIONS = 4
"""How often a training is validated, at equal distances of CPU time."""
SIZE = 32
MODELS = {
    "resnet18": ModelConfig("resnet18", width=8),
    "slice_context": ModelConfig("slice_context", width=8, dim=64, run=16),
}
BASELINES = {"SUV 4.0": "suv4_", "41 % of maximum": "suv41_"}
COLUMNS = "{:<18} {:>10} {:>6} {:>18} {:>24} {:>18} {:>11} {:>11}"


@dataclass(frozen=True)
class Sizes:
    """Numbers of bodies, of trainings of each model, and the CPU seconds of each."""

    training: int = 400
    validation: int = 40
    unseen: int = 60
    few: int = 24
    seeds: int = 3
    seconds: float = 30.0


def config(model: ModelConfig, context: bool, unit: Any = "patient") -> Config:
    """The settings of the app."""
    return Config(
        model,
        phantom=PhantomConfig(context=context, size=SIZE),
        split=SplitConfig(unit),
        augment=AugmentConfig(affine=0.0, gain=0.0, noise=0.0),
        size=SIZE,
        suv_max=15.0,
        slices_per_study=32,
        precision="fp32",
    )


def bodies(folder: Path, context: bool, counts: Sequence[int], seed: int) -> list[list[StudyCase]]:
    """Write a data set of each number of studies; no two share a patient."""
    app = PetCT(config(MODELS["resnet18"], context))
    found = []
    for place, count in enumerate(counts):
        root = folder / f"{context}-{place}"
        app.adapter.phantom(root, count, 1000 * seed + place)
        found.append([replace(case, split="") for case in app.adapter.cases(str(root))])
    return found


def scored(app: PetCT, model: nn.Module, cases: Sequence[StudyCase]) -> dict[str, float]:
    """The metrics over cases."""
    samples = map(app.adapter.read, cases)
    return app.metric.summary([app.metric.contribution(app.predict(model, sample), sample) for sample in samples])


def prepared(app: PetCT, cases: Sequence[StudyCase]) -> TrainingRuns:
    """The training runs of cases that are all prepared, for trainings with several seeds."""
    dataset = app.dataset(cases)
    for number in range(len(cases)):
        _ = dataset[number * POSITIONS]
    return dataset


def trained(
    app: PetCT, dataset: TrainingRuns, validation: Sequence[StudyCase], seed: int, seconds: float
) -> tuple[nn.Module, dict[str, float]]:
    """Train for `seconds` of CPU time; returns the best model on validation, with its AUROC and the number of steps."""
    torch.manual_seed(seed)
    model = app.model().to(memory_format=torch.channels_last)
    batches = _batches(app, dataset, seed)
    groups = [
        {"params": group["params"], "weight_decay": WEIGHT_DECAY * group.get("weight_decay_scale", 1.0)}
        for group in app.parameter_groups(model)
    ]
    optimizer = torch.optim.AdamW(groups, RATE)
    best, highest, steps = model, math.nan, 0
    clock = Clock()
    for part in range(1, VALIDATIONS + 1):
        while (share := clock.seconds() / seconds) < part / VALIDATIONS:
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - share) ** DECAY_POWER
            optimizer.zero_grad()
            app.loss(model, next(batches)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            steps += 1
        model.eval()
        auroc = clock.excluding(partial(scored, app, model, validation))["auroc"]
        model.train()
        if not auroc <= highest:  # also where either is undefined
            best, highest = copy.deepcopy(model), auroc
    return best.eval(), {"steps": steps, "validation": highest}


def _batches(app: PetCT, dataset: TrainingRuns, seed: int) -> Iterator[Any]:
    sampler: Any = app.batch_sampler(dataset, SLICES_PER_BATCH // app.config.model.slices, seed)
    for epoch in itertools.count():
        sampler.sampler.set_epoch(epoch)
        for batch in sampler:
            yield default_collate([dataset[index] for index in batch])


def compared(folder: Path, context: bool, bodies_seed: int, sizes: Sizes) -> list[str]:
    """Train all models with each seed; the lines of their table, with the baselines."""
    counts = (sizes.training, sizes.validation, sizes.unseen)
    cases, validation, unseen = bodies(folder, context, counts, bodies_seed)
    lines = [COLUMNS.format("", "parameters", "steps", "AUROC", "by seed", "AUPRC", "sensitivity", "specificity")]
    results: dict[str, list[dict[str, float]]] = {}
    for name, model_config in MODELS.items():
        app = PetCT(config(model_config, context))
        dataset = prepared(app, cases)
        size = sum(parameter.numel() for parameter in app.model().parameters())
        for seed in range(sizes.seeds):
            model, run = trained(app, dataset, validation, seed, sizes.seconds)
            results.setdefault(name, []).append(run | scored(app, model, unseen) | {"parameters": size})
            shown = f"validation {run['validation']:.3f}, unseen {results[name][-1]['auroc']:.3f}"
            print(f"{'with' if context else 'without'} context, {name}, seed {seed}: {shown}", flush=True)
    for name, prefix in BASELINES.items():
        every = results["resnet18"][0].items()
        kept = {key.removeprefix(prefix): value for key, value in every if key.startswith(prefix)}
        lines.append(_row(name, [kept | {"parameters": 0, "steps": 0}]))
    return lines + [_row(name, runs) for name, runs in results.items()]


def _row(name: str, runs: Sequence[dict[str, float]]) -> str:
    aurocs = [run["auroc"] for run in runs]
    sensitivity, specificity = (statistics.mean(run[key] for run in runs) for key in ("sensitivity", "specificity"))
    trained_here = runs[0]["steps"] > 0
    return COLUMNS.format(
        name,
        f"{runs[0]['parameters']:,}",
        f"{statistics.mean(run['steps'] for run in runs):.0f}",
        _spread(aurocs),
        " ".join(f"{auroc:.3f}" for auroc in aurocs),
        _spread([run["auprc"] for run in runs]),
        "" if trained_here else f"{sensitivity:.3f}",
        "" if trained_here else f"{specificity:.3f}",
    )


def _spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return f"{mean} +- {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def overestimated(folder: Path, bodies_seed: int, sizes: Sizes) -> list[str]:
    """ResNet-18 on few patients: the AUROC on what is held out by either split, and on new patients."""
    cases, unseen = bodies(folder / "few", True, (sizes.few, sizes.unseen), bodies_seed + 500)
    columns = "{:<18} {:>18} {:>18}"
    lines = [columns.format("split", "held-out AUROC", "new patients")]
    for unit in ("patient", "slice"):
        app = PetCT(config(MODELS["resnet18"], True, unit))
        held_out, new = [], []
        for seed in range(sizes.seeds):
            divided: Any = with_splits(app.split_units(cases), 0.2, seed)
            parts = [[case for case in divided if case.split == split] for split in ("train", "val")]
            model, run = trained(app, prepared(app, parts[0]), parts[1], seed, sizes.seconds / 2)
            held_out.append(run["validation"])
            new.append(scored(app, model, unseen)["auroc"])
        lines.append(columns.format(unit, _spread(held_out), _spread(new)))
    return lines


def main() -> None:
    """Train, score and print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=int, default=3, help="seed of the bodies; settings were selected on 0 to 2")
    parser.add_argument("--seeds", type=int, default=Sizes.seeds, help="number of trainings of each model")
    parser.add_argument("--seconds", type=float, default=Sizes.seconds, help="CPU seconds of each training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run(Sizes(seeds=arguments.seeds, seconds=arguments.seconds), arguments.bodies)


def run(sizes: Sizes, bodies_seed: int) -> None:
    """Print all tables."""
    with tempfile.TemporaryDirectory() as folder:
        for context in (True, False):
            lines = compared(Path(folder), context, bodies_seed, sizes)
            print(f"\n{'with' if context else 'without'} context, unseen bodies\n" + "\n".join(lines), flush=True)
        lines = overestimated(Path(folder), bodies_seed, sizes)
        print("\nResNet-18 on few patients\n" + "\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
