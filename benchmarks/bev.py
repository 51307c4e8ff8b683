"""Maps of unseen synthetic drives after an equal budget: `python -m benchmarks.bev [--minutes 4] [--seeds 3]`.

Three networks learn the vehicles of synthetic drives: `bilinear` and `lift_splat`, whose geometry is explicit, and a
reduced `sinbevt`, which has to learn it by attention. Each trains for the same CPU time of one thread (on a GPU, wall
time), with the loss, augmentation, prediction and metric of the app; augmentation counts, reading and validation do
not. The weights of the best IoU on the validation drives are kept, with the threshold that these drives choose, and
the unseen drives are predicted once. The learning rate, one for all, was selected on validation drives of `--drives 1`
with `bilinear`, and nothing on unseen drives.

IoU is that of vehicles, from counts that are added up over all samples, on maps of 96 x 96 pixels of 0.5 m: `visible`
leaves out the pixels of vehicles of which less than 40 % is seen, `all` counts them; at the calibrated threshold, and
at 0.5. The same command overfits eight samples with `apps/bev/small.yaml`, and prints what lost cameras and errors of
calibration and pose cost each network of the first seed.
"""

import argparse
import copy
import itertools
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import default_collate

from benchmarks.inputs import require_unseen
from benchmarks.rig_faults import Scorer, curves
from transect.apps.bev.app import BirdsEyeView
from transect.apps.bev.config import AugmentConfig, Config
from transect.apps.bev.models.config import LiftSplatConfig, ModelConfig
from transect.data_adapters.bev.config import PhantomConfig, ReadConfig
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.phantom import write_phantom
from transect.data_adapters.bev.sample import FrameCase
from transect.pipelines.config import load_training
from transect.pipelines.find import ROOT

DRIVES, UNSEEN, SAMPLES = 140, 30, 4
"""Drives of training and validation, unseen ones, and samples of each."""
VALIDATIONS = 8
"""How often a training is validated, at equal distances of its budget."""
BATCH, WEIGHT_DECAY, DECAY_POWER, CLIP_NORM = 8, 0.01, 0.9, 1.0
OVERFITTED, OVERFIT_SECONDS, OVERFIT_GOAL, OVERFIT_RATE = 8, 90.0, 0.6, 5e-3
"""Samples that are overfitted, in how many CPU seconds, the IoU to be reached, and the learning rate."""

SMALL: Config = load_training("bev", ROOT / "bev" / "small.yaml", [])[0]
READ: ReadConfig = SMALL.read
LIFT_SPLAT = LiftSplatConfig(dim=32, depths=28, decoder=(32, 32))
ROWS: dict[str, tuple[ModelConfig, float]] = {
    "bilinear": (load_training("bev", ROOT / "bev" / "demo.yaml", [])[0].model, 4e-3),
    "lift_splat": (replace(SMALL.model, name="lift_splat", lift_splat=LIFT_SPLAT), 4e-3),
    "sinbevt": (SMALL.model, 4e-3),
}
"""Sizes, the first and the last those of `demo.yaml` and `small.yaml`, and learning rates."""
COLUMNS = "{:<11} {:>10} {:>7} {:>11} {:>18} {:>20} {:>9} {:>9} {:>12}"


class Budget:
    """Seconds since the start: CPU time of this process, on a GPU wall time; without those that are excluded."""

    def __init__(self, device: torch.device) -> None:
        self.now = time.perf_counter if device.type == "cuda" else time.process_time
        self.start = self.now()

    def seconds(self) -> float:
        """Seconds since the start."""
        return self.now() - self.start

    def excluding(self, run: Any) -> Any:
        """What `run` returns; its time does not count."""
        before = self.now()
        done = run()
        self.start += self.now() - before
        return done


@dataclass(frozen=True)
class Splits:
    """The cases that are trained on, that select, and that are predicted once."""

    training: list[FrameCase]
    validation: list[FrameCase]
    unseen: list[FrameCase]


