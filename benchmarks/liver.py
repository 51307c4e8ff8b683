"""The liver in unseen synthetic scans after ten CPU minutes of training: `python -m benchmarks.liver --out FILE`.

Of 24 phantoms, 20 train and 4 validate; 8 unseen ones have another contrast, orientation and spacing. Liver, spleen,
heart and bowel are equally bright, so that no range of values is the liver: the row `threshold` takes the best range of
each unseen scan in hindsight. Every network trains for the same CPU time of one thread, with the loss, augmentation,
windows and prediction of the app; reading and augmentation count, validation does not. The weights of the best Dice in
validation are kept, and the unseen scans predicted once. The settings in ROWS and the augmentation were selected on
other scans, those of `--phantoms 1`.

Rows may be run one by one, in processes of their own: `python -m benchmarks.liver --table FILES` prints one table.
"""

import argparse
import copy
import itertools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import default_collate

from benchmarks.measure import Clock
from transect.apps.base import Contribution
from transect.apps.liver_mri.app import LiverMRI
from transect.apps.liver_mri.config import Config
from transect.apps.liver_mri.models.config import ModelConfig, SRMAMambaConfig
from transect.data_adapters.files import write_json
from transect.data_adapters.liver_mri.segmentation import Segmentation, Slab
from transect.data_adapters.volume.cases import LabelledVolume, VolumeCase
from transect.data_adapters.volume.phantom import write_nnunet

TRAINING, VALIDATION, UNSEEN = 20, 4, 8
SIZE = (60, 60, 30)
"""Voxels of the training scans, of about 5.9 x 4.8 x 7.5 mm: resampled, each fits a window of 64 x 64 x 32 voxels."""
VALIDATIONS = 10
"""How often a training is validated, at equal distances of CPU time."""
BATCH, WEIGHT_DECAY, DECAY_POWER, CLIP_NORM = 1, 0.01, 0.9, 1.0
Row = tuple[Config, float]
"""Settings of the app, and the learning rate."""
Result = dict[str, Any]

ROWS: dict[str, Row] = {
    "unet": (Config(ModelConfig("unet", width=16)), 2e-3),
    "segresnet": (Config(ModelConfig("segresnet", width=8)), 2e-3),
    "swinunetr": (Config(ModelConfig("swinunetr", width=12)), 1e-3),
    "srma_mamba": (Config(ModelConfig(srma_mamba=SRMAMambaConfig(dim=16, drop_path=0.0))), 2e-3),
    "srma_mamba_fast": (Config(ModelConfig(srma_mamba=SRMAMambaConfig(dim=16, drop_path=0.0)), fast=True), 2e-3),
}
COLUMNS = "{:<16} {:>10} {:>6} {:>10} {:>16} {:>18} {:>8} {:>12}"


def phantoms(folder: Path, seed: int) -> tuple[list[VolumeCase], list[VolumeCase], list[VolumeCase]]:
    """Write the scans; training, validation and unseen cases."""
    write_nnunet(folder, TRAINING + VALIDATION + UNSEEN, seed, SIZE, UNSEEN)
    cases = LiverMRI(Config()).adapter.cases(str(folder))
    known = [case for case in cases if case.split != "test"]
    return known[:TRAINING], known[TRAINING:], [case for case in cases if case.split == "test"]


