"""Cases of `benchmarks.core`: our mechanism, input shapes, operation count, and peers with the same mathematics."""

from collections.abc import Callable
from dataclasses import dataclass, field

import axial_attention
import torch
from timm.models.maxxvit import MaxxVitTransformerCfg, PartitionAttentionCl
from torch import Tensor, nn

from benchmarks.peers import (
    BareAxial,
    EinsumAxial,
    EinsumCrossWindow,
    EinsumTied,
    EinsumWindow,
    ExpandedCross,
    GridSamplePyramid,
    LoopScan,
    TorchAxial,
)
from transect.core.attention import (
    AxialAttention,
    AxialTrajectoryAttention,
    CrossWindowAttention,
    FoldedCrossAttention,
    MultiScaleDeformableAttention,
    NeighborhoodAttention,
    SpaceTimeAxialAttention,
    TiedAttention,
    WindowAttention,
)
from transect.core.attention.axial import FULL_ATTENTION_TOKENS
from transect.core.attention.grid import Partition
from transect.core.selective_recurrence import selective_recurrence

DIM, HEADS = 128, 8


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    ours: Callable[[], nn.Module]
    shapes: list[tuple[int, ...]]
    forward_flops: float
    peers: dict[str, Callable[[], nn.Module]] = field(default_factory=dict)
    bf16: bool = False
    rounds: int = 7


def axial_flops(grid: tuple[int, ...], batch: int = 1, dim: int = DIM, axes: tuple[int, ...] | None = None) -> float:
    """Projections `8 N dim^2` and attention `4 N S_i dim` for each axis."""
    tokens = batch * size(grid)
    return sum(8 * tokens * dim**2 + 4 * tokens * grid[axis] * dim for axis in axes or range(len(grid)))


def size(grid: tuple[int, ...]) -> int:
    """Number of cells of a grid."""
    return int(torch.tensor(grid).prod())


def axial(grid: tuple[int, ...], *, bf16: bool = False, rounds: int = 7) -> Case:
    """Axial attention in the parallel-sum form."""
    axes = tuple(range(len(grid)))
    peers: dict[str, Callable[[], nn.Module]] = {
        "lucidrains": lambda: axial_attention.AxialAttention(DIM, len(grid), HEADS),
        "nn.MHA": lambda: TorchAxial(DIM, HEADS, axes),
        "einsum": lambda: EinsumAxial(DIM, HEADS, axes),
        "bare parts": lambda: BareAxial(DIM, HEADS, grid),
    }
    return Case(
        f"axial {'x'.join(map(str, grid))}",
        lambda: AxialAttention(DIM, HEADS, ndim=len(grid)),
        [(1, *grid, DIM)],
        axial_flops(grid),
        peers,
        bf16,
        rounds=rounds,
    )


def full(side: int) -> Case:
    """Axial attention against full attention over the same tokens."""
    return Case(
        f"axial {side}x{side} for full",
        lambda: AxialAttention(DIM, HEADS),
        [(1, side, side, DIM)],
        axial_flops((side, side)),
        {"full": lambda: AxialAttention(DIM, HEADS, share=True, attention="full")},
        rounds=3,
    )


def shared(side: int) -> Case:
    """Shared projections for both axes against separate ones."""
    return Case(
        f"axial, shared {side}x{side}",
        lambda: AxialAttention(DIM, HEADS, share=True),
        [(1, side, side, DIM)],
        8 * side**2 * DIM**2 + 8 * side**3 * DIM,
        {
            "own projections": lambda: AxialAttention(DIM, HEADS),
            "lucidrains": lambda: axial_attention.AxialAttention(DIM, 2, HEADS),
        },
    )


def automatic(side: int) -> Case:
    """The choice of "auto" against both alternatives."""
    tokens = side**2
    return Case(
        f"axial, auto {side}x{side}",
        lambda: AxialAttention(DIM, HEADS, share=True, attention="auto"),
        [(16, side, side, DIM)],
        16 * (8 * tokens * DIM**2 + 4 * tokens * DIM * (tokens if tokens <= FULL_ATTENTION_TOKENS else 2 * side)),
        {
            "axial": lambda: AxialAttention(DIM, HEADS, share=True),
            "full": lambda: AxialAttention(DIM, HEADS, share=True, attention="full"),
        },
    )


def space_time(times: int, grid: tuple[int, int, int], batch: int = 1, dim: int = 256) -> Case:
    """MORPH's space-time attention; an axis of length one needs the value projection only."""
    shape = (times, *grid)
    axes = tuple(axis for axis in range(4) if shape[axis] > 1)
    values = (3 - len([length for length in grid if length > 1])) * 4 * batch * size(shape) * dim**2
    return Case(
        f"space-time {'x'.join(map(str, (batch, *shape)))}",
        lambda: SpaceTimeAxialAttention(dim, 4),
        [(batch, *shape, dim)],
        axial_flops(shape, batch, dim, axes) + values,
        {
            "nn.MHA": lambda: TorchAxial(dim, 4, (0, 1, 2, 3) if times > 1 else (1, 2, 3)),
            "einsum": lambda: EinsumAxial(dim, 4, (0, 1, 2, 3) if times > 1 else (1, 2, 3)),
        },
    )


