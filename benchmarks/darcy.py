"""Darcy flow: axial operator against FNO, trained on 16^2, tested also on 32^2: `python -m benchmarks.darcy FOLDER`.

FOLDER contains the data of neuraloperator 0.3.0, `darcy_train_16.pt`, `darcy_test_16.pt` and `darcy_test_32.pt`: 1000
binary permeabilities with pressures for training, 50 for testing. Point i of n is at i / n of the unit square's side,
the first one on the wall: the pressure is zero one point past the last, and the 16^2 test set is every other point of
the 32^2 test set. All models get the permeability and the coordinates, and minimize the relative L2 norm with AdamW for
the same CPU seconds, in alternating steps, with a cosine schedule over that time. The loop is separate because the
app counts epochs. A third row gives the FNO the factor of the axial operator that is zero on the walls. Without
neuraloperator, only recorded scores of its FNO are shown.

There are three ways to predict on 32^2, none of them trained on it. Directly: the model runs on the finer grid, where
a convolution covers half the distance, while the FNO's modes keep their wavelengths. By one subgrid: the model runs on
every other point, at the spacing of training, and a bicubic spline through its pressure and zero on the walls fills in
the rest. By four: the mean over the four subgrids. The spline applied to the truth gives its interpolation error.

Source: Li et al., "Fourier Neural Operator for Parametric Partial Differential Equations" (2021), section 5.2.
"""

import argparse
import importlib.util
import itertools
import math
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from scipy.interpolate import RectBivariateSpline
from torch import Tensor, nn

from benchmarks.inputs import require_distinct, require_unseen
from transect.apps.pde.models.axial_operator import AxialOperator
from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.config import AxialOperatorConfig
from transect.data_adapters.pde.config import Boundary

CONFIG = AxialOperatorConfig(
    channels=16, kernel=3, blocks=3, patch=4, dim=48, depth=1, heads=4, attention="full", constants=2
)
WALLS: tuple[tuple[Boundary, Boundary], ...] = (("wall", "wall"),) * 2
RATE, BATCH, DECAY, WARM_UP = 5e-3, 8, 1e-4, 0.05
COLUMNS = ("16^2", "32^2, directly", "32^2, by one subgrid", "32^2, by four")
#: Scores of neuraloperator's FNO after 20 epochs in 30.5 CPU s.
RECORDED = {"16^2": 0.1161, "32^2, directly": 0.1374}


@dataclass(frozen=True)
class Darcy:
    """Permeability (+1 or -1) and pressure, float32 `(examples, points, points)`, at the coordinates `x`, `y`."""

    permeability: Tensor
    pressure: Tensor
    x: Tensor
    y: Tensor

    def subgrid(self, row: int, column: int) -> "Darcy":
        """Every other point along each axis."""
        part = (slice(None), slice(row, None, 2), slice(column, None, 2))
        return Darcy(self.permeability[part], self.pressure[part], self.x[row::2], self.y[column::2])

    def inputs(self) -> Tensor:
        """Permeability, x and y, each in -1..1, `(examples, 3, points, points)`."""
        coordinates = torch.stack(torch.meshgrid(2 * self.x - 1, 2 * self.y - 1, indexing="ij"))
        return torch.cat((self.permeability[:, None], coordinates.expand(len(self.permeability), -1, -1, -1)), 1)


def load(file: Path) -> Darcy:
    """Load one of neuraloperator's files."""
    arrays = torch.load(file, weights_only=True)
    points = arrays["y"].shape[-1]
    coordinates = torch.arange(points) / points
    return Darcy(2 * arrays["x"].float() - 1, arrays["y"], coordinates, coordinates)


class Axial(nn.Module):
    """The axial operator from permeability to pressure."""

    def __init__(self) -> None:
        super().__init__()
        self.operator = AxialOperator(CONFIG, channels=1, ndim=2)

    def forward(self, inputs: Tensor) -> Tensor:
        """`(batch, 3, *grid)` to `(batch, 1, *grid)`."""
        out: Tensor = self.operator(inputs[:, None, :1], Conditions(boundary=WALLS, constants=inputs[:, 1:]))
        return out


