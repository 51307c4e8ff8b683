"""Diffusion on unseen meshes, mesh operator against interpolation: `python -m benchmarks.mesh`.

The baseline interpolates the mesh values to a regular grid from the nearest neighbours, runs the same axial operator
on the grid, and interpolates its increments back to the points. Both are trained on the same meshes for the same CPU
seconds with the same loss at the points; three seeds each. Errors are those of whole test trajectories, each on its own
mesh, against the exact solution. Takes about three minutes of one core.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor, nn

from transect.apps.pde.models.axial_operator import AxialOperator
from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.config import MeshOperatorConfig
from transect.apps.pde.models.mesh_operator import MeshOperator
from transect.apps.pde.models.neighbours import REMEMBERED
from transect.data_adapters.pde.config import ReadConfig
from transect.data_adapters.pde.mesh_files import open_member
from transect.data_adapters.pde.mesh_phantom import write_mesh_phantom

COUNTS, POINTS, GRID = {"train": 48, "test": 16}, 400, 20
SEEDS, SECONDS, BATCH, RATE = 3, 25.0, 8, 3e-3
NEAREST, NEAR_ZERO = 4, 1e-12
COLUMNS = "{:<28} {:>10} {:>20} {:>20} {:>7} {:>6}"


@dataclass(frozen=True)
class Runs:
    """Trajectories `(runs, frames, points)` and coordinates `(runs, points, 2)`, float32."""

    states: Tensor
    points: Tensor


class ThroughGrid(nn.Module):
    """The baseline: interpolate to a regular grid, apply an axial operator, interpolate back."""

    def __init__(self, config: MeshOperatorConfig) -> None:
        super().__init__()
        self.grid, self.operator = config.grid, AxialOperator(config.latent, 1, 2)

    def forward(self, states: Tensor, conditions: Conditions) -> Tensor:
        assert conditions.points is not None
        to_grid, to_points = (torch.stack(part) for part in zip(*map(self._weights, conditions.points), strict=True))
        nodes = torch.einsum("bgp,btcp->btcg", to_grid, states).unflatten(-1, (self.grid, self.grid))
        out = self.operator(nodes, Conditions(boundary=(("open", "open"),) * 2))
        return torch.einsum("bpg,bcg->bcp", to_points, out.flatten(2))

    def _weights(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return interpolations(points.double().numpy().tobytes(), self.grid)


@lru_cache(maxsize=REMEMBERED)
def interpolations(content: bytes, grid: int) -> tuple[Tensor, Tensor]:
    """Interpolation weights to the grid `(nodes, points)` and back, cached as the mesh operator caches its edges."""
    points = np.frombuffer(content).reshape(-1, 2)
    low, high = points.min(0), points.max(0)
    axis = np.linspace(0, 1, grid)
    nodes = low + (high - low) * np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return interpolation(points, nodes), interpolation(nodes, points)


def interpolation(sources: NDArray, targets: NDArray) -> Tensor:
    """Inverse-distance weights `(targets, sources)` of the nearest sources, exponent 2 (Shepard, 1968)."""
    distance, index = cKDTree(sources).query(targets, NEAREST)
    weights = 1 / np.maximum(distance**2, NEAR_ZERO)
    matrix = np.zeros((len(targets), len(sources)), np.float32)
    np.put_along_axis(matrix, index, (weights / weights.sum(1, keepdims=True)).astype(np.float32), 1)
    return torch.from_numpy(matrix)


def read(folder: Path) -> Runs:
    """Read all trajectories of a split; first frames have about unit variance."""
    simulations = [open_member(path, "", ReadConfig()) for path in sorted(folder.glob("*/rollout.pvd"))]
    points = np.stack([simulation.mesh.points for simulation in simulations if simulation.mesh is not None])
    states = np.stack([simulation.read(0, len(simulation))[:, 0] for simulation in simulations])
    return Runs(torch.from_numpy(states), torch.from_numpy(points).float())


class Step(nn.Module):
    """One time step of `states` `(batch, points)`: adds the model's increment, with scales from training data."""

    def __init__(self, model: nn.Module, runs: Runs) -> None:
        super().__init__()
        self.model, self.size = model, float(runs.states.std())
        self.increment = float(runs.states.diff(dim=1).std())

    def forward(self, states: Tensor, points: Tensor) -> Tensor:
        out = self.model(states[:, None, None] / self.size, Conditions(points=points))
        return states + self.increment * out[:, 0]