def drives(folder: Path, seed: int, count: int, unseen: int) -> Splits:
    """Write synthetic drives, or take those that are there: `known` to train and select, and `unseen`."""
    size = PhantomConfig(height=READ.height, width=READ.width, samples=SAMPLES)
    for name, number, offset in (("known", count, 0), ("unseen", unseen, 5000)):
        if not (folder / name).exists():
            write_phantom(folder / name, number, seed + offset, size)
    adapter = BirdsEyeView(Config(read=READ)).adapter
    known = adapter.cases(str(folder / "known"))
    training = [case for case in known if case.split == "train"]
    validation = [case for case in known if case.split != "train"]
    return Splits(training, validation, adapter.cases(str(folder / "unseen")))


def trained(
    app: BirdsEyeView, rate: float, splits: Splits, seed: int, seconds: float, device: torch.device
) -> tuple[BirdsEyeView, nn.Module, dict[str, Any]]:
    """Train within a budget; the calibrated app and model of the best validation IoU, and how training went."""
    torch.manual_seed(seed)
    model = app.model().to(device)
    dataset, scorer = app.dataset(splits.training), Scorer(app, splits.validation)
    for index in range(len(dataset)):  # reads and prepares it
        _ = dataset[index]
    groups = [
        {"params": group["params"], "weight_decay": WEIGHT_DECAY * group.get("weight_decay_scale", 1.0)}
        for group in app.parameter_groups(model)
    ]
    optimizer, batches = torch.optim.AdamW(groups, rate), _batches(app, dataset, seed)
    best, found, curve = model, (app, -math.inf), []
    budget, steps = Budget(device), 0
    for part in range(1, VALIDATIONS + 1):
        while (share := budget.seconds() / seconds) < part / VALIDATIONS:
            batch = {name: values.to(device) for name, values in next(batches).items()}
            _step(app, model, optimizer, batch, rate * (1 - share) ** DECAY_POWER)
            steps += 1
        model.eval()
        calibrated, summary = budget.excluding(lambda: scorer.calibrated(model))
        model.train()
        iou = summary[app.metric.monitor]
        curve.append(round(iou, 3))
        if iou > found[1]:
            best, found = copy.deepcopy(model), (calibrated, iou)
    return found[0], best.eval(), {"seed": seed, "steps": steps, "validation": found[1], "curve": curve}


def _step(
    app: BirdsEyeView, model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor], rate: float
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    app.loss(model, batch).backward()
    nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()


