"""The axial operator against APEBench's published baselines: `python -m benchmarks.apebench [--data FOLDER]`.

One-dimensional Burgers, Korteweg-de Vries and (conservative) Kuramoto-Sivashinsky on 160 points: 50 trajectories of 51
frames to train, 30 of 201 to test; 10 000 steps of Adam with 20 windows of two frames each, a warm-up to 1e-3 over
2 000 steps and a cosine to zero, on the mean squared error of one step; at most 32 768 parameters. One configuration
is used for all equations. The training loop is separate because the protocol counts steps and the app counts epochs.
The score is the geometric mean over t = 1..100 of the mean nRMSE of rollouts. Takes about four minutes of one core per
seed and equation.

FOLDER contains APEBench's arrays, `apebench_1d_diff_EQUATION.npz`. Equations without a file are simulated with exponax.

Source: Koehler et al., "APEBench: A Benchmark for Autoregressive Neural Emulators of PDEs" (2024).
"""

import argparse
import json
import math
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.inputs import require_unseen
from transect.apps.pde.measures import PERSISTENCE, Measures, frame_measures
from transect.apps.pde.metrics import apebench_nrmse
from transect.apps.pde.models.axial_operator import AxialOperator
from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.config import AxialOperatorConfig
from transect.data_adapters.pde.generate import apebench

CONFIG = AxialOperatorConfig(channels=24, kernel=5, blocks=2, patch=4, dim=16, depth=1, heads=4, mlp_ratio=1)
PERIODIC = Conditions(boundary=(("periodic", "periodic"),))
LARGEST, BATCH, PEAK, WARM_UP, HORIZON = 32768, 20, 1e-3, 0.2, 100
#: Medians over 50 seeds, from the per-step curves of google-research/generalized-pde-emulator.
PUBLISHED = {
    "burgers": {"ResNet": 0.0128, "ConvNet": 0.0265, "dilated ResNet": 0.0571, "U-Net": 0.0649, "FNO": 0.0698},
    "kdv": {"dilated ResNet": 0.0769, "U-Net": 0.0963, "ConvNet": 0.1225, "FNO": 0.2100, "ResNet": 0.876},
    "kuramoto_sivashinsky": {
        "ResNet": 0.242,
        "dilated ResNet": 0.284,
        "ConvNet": 0.343,
        "U-Net": 0.411,
        "FNO": 1.043,
    },
}


def load(equation: str, folder: Path | None) -> tuple[str, Tensor, Tensor]:
    """The source of the data, and training and test trajectories, float32 `(trajectories, frames, 1, points)`."""
    file = folder / f"apebench_1d_diff_{equation}.npz" if folder else None
    if file and file.is_file():
        with np.load(file) as arrays:
            return file.name, torch.from_numpy(arrays["train"]), torch.from_numpy(arrays["test"])
    train, test = apebench(equation, 50, 51, seed=0), apebench(equation, 30, 201, seed=773)
    return "simulated by this command", torch.tensor(train), torch.tensor(test)


class Emulator(nn.Module):
    """The operator with normalization: states and increments are scaled by their training standard deviations."""

    size: Tensor
    increment: Tensor

    def __init__(self, train: Tensor) -> None:
        super().__init__()
        self.operator = AxialOperator(CONFIG, channels=1, ndim=1)
        self.register_buffer("size", train.std())
        self.register_buffer("increment", train.diff(dim=1).std())

    def forward(self, states: Tensor) -> Tensor:
        """The increments `(batch, 1, points)` of `states`, in units of `increment`."""
        out: Tensor = self.operator(states[:, None] / self.size, PERIODIC)
        return out

    def step(self, states: Tensor) -> Tensor:
        """The next states."""
        return states + self.increment * self(states)


def rate(step: int, steps: int) -> float:
    """Learning rate relative to its peak: linear warm-up, cosine decay."""
    warm_up = WARM_UP * steps
    if step < warm_up:
        return step / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))