class ZeroOnWalls(nn.Module):
    """Multiplies a model's output by `(1 - x^2) (1 - y^2)`, with walls at -1 and 1."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """`(batch, 3, *grid)` to `(batch, 1, *grid)`."""
        out: Tensor = self.model(inputs) * (1 - inputs[:, 1:].square()).prod(1, keepdim=True)
        return out


def fourier() -> nn.Module:
    """The FNO of neuraloperator with x and y as inputs; its own embedding cannot distinguish subgrids."""
    from neuralop.models import FNO

    model: nn.Module = FNO(n_modes=(8, 8), hidden_channels=24, in_channels=3, out_channels=1, positional_embedding=None)
    return model


def build() -> dict[str, nn.Module]:
    """Build the models, by row name."""
    models: dict[str, nn.Module] = {"axial operator": ZeroOnWalls(Axial())}
    if importlib.util.find_spec("neuralop"):
        models |= {"FNO": fourier(), "FNO, zero on walls": ZeroOnWalls(fourier())}
    return models


def relative_l2(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean over the examples of `|predicted - truth| / |truth|`."""
    return ((predicted - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean()


class Training:
    """Training state of one model with its CPU time."""

    def __init__(self, model: nn.Module, data: Darcy, seed: int) -> None:
        self.model, self.inputs, self.truth, self.size = model, data.inputs(), data.pressure, data.pressure.std()
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
        self.order = torch.empty(0, dtype=torch.long)
        self.seconds, self.examples = 0.0, 0

    def step(self, share: float) -> None:
        """One optimizer step, at this share of the CPU time."""
        start = time.process_time()
        if len(self.order) < BATCH:
            self.order = torch.randperm(len(self.truth), generator=self.generator)
        batch, self.order = self.order[:BATCH], self.order[BATCH:]
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(1, share / WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))
        loss = relative_l2(self.predict(self.inputs[batch]), self.truth[batch])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.examples += BATCH
        self.seconds += time.process_time() - start

    def predict(self, inputs: Tensor) -> Tensor:
        """The pressure, `(examples, points, points)`."""
        out: Tensor = self.model(inputs)[:, 0] * self.size
        return out


def train(trainings: list[Training], seconds: float) -> None:
    """Train all models for the given CPU seconds each, always stepping the one with the least time used."""
    while (behind := min(trainings, key=lambda training: training.seconds)).seconds < seconds:
        behind.step(behind.seconds / seconds)


def refine(pressure: Tensor, coarse: Darcy, fine: Darcy) -> Tensor:
    """Interpolate a pressure from `coarse` to `fine` by a bicubic spline that is zero on the walls."""
    inside_x, inside_y = coarse.x > 0, coarse.y > 0
    x, y = (np.r_[0, inside.numpy(), 1] for inside in (coarse.x[inside_x], coarse.y[inside_y]))
    walled = np.pad(pressure[:, inside_x][:, :, inside_y].numpy(), ((0, 0), (1, 1), (1, 1)))
    return torch.from_numpy(np.stack([RectBivariateSpline(x, y, field)(fine.x, fine.y) for field in walled])).float()


@torch.no_grad()
def scores(training: Training, coarse: Darcy, fine: Darcy) -> dict[str, float]:
    """Relative L2 norm on 16^2 and for each way to predict on 32^2."""
    training.model.eval()
    subgrids = [fine.subgrid(row, column) for row, column in itertools.product(range(2), range(2))]
    refined = torch.stack([refine(training.predict(part.inputs()), part, fine) for part in subgrids])
    predictions = (
        (training.predict(coarse.inputs()), coarse),
        (training.predict(fine.inputs()), fine),
        (refined[0], fine),
        (refined.mean(0), fine),
    )
    errors = (relative_l2(predicted, data.pressure).item() for predicted, data in predictions)
    return dict(zip(COLUMNS, errors, strict=True))


def bounds(trained: Darcy, coarse: Darcy, fine: Darcy) -> dict[str, dict[str, float]]:
    """Scores of the training-set mean, and of the truth at 16^2 interpolated by the spline."""
    mean = trained.pressure.mean(0, keepdim=True)
    return {
        "mean of the training set": {
            "16^2": relative_l2(mean, coarse.pressure).item(),
            "32^2, by one subgrid": relative_l2(refine(mean, coarse, fine), fine.pressure).item(),
        },
        "truth on 16^2": {
            "16^2": 0.0,
            "32^2, by one subgrid": relative_l2(refine(coarse.pressure, coarse, fine), fine.pressure).item(),
        },
    }


def row(name: str, values: dict[str, list[float]], note: str) -> str:
    """Format the median and the range over seeds of each column."""
    cells = []
    for column in COLUMNS:
        scored = values.get(column, [])
        cell = f"{statistics.median(scored):.4f}" if scored else "-"
        cells.append(cell if len(scored) < 2 else f"{cell} ({min(scored):.4f} to {max(scored):.4f})")
    return " | ".join(("", name, *cells, note, "")).strip()


def main() -> None:
    """Run the benchmark for the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="FOLDER", help="neuraloperator's Darcy files")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=30.0, help="CPU seconds of each model and seed")
    arguments = parser.parse_args()
    files = [arguments.data / f"darcy_{part}.pt" for part in ("train_16", "test_16", "test_32")]
    require_distinct(parser, *files)
    torch.set_num_threads(1)
    trained, coarse, fine = map(load, files)
    require_unseen(parser, files[1], trained.permeability, coarse.permeability)
    results: dict[str, dict[str, list[float]]] = {}
    notes: dict[str, str] = {}
    for seed in arguments.seeds:
        torch.manual_seed(seed)
        trainings = {name: Training(model, trained, seed) for name, model in build().items()}
        train(list(trainings.values()), arguments.seconds)
        for name, training in trainings.items():
            for column, score in scores(training, coarse, fine).items():
                results.setdefault(name, {}).setdefault(column, []).append(score)
            parameters = sum(parameter.numel() for parameter in training.model.parameters())
            epochs = training.examples / len(trained.pressure)
            notes[name] = f"{parameters} parameters, {training.seconds:.1f} CPU s, {epochs:.1f} epochs"
            print(f"seed {seed}: {row(name, {k: v[-1:] for k, v in results[name].items()}, notes[name])}", flush=True)
    if "FNO" not in results:
        print("neuraloperator is not installed: its FNO is not trained here")
    print(f"relative L2 norm on {len(fine.pressure)} examples, median (range) of {len(arguments.seeds)} seeds")
    print("| | 16^2 | 32^2, directly | 32^2, by one subgrid | 32^2, by four | a seed |\n|---|---|---|---|---|---|")
    for name, values in results.items():
        print(row(name, values, notes[name]))
    recorded = {column: [score] for column, score in RECORDED.items()}
    print(row("FNO, recorded", recorded, "99721 parameters, 30.5 CPU s, 20 epochs"))
    for name, bound in bounds(trained, coarse, fine).items():
        print(row(name, {column: [score] for column, score in bound.items()}, ""))


if __name__ == "__main__":
    main()
