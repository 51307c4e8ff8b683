"""Operations and time of the bird's-eye-view networks: `python -m benchmarks.fax [gpu]`.

First SinBEVT at its published size, six images of 224 x 480: floating-point operations (two for a multiply-add), CPU
seconds on one thread, or with `gpu` milliseconds, the minimum of a few runs, and peak memory; next to the same network
with a copy of each query for every view in the second attention, as CoBEVT computes it, and exported to onnxruntime.
Then all networks for images of several sizes.
"""

import copy
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import peak_bytes, seconds
from transect.apps.bev.config import Config
from transect.apps.bev.export import export, ring
from transect.apps.bev.models.build import build
from transect.apps.bev.models.config import ModelConfig, ModelName
from transect.apps.bev.models.fax import FusedAxialCrossAttention, NormedCrossWindow
from transect.apps.bev.models.network import BevNetwork
from transect.data_adapters.bev.config import ReadConfig
from transect.pipelines.export import to_onnx
from transect.pipelines.model_folder import channels_last

VIEWS = 6
SIZES = ((112, 240), (224, 480), (448, 960))
ROUNDS = 5
COLUMNS = "{:<12} {:<24} {:>11} {:>8} {:>10} {:>10} {:>10}"


class Copies(nn.Module):
    """Attention with a copy of the queries for every view, averaged."""

    def __init__(self, single: NormedCrossWindow) -> None:
        super().__init__()
        self.copied = copy.deepcopy(single)
        self.copied.attention.window = (None, *single.attention.window)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """As `NormedCrossWindow`, with a query without a view axis."""
        copies = query[:, None].expand(-1, key.shape[1], *query.shape[1:])
        out: Tensor = self.copied(copies, key, value, mask).mean(1)
        return out


def with_copies(network: BevNetwork) -> BevNetwork:
    """SinBEVT as CoBEVT computes it."""
    changed = copy.deepcopy(network)
    for part in changed.modules():
        if isinstance(part, FusedAxialCrossAttention):
            part.register_module("far", Copies(part.far))
    return changed


def gflop(network: BevNetwork, inputs: tuple[Tensor, ...]) -> float:
    """Billions of floating-point operations of a forward pass."""
    meta = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter:
        meta(*(tensor.to("meta") for tensor in inputs))
    return counter.get_total_flops() / 1e9


def inputs_of(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Images of noise of six cameras all around, and their calibration."""
    images = torch.rand(1, VIEWS, 3, *size, device=device)
    intrinsics, camera_to_ego = ring(*size, VIEWS)
    return images, intrinsics.to(device), camera_to_ego.to(device)


def network_of(name: ModelName, size: tuple[int, int], device: torch.device) -> BevNetwork:
    """A network of the default sizes with random weights, in evaluation mode."""
    torch.manual_seed(0)
    read = ReadConfig(height=size[0], width=size[1])
    network = build(ModelConfig(name=name), read, 2)
    channels_last(network)
    return network.to(device).eval()


def main(gpu: bool = False) -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if gpu else "cpu")
    unit, scale = ("ms", 1000.0) if gpu else ("CPU s", 1.0)
    print(COLUMNS.format("images", "network", "parameters", "GFLOP", unit, "MiB", "x copies"))

    size, inputs = SIZES[1], inputs_of(SIZES[1], device)
    network = network_of("sinbevt", size, device)
    copies = with_copies(network)
    with torch.no_grad():
        difference = (network(*inputs) - copies(*inputs)).abs().max().item()
        embedding = seconds({"": partial(network.geometry, *inputs[1:])}, device, ROUNDS, pick=min)[""]
    networks = {"sinbevt": network, "sinbevt, query copies": copies}
    times = seconds({name: forward(each, inputs) for name, each in networks.items()}, device, ROUNDS, pick=min)
    for name, each in networks.items():
        _row(size, name, each, inputs, times[name] * scale, times[name] / times["sinbevt, query copies"])
    if not gpu:
        time = seconds({"": exported(network, inputs)}, device, ROUNDS, pick=min)[""]
        _print(size, "sinbevt, onnxruntime", "", "", f"{time:.3g}", "", f"{time / times['sinbevt, query copies']:.2f}")
    print(
        f"largest difference of their logits {difference:.1e}; the embeddings of the calibration, computed once for a"
    )
    print(f"rig, take {embedding * scale:.3g} {unit} more\n")

    for size in SIZES:
        inputs = inputs_of(size, device)
        for name in get_args(ModelName):
            network = network_of(name, size, device)
            time = seconds({"": forward(network, inputs)}, device, ROUNDS, pick=min)[""]
            _row(size, name, network, inputs, time * scale)


def forward(network: BevNetwork, inputs: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    """A function that predicts without gradients."""

    def run() -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network(*inputs)
            return logits

    return run


def exported(network: BevNetwork, inputs: tuple[Tensor, ...]) -> Callable[[], object]:
    """A function that predicts with the exported network in onnxruntime, on one thread."""
    import onnxruntime

    settings = export(Config(), (0.5,))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        to_onnx(network, settings).save(Path(folder) / "network.onnx")
        session = onnxruntime.InferenceSession(Path(folder) / "network.onnx", options)
    arrays = {name: tensor.numpy() for name, tensor in zip(settings.inputs, inputs, strict=True)}
    return lambda: session.run(None, arrays)


def _row(
    size: tuple[int, int], name: str, network: BevNetwork, inputs: tuple[Tensor, ...], time: float, ratio: float = 0
) -> None:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    peak = peak_bytes(forward(network, inputs), inputs[0].device) / 2**20
    numbers = f"{gflop(network, inputs):.1f}", f"{time:.3g}", f"{peak:.0f}", f"{ratio:.2f}" if ratio else ""
    _print(size, name, f"{parameters:,}", *numbers)


def _print(size: tuple[int, int], *cells: str) -> None:
    print(COLUMNS.format("{} x {}".format(*size), *cells), flush=True)


if __name__ == "__main__":
    main("gpu" in sys.argv[1:])