def _batches(app: BirdsEyeView, dataset: Any, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    sampler: Any = app.batch_sampler(dataset, BATCH, seed)
    for epoch in itertools.count():
        sampler.sampler.set_epoch(epoch)
        for batch in sampler:
            yield default_collate([dataset[index] for index in batch])


def overfitted(splits: Splits, device: torch.device, seconds: float = OVERFIT_SECONDS) -> bool:
    """Overfit eight samples of eight drives with `small.yaml`; prints the curve, returns whether the goal is met."""
    config = replace(SMALL, augment=AugmentConfig(drop_views=0, mirror=False, light=0))
    few = splits.training[:: max(len(splits.training) // OVERFITTED, 1)][:OVERFITTED]
    app, scorer = BirdsEyeView(config), Scorer(BirdsEyeView(config), few)
    torch.manual_seed(0)
    model = app.model().to(device)
    dataset = app.dataset(few)
    batch = {name: values.to(device) for name, values in default_collate([dataset[i] for i in range(len(few))]).items()}
    optimizer = torch.optim.AdamW(app.parameter_groups(model), OVERFIT_RATE, weight_decay=WEIGHT_DECAY)
    budget, steps, iou = Budget(device), 0, 0.0
    print(
        f"\n{len(few)} samples, overfitted with small.yaml\n  seconds   steps   IoU calibrated   at threshold   IoU@0.5"
    )
    for part in range(1, 7):
        while (share := budget.seconds() / seconds) < part / 6:
            _step(app, model, optimizer, batch, OVERFIT_RATE * (1 - share) ** DECAY_POWER)
            steps += 1
        model.eval()
        _, summary = budget.excluding(lambda: scorer.calibrated(model))
        model.train()
        iou = summary["vehicle_iou_visible_calibrated"]
        shown = seconds * part / 6, steps, iou, summary["vehicle_threshold"], summary["vehicle_iou_visible_at_50"]
        print("  {:>7.0f} {:>7} {:>16.3f} {:>14.2f} {:>9.3f}".format(*shown), flush=True)
    return iou >= OVERFIT_GOAL


def row(name: str, parameters: int, runs: Sequence[dict[str, Any]]) -> str:
    """A line of the table: means over seeds, and the standard deviation of the headline over them."""

    def mean(key: str) -> float:
        return statistics.mean(run[key] for run in runs)

    main = [run["vehicle_iou_visible_calibrated"] for run in runs]
    spread = f" +- {statistics.stdev(main):.3f}" if len(main) > 1 else ""
    return COLUMNS.format(
        name,
        f"{parameters:,}",
        f"{mean('steps'):.0f}",
        f"{mean('validation'):.3f}",
        f"{statistics.mean(main):.3f}{spread}",
        " ".join(f"{value:.3f}" for value in main),
        f"{mean('vehicle_iou_all_calibrated'):.3f}",
        f"{mean('vehicle_iou_visible_at_50'):.3f}",
        f"{1000 * mean('seconds_per_sample'):.0f}",
    )


def main() -> int:
    """Train, score and print; returns 1 if the eight samples are not overfitted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=[*ROWS], default=[*ROWS])
    parser.add_argument("--minutes", type=float, default=4.0, help="budget of each training")
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings of each network")
    parser.add_argument("--drives", type=int, default=2, help="seed of the drives; settings were selected on 1")
    parser.add_argument("--count", type=int, default=DRIVES, help="drives of training and validation")
    parser.add_argument("--unseen", type=int, default=UNSEEN, help="unseen drives")
    parser.add_argument("--rate", type=float, help="learning rate in place of that of each network, to select it")
    parser.add_argument("--folder", type=Path, help="folder for the drives; those that are there are used again")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for a budget of wall time there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        known, start = (folder / "known").exists(), time.process_time()
        splits = drives(folder, arguments.drives, arguments.count, arguments.unseen)
        seconds = (time.process_time() - start) / sum(map(len, (splits.training, splits.validation, splits.unseen)))
        _require_unseen(parser, folder, splits)
        counts = f"{len(splits.training)} training, {len(splits.validation)} validation, {len(splits.unseen)} unseen"
        rate = "" if known else f", written and listed at {1 / seconds:.1f} a CPU second"
        print(f"{counts} samples{rate}", flush=True)
        met = "sinbevt" not in arguments.rows
        met = met or overfitted(splits, device, min(OVERFIT_SECONDS, 60 * arguments.minutes))
        compare(arguments, splits, device)
    return 0 if met else 1


def compare(arguments: argparse.Namespace, splits: Splits, device: torch.device) -> None:
    """Train and score each network with each seed; prints the table, then the curves of faults."""
    lines, faults = [], []
    for name in arguments.rows:
        sizes, rate = ROWS[name]
        config = Config(sizes, READ)
        runs: list[dict[str, Any]] = []
        for seed in range(arguments.seeds):
            app, model, run = trained(
                BirdsEyeView(config), arguments.rate or rate, splits, seed, 60 * arguments.minutes, device
            )
            unseen = Scorer(app, splits.unseen)
            runs.append(run | unseen.summary(app, model))
            shown = f"{run['steps']} steps, validation {run['curve']}"
            print(f"{name}, seed {seed}: {shown}, unseen {runs[-1]['vehicle_iou_visible_calibrated']:.3f}", flush=True)
            if seed == 0:
                faults += [f"\n{name}, seed 0", *curves(unseen, model)]
        lines.append(row(name, sum(parameter.numel() for parameter in model.parameters()), runs))
    titles = ["", "parameters", "steps", "validation", "visible", "by seed", "all", "at 0.5", "ms/sample"]
    print("\nvehicle IoU on unseen drives\n" + "\n".join([COLUMNS.format(*titles), *lines, *faults]), flush=True)


def _require_unseen(parser: argparse.ArgumentParser, folder: Path, splits: Splits) -> None:
    """Refuse unseen samples with the same images as those that select or train."""
    adapter = BirdsEyeView(Config(read=replace(READ, grid=Grid(8, 8, 1.0), cameras=("CAM_FRONT",)))).adapter

    def images(cases: Sequence[FrameCase]) -> torch.Tensor:
        return torch.stack([torch.from_numpy(adapter.read(case).images) for case in cases])

    require_unseen(parser, folder, images([*splits.training, *splits.validation]), images(splits.unseen))


if __name__ == "__main__":
    sys.exit(main())