def fit(model: Emulator, train: Tensor, steps: int) -> None:
    """Train on windows of two frames, sampled without replacement in each epoch."""
    current, following = (frames.flatten(0, 1) for frames in (train[:, :-1], train[:, 1:]))
    target = (following - current) / model.increment
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(order) < BATCH:
            order = torch.randperm(len(current))
        batch, order = order[:BATCH], order[BATCH:]
        for group in optimizer.param_groups:
            group["lr"] = PEAK * rate(step, steps)
        loss = (model(current[batch]) - target[batch]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def roll_out(model: Emulator, test: Tensor) -> tuple[list[Measures], float]:
    """Measures of each test trajectory, and CPU milliseconds per step for the whole batch of them."""
    states, frames, start = test[:, 0], [], time.process_time()
    for _ in range(HORIZON):
        states = model.step(states)
        frames.append(states)
    milliseconds = 1e3 * (time.process_time() - start) / HORIZON
    predicted, truth = torch.stack(frames, 1).numpy(), test[:, 1 : HORIZON + 1].numpy()
    first = test[:, 0].numpy()
    measures = [frame_measures(*trajectory, axes=()) for trajectory in zip(predicted, truth, first, strict=True)]
    return measures, milliseconds


def run(train: Tensor, test: Tensor, seed: int, steps: int) -> dict[str, float]:
    """Train and score one seed."""
    torch.manual_seed(seed)
    model = Emulator(train)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if parameters > LARGEST:
        raise ValueError(f"CONFIG: found {parameters} parameters, expected at most {LARGEST}")
    start = time.process_time()
    fit(model, train, steps)
    seconds = time.process_time() - start
    measures, milliseconds = roll_out(model, test)
    return {
        "score": apebench_nrmse(measures, steps=HORIZON),
        "one step": apebench_nrmse(measures, steps=1),
        "persistence": apebench_nrmse(measures, PERSISTENCE, steps=HORIZON),
        "parameters": parameters,
        "CPU s": seconds,
        "ms a rollout step": milliseconds,
    }


def table(equation: str, source: str, runs: list[dict[str, float]]) -> str:
    """Format the source of the data, our scores (median, range, by seed), the published ones and persistence."""
    scores = [result["score"] for result in runs]
    parameters, seconds, milliseconds, persistence = (
        statistics.median(result[name] for result in runs)
        for name in ("parameters", "CPU s", "ms a rollout step", "persistence")
    )
    best = min(PUBLISHED[equation].values())
    lines = [
        f"{equation}, {source}: nRMSE, geometric mean over t = 1..{HORIZON}",
        f"  axial operator  median {statistics.median(scores):.4f}  from {min(scores):.4f} to {max(scores):.4f}"
        f"  ({', '.join(f'{score:.4f}' for score in scores)}); best published / ours"
        f" {best / statistics.median(scores):.1f}",
        f"    {parameters:.0f} parameters, {seconds:.0f} CPU s a seed,"
        f" {milliseconds:.1f} CPU ms a rollout step of 30 trajectories",
        *(f"  {name:15} median {score:.4f}  (published, 50 seeds)" for name, score in PUBLISHED[equation].items()),
        f"  {'persistence':15} {persistence:.4f}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark for the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--equations", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder of APEBench's arrays; default: simulate")
    parser.add_argument("--log", type=Path, help="file to append each run to, as JSON lines")
    arguments = parser.parse_args()
    if arguments.data and not arguments.data.is_dir():
        parser.error(f"--data {arguments.data}: no such folder")
    torch.set_num_threads(1)
    for equation in arguments.equations:
        runs = []
        source, train, test = load(equation, arguments.data)
        require_unseen(parser, source, train.flatten(0, 1), test[:, 0])
        for seed in arguments.seeds:
            runs.append(run(train, test, seed, arguments.steps))
            if arguments.log:
                with arguments.log.open("a") as log:
                    log.write(
                        json.dumps({"equation": equation, "seed": seed, "steps": arguments.steps} | runs[-1]) + "\n"
                    )
        print(table(equation, source, runs), flush=True)


if __name__ == "__main__":
    main()
