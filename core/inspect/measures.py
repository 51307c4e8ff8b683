"""Entropy and mean distance of attention or influence maps over a grid."""

from collections.abc import Sequence

import torch
from torch import Tensor


def entropy(weights: Tensor, rank: int = 1) -> Tensor:
    r"""Entropy in nats of the weights over their last `rank` axes, `-sum_j p_j log p_j` with `p = w / sum w`.

    From 0 (all weight on one position) to `log L` (uniform over L positions); its exponential is the effective number
    of positions. All-zero weights have entropy 0. Non-negative `(..., *grid)` in, `(...)` out.
    """
    terms: Tensor = torch.special.entr(_normalised(weights, rank))
    return terms.sum(-1)


def mean_distance(weights: Tensor, place: Tensor | Sequence[float], spacing: Sequence[float] | None = None) -> Tensor:
    r"""Mean attention distance from a position, `sum_j p_j |x_i - x_j|` with `p = w / sum w`.

    Args:
        weights: `(..., *grid)`, non-negative; all zero gives 0.
        place: `(..., rank)`, the position i in grid cells; its leading axes broadcast against those of `weights`.
        spacing: length of a cell along each axis, by default 1.

    Returns:
        `(...)`, in cells, or in the unit of `spacing`.

    Raises:
        ValueError: the ranks of spacing and place differ.

    Source: Dosovitskiy et al., "An Image Is Worth 16x16 Words" (2021), figure 7 and appendix D.7.
    """
    place = torch.as_tensor(place, dtype=weights.dtype, device=weights.device)
    rank = place.shape[-1]
    if spacing is not None and len(spacing) != rank:
        raise ValueError(f"spacing: found {len(spacing)} lengths, expected one for each of {rank} axes")
    scale = 1.0 if spacing is None else weights.new_tensor(list(spacing))
    axes = [torch.arange(length, dtype=weights.dtype, device=weights.device) for length in weights.shape[-rank:]]
    cells = torch.stack(torch.meshgrid(axes, indexing="ij"), -1).view(-1, rank)
    distances: Tensor = torch.linalg.vector_norm((place[..., None, :] - cells) * scale, dim=-1)
    return (_normalised(weights, rank) * distances).sum(-1)


def _normalised(weights: Tensor, rank: int) -> Tensor:
    """Flattened to `(..., cells)` and normalized to sum one; all-zero weights stay zero."""
    flat = weights.flatten(-rank)
    return flat / flat.sum(-1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)
