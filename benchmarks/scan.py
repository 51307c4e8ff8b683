"""Speed and memory of the selective scan against token loops: `python -m benchmarks.scan`.

One thread, CPU seconds, minimum of several runs that alternate; every result is compared with that of the loop. Loops
have decays and updates of all tokens in memory, as pure PyTorch fallbacks of published models do, and are named after
the layout of these: (B, E, L, N) is that of the fallbacks, (B, L, E, N) is a faster one. `associative_scan` is torch's,
in eager mode.

The last table runs a 96 x 96 x 64 window through SRMA-Mamba of default size, and through the same model with a loop in
place of the core's scan: one loop for each direction, or one for the four directions of a plane together.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._higher_order_ops.associative_scan import associative_scan

from benchmarks.measure import peak_bytes, seconds
from transect.apps.liver_mri.models.config import SRMAMambaConfig
from transect.apps.liver_mri.models.srma_mamba import SRMAMamba
from transect.core.attention import SelectiveScan
from transect.core.selective_recurrence import selective_recurrence

CPU = torch.device("cpu")
OURS, FALLBACK, FAST_LOOP = "ours", "loop (B, E, L, N)", "loop (B, L, E, N)"
COLUMNS = "{:<30} {:<32} {:>8} {:>9} {:>9} {:>9}"
FORWARD_GOAL, MEMORY_GOAL, WINDOW_GOAL = 0.10, 0.10, 0.06
#: Largest difference from the loop, relative to its largest value.
TOLERANCE = 2e-5

Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def fallback_loop(u: Tensor, delta: Tensor, bias: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The scan of `(B, L, E)` with decays and updates as (B, E, L, N), and one `einsum` a token to read the state."""
    u, step = u.mT.contiguous(), F.softplus(delta + bias).mT.contiguous()
    decay = (step[..., None] * rates.mT[..., None, :]).exp()
    update = (step * u)[..., None] * write[:, None]
    state, out = torch.zeros_like(update[:, :, 0]), []
    for t in range(u.shape[2]):
        state = decay[:, :, t] * state + update[:, :, t]
        out.append(torch.einsum("bdn,bn->bd", state, read[:, t]))
    return torch.stack(out, 1)


