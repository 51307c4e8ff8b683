"""The attention core against its peers: `python -m benchmarks.core [WORD OF A CASE...]`.

For each case, forward and training step (forward and backward), the time of our mechanism, its peak memory, its
arithmetic, the share it reaches of this device's matrix-product rate, and how many times as long each peer takes for
the same mathematics on the same input. Everything is measured in one process with one thread, in turns, in CPU seconds
(on a GPU: in seconds until it is done); samples taken while the machine was busy with others are dropped.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.core_cases import CASES, DIM, HEADS, Case
from benchmarks.measure import Run, matmul_rate, peak_bytes, seconds
from transect.core.attention import AxialAttention
from transect.core.precision import computes_in_bf16

COLUMNS = "{:<36} {:<5} {:<8} {:>9} {:>9} {:>8} {:>7}  {}"


def step(module: nn.Module, inputs: list[Tensor], trains: bool) -> Run:
    """One forward pass without gradients, or one forward and backward pass with those of parameters and inputs."""
    module.train(trains)
    if not trains:

        def infer() -> None:
            with torch.inference_mode():
                module(*inputs)

        return infer
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    with torch.no_grad():
        towards = torch.randn_like(module(*leaves))

    def train() -> None:
        torch.autograd.grad(module(*leaves), [*leaves, *_trained(module)], towards, allow_unused=True)

    return train


def _trained(module: nn.Module) -> list[Tensor]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def built(make: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A mechanism with random weights."""
    torch.manual_seed(0)
    return make().to(device, dtype)


def measure(case: Case, dtype: torch.dtype, trains: bool, device: torch.device, rate: float) -> None:
    """Print one row."""
    inputs = [torch.randn(shape, device=device, dtype=dtype) for shape in case.shapes]
    ours = step(built(case.ours, device, dtype), inputs, trains)
    peers = {name: step(built(make, device, dtype), inputs, trains) for name, make in case.peers.items()}
    emulated = dtype == torch.bfloat16 and not computes_in_bf16(device)
    taken = seconds({"ours": ours, **peers}, device, 1 if emulated else case.rounds)
    memory = peak_bytes(ours, device)
    # A backward pass costs twice the forward one: a product for the input and one for the weights each.
    flops = case.forward_flops * (3 if trains else 1)
    peer_memory = {name: peak_bytes(run, device) for name, run in peers.items()}
    print(
        COLUMNS.format(
            case.name,
            "bf16" if dtype == torch.bfloat16 else "fp32",
            "train" if trains else "forward",
            f"{1e3 * taken['ours']:.1f}",
            f"{memory / 2**20:.1f}",
            f"{flops / 1e9:.2f}",
            f"{100 * flops / taken['ours'] / rate:.0f} %",
            ", ".join(
                f"{name} {taken[name] / taken['ours']:.2f}x (memory {peer_memory[name] / memory:.1f}x)"
                for name in peers
            ),
        ),
        flush=True,
    )


def main(words: list[str]) -> None:
    """Measure the cases that have all the words in their names."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rates = {dtype: matmul_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    if not computes_in_bf16(device):
        print("no instructions for bf16 here: it is emulated, and each run of it measured once")
    for dtype, rate in rates.items():
        print(f"matrix product, {str(dtype)[6:]}: {rate / 1e9:.1f} GF/s on {device.type}")
    print(COLUMNS.format("case", "", "", "ms", "MB", "GFLOP", "rate", "a peer takes"))
    for case in CASES:
        if all(word in case.name for word in words):
            for dtype in (torch.float32, torch.bfloat16) if case.bf16 else (torch.float32,):
                for trains in (False, True):
                    measure(case, dtype, trains, device, rates[dtype])
    if not words:
        print_memory(device)


def print_memory(device: torch.device) -> None:
    """Bytes per token of axial attention on images of growing side: the same for each if memory is linear."""
    for trains in (False, True):
        held = []
        for side in (64, 128, 256):
            x = torch.randn(1, side, side, DIM, device=device)
            module = built(lambda: AxialAttention(DIM, HEADS), device, torch.float32)
            held.append(f"{peak_bytes(step(module, [x], trains), device) / side**2:.0f} at {side}x{side}")
        print(f"bytes per token, axial, {'training' if trains else 'forward'}: {', '.join(held)}")


if __name__ == "__main__":
    main(sys.argv[1:])