def trained(step: Step, runs: Runs, seed: int, seconds: float) -> int:
    """Train for `seconds` of CPU time with a cosine schedule; return the number of steps."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(step.parameters(), RATE, weight_decay=1e-4)
    start, steps = time.process_time(), 0
    while (share := (time.process_time() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, 20 * share + 0.01) * 0.5 * (1 + np.cos(np.pi * share))
        run = torch.randint(len(runs.states), (BATCH,), generator=generator)
        frame = torch.randint(runs.states.shape[1] - 1, (BATCH,), generator=generator)
        predicted = step(runs.states[run, frame], runs.points[run])
        loss = ((predicted - runs.states[run, frame + 1]) / step.increment).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(step.parameters(), 1.0)
        optimizer.step()
        steps += 1
    return steps


def relative(predicted: Tensor, expected: Tensor) -> float:
    """Mean over frames of the RMSE relative to the RMS of the solution."""
    return float(((predicted - expected).square().mean(-1) / expected.square().mean(-1)).sqrt().mean())


@torch.no_grad()
def errors(step: Callable[[Tensor, Tensor], Tensor], runs: Runs) -> tuple[float, float]:
    """The nRMSE of single steps from exact frames, and of a rollout from the first frame to the last."""
    frames = runs.states.unbind(1)
    single = torch.stack([step(frame, runs.points) for frame in frames[:-1]], 1)
    rollout = [frames[0]]
    for _ in frames[1:]:
        rollout.append(step(rollout[-1], runs.points))
    expected = runs.states[:, 1:]
    return relative(single, expected), relative(torch.stack(rollout[1:], 1), expected)


def row(name: str, scores: list[tuple[float, float]], size: int, steps: str) -> None:
    """Print the median and the range over seeds."""
    cells = []
    for values in zip(*scores, strict=True):
        spread = f" ({min(values):.4f}-{max(values):.4f})" if len(values) > 1 else ""
        cells.append(f"{statistics.median(values):.4f}{spread}")
    print(COLUMNS.format(name, size or "", *cells, steps, len(scores)), flush=True)


def main() -> None:
    """Write the meshes, train, roll out and print."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_mesh_phantom(Path(folder), COUNTS, seed=0, points=POINTS)
        training, test = (read(Path(folder) / split) for split in COUNTS)
    sizes = f"{COUNTS['train']} training and {COUNTS['test']} test meshes of {POINTS} points"
    print(f"{sizes}, {SECONDS:.0f} CPU s of training")
    print(COLUMNS.format("nRMSE on unseen meshes", "parameters", "one step", "rollout", "steps", "seeds"))
    row("persistence", [errors(lambda states, points: states, test)], 0, "")
    config = MeshOperatorConfig(grid=GRID)
    models: dict[str, Callable[[], nn.Module]] = {
        "axial, interpolated": lambda: ThroughGrid(config),
        "mesh operator": lambda: MeshOperator(config, channels=1, dim=2),
    }
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    steps: dict[str, list[int]] = {name: [] for name in models}
    # The models alternate, so that other load on the machine affects both.
    for seed in range(SEEDS):
        for name, build in models.items():
            torch.manual_seed(seed)
            step = Step(build(), training)
            steps[name].append(trained(step, training, seed, SECONDS))
            scores[name].append(errors(step, test))
    for name, build in models.items():
        size = sum(parameter.numel() for parameter in build().parameters())
        row(name, scores[name], size, str(round(statistics.median(steps[name]))))


if __name__ == "__main__":
    main()