def fast_loop(u: Tensor, delta: Tensor, bias: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The same with decays and updates as (B, L, E, N), so that those of a token are adjacent."""
    decay, update = _coefficients(u, delta, bias, rates, write)
    state, out = torch.zeros_like(update[:, 0]), []
    for t in range(u.shape[1]):
        state = decay[:, t] * state + update[:, t]
        out.append(torch.einsum("bdn,bn->bd", state, read[:, t]))
    return torch.stack(out, 1)


def associative(u: Tensor, delta: Tensor, bias: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The same with torch's parallel prefix scan."""

    def combined(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return first[0] * second[0], second[0] * first[1] + second[1]

    pair = _coefficients(u, delta, bias, rates, write)
    _, states = associative_scan(combined, pair, dim=1, combine_mode="generic")
    out: Tensor = (states @ read[..., None]).squeeze(-1)
    return out


def _coefficients(u: Tensor, delta: Tensor, bias: Tensor, rates: Tensor, write: Tensor) -> tuple[Tensor, Tensor]:
    step = F.softplus(delta + bias)[..., None]
    return (step * rates.mT).exp(), step * u[..., None] * write[:, :, None]


def core_scan(u: Tensor, delta: Tensor, bias: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The core's, row by row over an image of up to 128 columns."""
    grid = -1, min(128, u.shape[1])
    u, delta, write, read = (tensor.unflatten(1, grid) for tensor in (u, delta, write, read))
    return selective_recurrence(u, delta, bias, rates, write, read, (0, 1)).flatten(1, 2)


def inputs(length: int, channels: int, states: int) -> list[Tensor]:
    """Random inputs with steps of about 0.01 and the decay rates of a new model."""
    torch.manual_seed(0)
    u, delta = torch.randn(2, 1, length, channels)
    rates = -torch.arange(1.0, states + 1)[:, None].expand(-1, channels)
    return [u, delta, torch.full((channels,), -4.6), rates.contiguous(), *torch.randn(2, 1, length, states)]


def forward(scan: Scan, tensors: list[Tensor]) -> list[Tensor]:
    """The output."""
    with torch.inference_mode():
        return [scan(*tensors)]


def training_step(scan: Scan, tensors: list[Tensor]) -> list[Tensor]:
    """The gradients of the mean squared output."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    return list(torch.autograd.grad(scan(*leaves).square().mean(), leaves))


def compare(case: str, runs: Mapping[str, Callable[[], list[Tensor]]], rounds: int, memory: bool) -> dict[str, float]:
    """Print a row for each run, relative to the first, with its largest error; returns the seconds.

    Raises:
        AssertionError: a result differs from that of the first run.
    """
    outputs: dict[str, list[Tensor]] = {}

    def run(name: str) -> None:
        outputs[name] = [tensor.detach() for tensor in runs[name]()]

    taken = seconds({name: partial(run, name) for name in runs}, CPU, rounds, pick=min)
    first, *_ = runs
    peaks = {name: peak_bytes(call, CPU) for name, call in runs.items()} if memory else {}
    for name in runs:
        error = max(
            float((found - expected).abs().max() / expected.abs().max())
            for found, expected in zip(outputs[name], outputs[first], strict=True)
        )
        assert error <= TOLERANCE, f"{case}: {name} differs from {first} by {error:.1e}"
        peak = f"{peaks[name] / 2**20:.0f}" if memory else ""
        if memory and name != first:
            peak += f" {peaks[name] / peaks[first]:.3f}"
        print(
            COLUMNS.format(case, name, f"{taken[name]:.3f}", f"{taken[name] / taken[first]:.3f}", peak, f"{error:.0e}"),
            flush=True,
        )
    return taken


def scans(length: int, rounds: int) -> None:
    """Print forward passes of 16 states and of one, and training steps of growing length."""
    for channels, states in ((96, 16), (384, 1)):
        tensors = inputs(length, channels, states)
        ways: dict[str, Scan] = {
            FALLBACK: fallback_loop,
            FAST_LOOP: fast_loop,
            "associative_scan": associative,
            OURS: core_scan,
        }
        runs = {name: partial(forward, scan, tensors) for name, scan in ways.items()}
        compare(f"forward L={length}, E={channels}, N={states}", runs, rounds, memory=True)

    short = length // 16
    taken = {}
    for steps in (short, 2 * short, length):
        tensors = inputs(steps, 96, 16)
        runs = {OURS: partial(training_step, core_scan, tensors)}
        if steps == short:  # quadratic in the length: slicing fills a gradient of the whole tensor in every step
            runs = {FALLBACK: partial(training_step, fallback_loop, tensors)} | runs
        taken[steps] = compare(f"training L={steps}, E=96, N=16", runs, rounds, memory=steps != short)[OURS]
    for less, more in ((short, 2 * short), (2 * short, length)):
        growth = taken[more] / taken[less] / (more / less)
        print(f"training step, seconds a token at L={more} relative to L={less}: {growth:.2f}")


def loop_per_direction(scan: Scan) -> Callable[..., Tensor]:
    """`selective_recurrence` by a loop over the tokens in the order of the direction."""

    def recurrence(
        u: Tensor, delta: Tensor, bias: Tensor, rates: Tensor, write: Tensor, read: Tensor,
        axes: list[int], *, reverse: bool = False,
    ) -> Tensor:  # fmt: skip
        per_token = [_sequence(tensor, axes, reverse) for tensor in (u, delta, write, read)]
        return _on_grid(scan(per_token[0], per_token[1], bias, rates, *per_token[2:]), u.shape, axes, reverse)

    return recurrence


def loop_of_four(scan: Scan) -> Callable[[SelectiveScan, Tensor], Tensor]:
    """`SelectiveScan._scan` by one loop, in which the directions of one image are a batch."""

    def run(module: SelectiveScan, u: Tensor) -> Tensor:
        projected = F.linear(u, module.x_proj_weight.flatten(0, 1)).unflatten(-1, (-1, sum(module.splits)))
        directions = [(axes, reverse) for reverse in (False, True) for axes in module.orders]
        pieces = []
        for k, direction in enumerate(directions):
            low_rank, write, read = projected[..., k, :].split(module.splits, -1)
            delta = F.linear(low_rank, module.dt_proj_weight[k])
            pieces.append([_sequence(tensor, *direction) for tensor in (u, delta, write, read)])
        us, deltas, writes, reads = (torch.cat(tensors) for tensors in zip(*pieces, strict=True))
        y = scan(us, deltas, module.dt_proj_bias[:, None], -module.A_log.exp().mT, writes, reads)
        parts = [
            _on_grid(part, u.shape, *direction) for part, direction in zip(y.split(len(u)), directions, strict=True)
        ]
        return u * module.D.sum(0) + sum(parts)

    return run


def window(size: tuple[int, int, int], rounds: int) -> None:
    """Print a window through the default model, and through the same model with loops for the scans."""
    torch.manual_seed(0)
    model, volume = SRMAMamba(SRMAMambaConfig()).eval(), torch.randn(1, 1, *size)

    def run() -> list[Tensor]:
        with torch.inference_mode():
            return list(model(volume))

    def run_with(name: str, replacement: object) -> list[Tensor]:
        with mock.patch(f"transect.core.attention.selective_scan.{name}", replacement):
            return run()

    runs: dict[str, Callable[[], list[Tensor]]] = {
        FALLBACK: partial(run_with, "selective_recurrence", loop_per_direction(fallback_loop)),
        f"{FALLBACK}, four at once": partial(run_with, "SelectiveScan._scan", loop_of_four(fallback_loop)),
        OURS: run,
    }
    compare(f"window {'x'.join(map(str, size))}", runs, rounds, memory=False)
    print(f"ours: {peak_bytes(run, CPU) / 2**20:.0f} MiB besides the weights")


def main() -> None:
    """Print the three tables."""
    torch.set_num_threads(1)
    print(COLUMNS.format("case", "", "CPU s", "ratio", "MiB ratio", "error"))
    scans(32768, rounds=5)
    window((96, 96, 64), rounds=3)
    print(f"goals, ours: {FORWARD_GOAL} and memory {MEMORY_GOAL} with 16 states, {WINDOW_GOAL} in the window, linear")


def _sequence(tensor: Tensor, axes: list[int], reverse: bool) -> Tensor:
    """`(B, *grid, values)` as `(B, L, values)` in scan order."""
    sequence = tensor.permute(0, *(axis + 1 for axis in axes), -1).flatten(1, -2)
    return sequence.flip(1) if reverse else sequence


def _on_grid(sequence: Tensor, shape: torch.Size, axes: list[int], reverse: bool) -> Tensor:
    """The inverse of `_sequence`."""
    sequence = sequence.flip(1) if reverse else sequence
    grid = sequence.unflatten(1, [shape[axis + 1] for axis in axes])
    return grid.permute(0, *(axes.index(axis) + 1 for axis in range(len(axes))), -1)


if __name__ == "__main__":
    main()
