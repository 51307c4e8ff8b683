"""Seconds and memory of a map by resolution, and of the data: `python -m benchmarks.bev_latency [--device cuda]`.

One sample of six cameras through SinBEVT at its published size, at its resolution and at half and twice of it, and
through the networks of `small.yaml` and `demo.yaml`, with random weights. `fresh` computes what depends on the
calibration alone, `cached` has it from the sample before, as for a rig whose calibration stays. On a CPU, seconds are
those of one thread; on a GPU, wall time. Memory is the peak that torch allocates beyond weights and inputs. Then the
CPU time of writing, listing and reading synthetic samples, the labels included.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import peak_bytes, seconds
from transect.apps.bev.app import BirdsEyeView
from transect.apps.bev.config import Config
from transect.core.precision import autocast
from transect.data_adapters.bev.config import PhantomConfig, ReadConfig
from transect.data_adapters.bev.phantom import write_phantom
from transect.pipelines.config import load_training
from transect.pipelines.find import ROOT

CAMERAS = 6
COLUMNS = "{:<28} {:>11} {:>9} {:>9} {:>9}"


def configurations() -> dict[str, Config]:
    """What is measured, by name."""
    sizes = ((112, 240), (224, 480), (448, 960))
    full = {
        f"sinbevt, {height} x {width}": Config(read=ReadConfig(height=height, width=width)) for height, width in sizes
    }
    others = {
        f"{name}, 64 x 112": load_training("bev", ROOT / "bev" / f"{name}.yaml", [])[0] for name in ("small", "demo")
    }
    return full | others


def rig(config: Config, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Images of noise, and the calibration of cameras that look in all directions."""
    height, width = config.read.height, config.read.width
    matrix = torch.tensor([[0.7 * width, 0, width / 2], [0, 0.7 * width, height / 2], [0, 0, 1]])
    poses = []
    for angle in np.radians(np.arange(0, 360, 360 / CAMERAS)):
        cos, sin = np.cos(angle), np.sin(angle)
        poses.append([[sin, 0, cos, cos], [-cos, 0, sin, sin], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    images = torch.rand(1, CAMERAS, 3, height, width)
    inputs = images, matrix.expand(1, CAMERAS, 3, 3), torch.tensor(np.array(poses), dtype=torch.float32)[None]
    return tuple(values.to(device) for values in inputs)  # type: ignore[return-value]


@dataclass
class Run:
    """Predicts a sample; where `fresh`, the calibration differs from that of the call before."""

    model: Any
    images: Tensor
    matrices: Tensor
    poses: Tensor
    fresh: bool

    def __call__(self) -> Tensor:
        if self.fresh:
            self.poses = self.poses + 1e-3
        with torch.inference_mode(), autocast("auto", self.images.device):
            logits: Tensor = self.model(self.images, self.matrices, self.poses)
            return logits


def networks(device: torch.device, rounds: int) -> None:
    """Print a line for each network."""
    print(COLUMNS.format("", "parameters", "fresh ms", "cached ms", "peak MB"))
    for name, config in configurations().items():
        model: Any = BirdsEyeView(config).model().eval().to(device)
        images, matrices, poses = rig(config, device)
        runs = {kind: Run(model, images, matrices, poses, kind == "fresh") for kind in ("fresh", "cached")}
        spent = {kind: seconds({kind: each}, device, rounds)[kind] for kind, each in runs.items()}
        parameters = sum(parameter.numel() for parameter in model.parameters())
        peak = peak_bytes(runs["cached"], device) / 1e6
        figures = f"{1000 * spent['fresh']:.1f}", f"{1000 * spent['cached']:.1f}", f"{peak:.0f}"
        print(COLUMNS.format(name, f"{parameters:,}", *figures), flush=True)


def data(drives: int) -> list[str]:
    """Samples a CPU second that are written, and that are read with their labels."""
    lines = []
    for height, width in ((64, 112), (225, 400), (900, 1600)):
        with tempfile.TemporaryDirectory() as folder:
            count = max(drives * 64 // height, 1)
            start = time.process_time()
            write_phantom(Path(folder), count, 0, replace(PhantomConfig(), height=height, width=width))
            wrote = time.process_time() - start
            adapter = BirdsEyeView(Config()).adapter
            start = time.process_time()
            frames = [adapter.read(case) for case in adapter.cases(folder)]
            labels = [frame.labels() for frame in frames]
            read = time.process_time() - start
        total = len(labels)
        lines.append(f"{total} samples of {height} x {width}: {total / wrote:.2f} written, {total / read:.1f} read")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--drives", type=int, default=8, help="synthetic drives of 64 x 112, fewer of larger ones")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    networks(torch.device(arguments.device), arguments.rounds)
    print("\na CPU second\n" + "\n".join(data(arguments.drives)))


if __name__ == "__main__":
    main()
