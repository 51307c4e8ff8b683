"""Partition a grid of any rank into equal windows, and merge them again."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Partition = Literal["block", "grid"]


def check_mask(mask: Tensor, x: Tensor) -> None:
    """Check that a mask `(batch | 1, *grid)` fits x `(batch, *grid, dim)`.

    Raises:
        ValueError: it is not boolean or has another shape.
    """
    grid = x.shape[1:-1]
    if mask.dtype != torch.bool or mask.shape[1:] != grid or mask.shape[0] not in (1, x.shape[0]):
        raise ValueError(
            f"mask: found {mask.dtype} of shape {tuple(mask.shape)}, "
            f"expected torch.bool of {tuple(x.shape[:-1])} or {(1, *grid)}"
        )


def fit(window: Sequence[int | None], grid: Sequence[int]) -> list[int]:
    """The window lengths on this grid: an axis with `None`, or one shorter than its window, is taken whole.

    Raises:
        ValueError: the window has another rank than the grid.
    """
    if len(window) != len(grid):
        raise ValueError(f"grid: found the axes {tuple(grid)}, expected one for each of the window {tuple(window)}")
    return [size if length is None else min(length, size) for length, size in zip(window, grid, strict=True)]


def counts(window: Sequence[int], grid: Sequence[int]) -> list[int]:
    """Number of windows along each axis; the last one may extend past the end."""
    # This form of the quotient is 1 for a whole axis of symbolic length, which an exported graph then leaves open.
    return [-(-size // length) for length, size in zip(window, grid, strict=True)]


def pad(x: Tensor, window: Sequence[int], mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Zero-pad the end of each axis to a multiple of the window, with the mask of real cells.

    Args:
        x: `(batch, *grid, dim)`.
        window: length along each grid axis.
        mask: `(batch | 1, *grid)`, True where a cell is valid; by default everywhere.

    Returns:
        `x` and the mask (filled with False), padded; the mask is `None` where nothing is masked or padded.

    Raises:
        ValueError: the mask is not boolean or does not fit `x`.
    """
    grid = x.shape[1:-1]
    if mask is not None:
        check_mask(mask, x)
    missing = [count * length - size for count, length, size in zip(counts(window, grid), window, grid, strict=True)]
    if not any(missing):
        return x, mask
    if mask is None:
        mask = torch.ones(1, *grid, dtype=torch.bool, device=x.device)
    widths = [width for amount in reversed(missing) for width in (0, amount)]
    return F.pad(x, [0, 0, *widths]), F.pad(mask, widths, value=False)


def split(x: Tensor, window: Sequence[int], partition: Partition = "block") -> Tensor:
    r"""Partition a grid into windows, as a view.

    An axis of length `S` with windows of `p` cells becomes `(S / p, p)`::

        "block": window i has the cells i p, i p + 1, ..., i p + p - 1            (neighbours)
        "grid":  window i has the cells i, i + S / p, ..., i + (p - 1) S / p      (spread over the whole axis)

    `(batch, *grid, *rest)` in, `(batch, *counts, *window, *rest)` out.

    Source: Tu et al., "MaxViT: Multi-Axis Vision Transformer" (2022), section 3.2.
    """
    rank = len(window)
    for axis in reversed(range(rank)):
        x = torch.unflatten(x, axis + 1, (-1, window[axis]) if partition == "block" else (window[axis], -1))
    return x.permute(_order(rank, x.ndim, partition))


def merge(windows: Tensor, rank: int, partition: Partition = "block") -> Tensor:
    """Inverse of `split`: `(batch, *counts, *window, *rest)` to `(batch, *grid, *rest)`, with one copy."""
    order = _order(rank, windows.ndim, partition)
    x = windows.permute([order.index(axis) for axis in range(windows.ndim)])
    for axis in range(rank):
        x = x.flatten(axis + 1, axis + 2)
    return x


def _order(rank: int, ndim: int, partition: Partition) -> list[int]:
    """The permutation of `split`, after each grid axis has been split into two adjacent ones."""
    first, second = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
    outer, inner = (first, second) if partition == "block" else (second, first)
    return [0, *outer, *inner, *range(2 * rank + 1, ndim)]


def to_windows(
    x: Tensor, window: Sequence[int], partition: Partition = "block", mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """The cells of each window as one sequence, with the grid padded to whole windows.

    `(batch, *grid, dim)` to `(batch, windows, tokens, dim)`, with `(batch | 1, windows, tokens)`, True where a token
    is real and may be attended to; the mask is `None` where all are.
    """
    rank = len(window)
    x, mask = pad(x, window, mask)
    tokens = split(x, window, partition).flatten(rank + 1, 2 * rank).flatten(1, rank)
    if mask is not None:
        mask = split(mask, window, partition).flatten(rank + 1, 2 * rank).flatten(1, rank)
    return tokens, mask


def from_windows(tokens: Tensor, window: Sequence[int], grid: Sequence[int], partition: Partition = "block") -> Tensor:
    """Inverse of `to_windows`, with the padding removed: `(batch, windows, tokens, dim)` to `(batch, *grid, dim)`."""
    x = torch.unflatten(torch.unflatten(tokens, 2, list(window)), 1, counts(window, grid))
    x = merge(x, len(window), partition)
    for axis, size in enumerate(grid):
        x = x.narrow(axis + 1, 0, size)
    return x