def window(side: int, partition: Partition) -> Case:
    """MaxViT attention with relative bias, windows of 8 x 8."""
    cfg = MaxxVitTransformerCfg(dim_head=DIM // HEADS, window_size=(8, 8), grid_size=(8, 8), rel_pos_type="bias")

    tokens = side**2
    return Case(
        f"{partition} window {side}x{side}",
        lambda: WindowAttention(DIM, HEADS, window=(8, 8), partition=partition, relative_bias=True),
        [(1, side, side, DIM)],
        8 * tokens * DIM**2 + 4 * tokens * 64 * DIM,
        {"timm": lambda: TimmPartition(PartitionAttentionCl(DIM, partition_type=partition, cfg=cfg))},
        bf16=side == 64,
    )


class TimmPartition(nn.Module):
    """timm's window or grid attention without its norms and feed-forward layer."""

    def __init__(self, block: PartitionAttentionCl) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Mix `(batch, H, W, dim)`."""
        mixed: Tensor = self.block._partition_attn(x)
        return mixed


class Scan(nn.Module):
    """The core's selective recurrence over `(batch, tokens, channels)`."""

    def forward(self, u: Tensor, delta: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
        """Scan the tokens in order."""
        return selective_recurrence(u, delta, torch.zeros_like(rates[0]), -rates.exp(), write, read, (0,))


class SlowScan(LoopScan):
    """The same recurrence, token by token."""

    def forward(self, u: Tensor, delta: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
        """Scan the tokens in order."""
        return super().forward(u, delta, -rates.exp(), write, read)


class OnPyramid(nn.Module):
    """Deformable attention with fixed level sizes."""

    def __init__(self, attention: MultiScaleDeformableAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, query: Tensor, reference: Tensor, value: Tensor) -> Tensor:
        """Attend to the pyramid from reference points around the centre."""
        mixed: Tensor = self.attention(query, reference.sigmoid(), value, LEVELS)
        return mixed


LEVELS = [(64, 64), (32, 32), (16, 16)]


CASES = [
    axial((64, 64), bf16=True),
    full(64),
    axial((128, 128), bf16=True),
    axial((256, 256), rounds=3),
    axial((32, 32, 32), bf16=True, rounds=5),
    axial((64, 64, 64), rounds=1),
    shared(128),
    automatic(8),
    automatic(16),
    window(64, "block"),
    window(64, "grid"),
    window(128, "block"),
    window(128, "grid"),
    Case(
        "fused agents 5x32x32, window 8",
        lambda: WindowAttention(DIM, 4, window=(5, 8, 8), relative_bias=True),
        [(1, 5, 32, 32, DIM)],
        8 * 5120 * DIM**2 + 4 * 5120 * 320 * DIM,
        {"einsum": lambda: EinsumWindow(DIM, 4, (5, 8, 8))},
    ),
    Case(
        "neighbourhood 64x64, kernel 7",
        lambda: NeighborhoodAttention(DIM, 4, kernel=(7, 7)),
        [(1, 64, 64, DIM)],
        8 * 4096 * DIM**2 + 4 * 4096 * 49 * DIM,
        {"block windows": lambda: WindowAttention(DIM, 4, window=(8, 8))},
    ),
    space_time(1, (16, 16, 16)),
    space_time(4, (1, 32, 32)),
    space_time(1, (1, 64, 64)),
    Case(
        "lists, tied rows 32x6x40",
        lambda: TiedAttention(512, 8, qkv_bias=True),
        [(32, 6, 40, 512)],
        8 * 7680 * 512**2 + 4 * 7680 * 40 * 512,
        {"einsum": lambda: EinsumTied(512, 8)},
        rounds=5,
    ),
    Case(
        "lists, columns 32x6x40",
        lambda: AxialAttention(512, 8, axes=(0,), qkv_bias=True),
        [(32, 6, 40, 512)],
        8 * 7680 * 512**2 + 4 * 7680 * 6 * 512,
        {"nn.MHA": lambda: TorchAxial(512, 8, (0,)), "einsum": lambda: EinsumAxial(512, 8, (0,))},
        rounds=5,
    ),
    Case(
        "lists, folded cross 32x10x40 to 150",
        lambda: FoldedCrossAttention(512, 8, qkv_bias=True),
        [(32, 10, 40, 512), (32, 150, 512)],
        4 * 12800 * 512**2 + 4 * 4800 * 512**2 + 4 * 12800 * 150 * 512,
        {"nn.MHA, expanded": lambda: ExpandedCross(512, 8)},
        rounds=3,
    ),
    Case(
        "fused views, 100x100 to 6x60x120",
        lambda: CrossWindowAttention(32, 1, window=(10, 10), context_window=(None, 6, 12)),
        [(1, 100, 100, 32), (1, 6, 60, 120, 32)],
        4 * 10000 * 32**2 + 4 * 43200 * 32**2 + 4 * 10000 * 432 * 32,
        {"einsum": lambda: EinsumCrossWindow(32, 1, (10, 10), (6, 12))},
    ),
    Case(
        "deformable, 5376 queries",
        lambda: OnPyramid(MultiScaleDeformableAttention(256, 3)),
        [(1, 5376, 256), (1, 5376, 3, 2), (1, 5376, 256)],
        4 * 5376 * 256**2 + 2 * 5376 * 256 * 288 + 8 * 5376 * 12 * 256,
        {"grid_sample": lambda: OnPyramid(GridSamplePyramid(256, 3))},
        rounds=5,
    ),
    Case(
        "selective scan, 4096 tokens, 16 states",
        Scan,
        [(1, 4096, 96), (1, 4096, 96), (16, 96), (1, 4096, 16), (1, 4096, 16)],
        11 * 4096 * 96 * 16,
        {"loop": SlowScan},
        rounds=3,
    ),
    Case(
        "trajectory 4x32x32",
        lambda: AxialTrajectoryAttention(DIM, HEADS),
        [(1, 4, 32, 32, DIM)],
        2 * (8 * 4096 * DIM**2 + 4 * 4096 * 4 * 33 * DIM + 4 * 4096 * 4 * DIM**2 + 2 * 4096 * DIM**2),
    ),
]