def best_range(volume: NDArray[np.floating[Any]], label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask of all voxels between two values, those with the largest Dice of any two, one-sided ranges included."""
    values, index = np.unique(volume, return_inverse=True)
    voxels = np.concatenate([[0], np.bincount(index.ravel()).cumsum()])
    liver = np.concatenate([[0], np.bincount(index.ravel(), label.ravel()).cumsum()])
    found, right = voxels[None] - voxels[:, None], liver[None] - liver[:, None]  # from value [i] up to before [j]
    low, high = np.unravel_index((2 * right / np.maximum(found + liver[-1], 1)).argmax(), found.shape)
    inside = (volume >= values[low]) & (volume <= values[high - 1])
    return inside.astype(np.uint8)


def by_threshold(unseen: Sequence[VolumeCase]) -> Result:
    """The scores of the best range of values of each scan, chosen in hindsight: more than any threshold can reach."""
    app = LiverMRI(Config())

    def predict(sample: LabelledVolume) -> Segmentation:
        assert sample.label is not None
        mask = best_range(sample.volume.values, sample.label)
        return Segmentation(sample.volume, iter([Slab(0, mask.astype(np.float32))]))

    run = {"steps": 0, "validation": math.nan} | scored(app, predict, unseen)
    return {"row": "threshold", "parameters": 0, "minutes": 0.0, "seeds": [run]}


def scored(
    app: LiverMRI, predict: Callable[[LabelledVolume], Segmentation], cases: Sequence[VolumeCase]
) -> dict[str, Any]:
    """Metrics over cases, those of each case, and the CPU seconds of a prediction."""
    contributions: list[Contribution] = []
    seconds = 0.0
    for case in cases:
        sample = app.adapter.read(case)
        start = time.process_time()
        prediction = predict(sample)
        _ = prediction.mask
        seconds += time.process_time() - start
        contributions.append(app.metric.contribution(prediction, sample))
    single = [app.metric.summary([contribution]) for contribution in contributions]
    return {
        "summary": app.metric.summary(contributions),
        "dice_by_case": [summary["dice"] for summary in single],
        "seconds_per_volume": seconds / len(cases),
    }


def trained(
    app: LiverMRI, rate: float, cases: Sequence[VolumeCase], validation: Sequence[VolumeCase], seed: int, budget: float
) -> tuple[nn.Module, dict[str, Any]]:
    """Train for `budget` CPU seconds; the model of the best validation Dice, and how training went."""
    torch.manual_seed(seed)
    model = app.model()
    batches = _batches(app, cases, seed)
    groups = [
        {"params": group["params"], "weight_decay": WEIGHT_DECAY * group.get("weight_decay_scale", 1.0)}
        for group in app.parameter_groups(model)
    ]
    optimizer = torch.optim.AdamW(groups, rate)
    best, best_dice, curve = model, -math.inf, []
    clock, steps = Clock(), 0
    for part in range(1, VALIDATIONS + 1):
        while (share := clock.seconds() / budget) < part / VALIDATIONS:
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 - share) ** DECAY_POWER
            optimizer.zero_grad()
            app.loss(model, next(batches)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            steps += 1
        model.eval()
        dice = clock.excluding(partial(scored, app, partial(app.predict, model), validation))["summary"]["dice"]
        model.train()
        curve.append(round(dice, 4))
        if dice > best_dice:
            best, best_dice = copy.deepcopy(model), dice
    return best.eval(), {"seed": seed, "steps": steps, "validation": best_dice, "curve": curve}


def _batches(app: LiverMRI, cases: Sequence[VolumeCase], seed: int) -> Iterator[Any]:
    dataset = app.dataset(cases)
    sampler: Any = app.batch_sampler(dataset, BATCH, seed)
    for epoch in itertools.count():
        sampler.sampler.set_epoch(epoch)
        for batch in sampler:
            yield default_collate([dataset[index] for index in batch])


def learned(
    name: str,
    seeds: Sequence[int],
    minutes: float,
    cases: Sequence[VolumeCase],
    validation: Sequence[VolumeCase],
    unseen: Sequence[VolumeCase],
) -> Result:
    """The result of one network, trained with each seed."""
    config, rate = ROWS[name]
    app = LiverMRI(config, LiverMRI(config).fit(cases))
    runs = []
    for seed in seeds:
        model, run = trained(app, rate, cases, validation, seed, 60 * minutes)
        run |= scored(app, partial(app.predict, model), unseen)
        runs.append(run)
        shown = f"{run['steps']} steps, validation {run['curve']}, unseen {run['summary']['dice']:.4f}"
        print(f"{name}, seed {seed}: {shown}", flush=True)
    size = sum(parameter.numel() for parameter in app.model().parameters())
    return {"row": name, "parameters": size, "minutes": minutes, "seeds": runs}


def table(results: Sequence[Result]) -> list[str]:
    """The lines of a table in the order of ROWS: means over seeds, and the standard deviation of Dice over them."""
    lines = [COLUMNS.format("", "parameters", "steps", "validation", "Dice", "by seed", "HD95 mm", "CPU s/volume")]
    for result in sorted(results, key=lambda result: ["threshold", *ROWS].index(result["row"])):
        runs = result["seeds"]
        dice = [run["summary"]["dice"] for run in runs]
        hd95 = [run["summary"]["hd95_mm"] for run in runs]
        mean = statistics.mean(dice)
        lines.append(
            COLUMNS.format(
                result["row"],
                f"{result['parameters']:,}",
                f"{statistics.mean(run['steps'] for run in runs):.0f}",
                f"{statistics.mean(run['validation'] for run in runs):.4f}",
                f"{mean:.4f} +- {statistics.stdev(dice):.4f}" if len(dice) > 1 else f"{mean:.4f}",
                " ".join(f"{value:.3f}" for value in dice),
                f"{statistics.mean(hd95):.2f}",
                f"{statistics.mean(run['seconds_per_volume'] for run in runs):.2f}",
            )
        )
    return lines


def main() -> None:
    """Train and score the rows, or print the table of earlier results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=["threshold", *ROWS], default=["threshold", *ROWS])
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of each training")
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings of each network")
    parser.add_argument("--phantoms", type=int, default=2, help="seed of the scans; settings were selected on 1")
    parser.add_argument("--out", type=Path, help="JSON file to write the results to")
    parser.add_argument("--table", nargs="+", type=Path, metavar="FILE", help="print results of these files alone")
    arguments = parser.parse_args()
    if arguments.table:
        results = [result for file in arguments.table for result in json.loads(file.read_text(encoding="utf-8"))]
    else:
        torch.set_num_threads(1)
        results = []
        with tempfile.TemporaryDirectory() as folder:
            cases, validation, unseen = phantoms(Path(folder), arguments.phantoms)
            for name in arguments.rows:
                if name == "threshold":
                    results.append(by_threshold(unseen))
                else:
                    seeds = range(arguments.seeds)
                    results.append(learned(name, seeds, arguments.minutes, cases, validation, unseen))
                if arguments.out:
                    write_json(arguments.out, results)
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
