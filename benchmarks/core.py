"""Speed and memory of the attention core against its peers: `python -m benchmarks.core [WORD OF A CASE...]`.

For each case, forward and training step (forward and backward): time of our mechanism, peak memory, floating-point
operations, throughput relative to a large matrix product on this device, and the time of each peer relative to ours
for the same mathematics on the same input. All runs alternate in one process with one thread, in CPU seconds (on a GPU:
wall seconds until completion); samples taken while the machine was busy are discarded if there are others.
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
    """One forward pass without gradients, or one forward and backward pass for parameters and inputs."""
    module.train(trains)
    if not trains:

        def infer() -> None:
            with torch.inference_mode():
                module(*inputs)

        return infer
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    with torch.no_grad():
        grad_output = torch.randn_like(module(*leaves))

    def train() -> None:
        torch.autograd.grad(module(*leaves), [*leaves, *_trained(module)], grad_output, allow_unused=True)

    return train


def _trained(module: nn.Module) -> list[Tensor]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def built(make: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Build a mechanism with random weights."""
    torch.manual_seed(0)
    return make().to(device, dtype)


def measure(case: Case, dtype: torch.dtype, trains: bool, device: torch.device, rate: float) -> None:
    """Measure a case and print its row."""
    inputs = [torch.randn(shape, device=device, dtype=dtype) for shape in case.shapes]
    ours = step(built(case.ours, device, dtype), inputs, trains)
    peers = {name: step(built(make, device, dtype), inputs, trains) for name, make in case.peers.items()}
    emulated = dtype == torch.bfloat16 and not computes_in_bf16(device)
    taken = seconds({"ours": ours, **peers}, device, 1 if emulated else case.rounds)
    memory = peak_bytes(ours, device)
    # A backward pass costs twice the forward pass: one product for the input and one for the weights.
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
    """Measure the cases whose names contain all the words."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rates = {dtype: matmul_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    if not computes_in_bf16(device):
        print("no native bf16: it is emulated, and each bf16 run is measured once")
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
    """Print bytes per token of axial attention on growing images: constant if memory is linear."""
    for trains in (False, True):
        per_token = []
        for side in (64, 128, 256):
            x = torch.randn(1, side, side, DIM, device=device)
            module = built(lambda: AxialAttention(DIM, HEADS), device, torch.float32)
            per_token.append(f"{peak_bytes(step(module, [x], trains), device) / side**2:.0f} at {side}x{side}")
        print(f"bytes per token, axial, {'training' if trains else 'forward'}: {', '.join(per_token)}")


if __name__ == "__main__":
    main(sys.argv[1:])
