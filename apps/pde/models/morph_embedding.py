"""MORPH's embedding: convolutional stem, patches, and cross-attention that fuses fields into one token per patch."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.pde.models.conditions import Ends
from transect.apps.pde.models.config import LIFTED, MorphConfig, Padding
from transect.apps.pde.models.padding import pad
from transect.core.attention import FewQueryAttention

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
NEGATIVE_SLOPE = 0.2


class ComponentConvolution(nn.Module):
    r"""Convolutions over the components of a field, with weights shared by all fields and frames.

    `h_0 = W_lift x`, `h_i = LeakyReLU_0.2(conv3x3x3_i(h_{i-1}))`, without biases. There is no nonlinearity between the
    pointwise lift and the first convolution, so their kernels are merged; along axes of length one only the kernel's
    centre is used.

    Args:
        components: largest number of components of a field; fewer use the first columns of the lift.
        filters: output channels; widths double up to it.
        extra: additional input channels, shared by all fields and frames, with weights initialized to zero.
        padding: "zeros" or "boundary", see `MorphConfig`.

    Source: Rautela et al., "MORPH: Shape-agnostic PDE Foundation Models" (2025), component-wise convolutions.
    """

    def __init__(self, components: int, filters: int, *, extra: int = 0, padding: Padding = "zeros") -> None:
        super().__init__()
        self.padding = padding
        widths = [LIFTED]
        while widths[-1] < filters:
            widths.append(min(2 * widths[-1], filters))
        widths.append(filters)
        self.lift = nn.Conv3d(components, LIFTED, 1, bias=False)
        self.convolutions = nn.ModuleList(nn.Conv3d(before, after, 3, bias=False) for before, after in pairwise(widths))
        self.extra = nn.Parameter(torch.zeros(widths[1], extra, 3, 3, 3)) if extra else None

    def forward(self, x: Tensor, extra: Tensor | None = None, boundary: Sequence[Ends] = ()) -> Tensor:
        """Filter `x` `(batch, fields, components, depth, height, width)`, with the frames folded into the fields.

        `extra` is `(batch, extra, depth, height, width)`; `boundary` has the ends of the three axes. Returns
        `(batch, fields, filters, depth, height, width)`.
        """
        batch, fields, components, *grid = x.shape
        first = self.convolutions[0].weight
        lift = self.lift.weight[:, :components].flatten(1)
        kernel = torch.einsum("olzyx,lc->oczyx", first, lift)
        h = self._convolve(x.flatten(0, 1), kernel, boundary)
        if self.extra is not None and extra is not None:
            h = h.unflatten(0, (batch, fields)) + self._convolve(extra, self.extra, boundary)[:, None]
            h = h.flatten(0, 1)
        h = F.leaky_relu(h, NEGATIVE_SLOPE, inplace=True)
        for convolution in self.convolutions[1:]:
            weight = cast(nn.Conv3d, convolution).weight
            h = F.leaky_relu(self._convolve(h, weight, boundary), NEGATIVE_SLOPE, inplace=True)
        return h.view(batch, fields, -1, *grid)

    def _convolve(self, x: Tensor, kernel: Tensor, boundary: Sequence[Ends]) -> Tensor:
        grid = x.shape[2:]
        axes = [axis for axis in range(3) if grid[axis] > 1] or [2]
        kernel = kernel[(..., *(slice(None) if axis in axes else 1 for axis in range(3)))]
        x = x.reshape(*x.shape[:2], *(grid[axis] for axis in axes))
        at_edge = 1
        if self.padding == "boundary":
            x, at_edge = pad(x, [(1, 1)] * len(axes), [boundary[axis] for axis in axes]), 0
        return CONVOLUTIONS[len(axes) - 1](x, kernel, padding=at_edge).reshape(x.shape[0], -1, *grid)


class FieldEmbedding(nn.Module):
    r"""One token per patch: convolutions, a linear map of the patch, and a learned query that attends to the fields.

    With `u_f` the features of a patch of field f in the order (filter, depth, height, width)::

        k_f = W u_f + b (+ e_f),      token = MultiHead(q, {k_f}, {k_f})

    with one learned query q. W has a column for each cell of a cubic patch; patches of fewer cells use the first
    columns, as the published models pad with zeros. The field embeddings e_f are initialized to zero.

    Shapes: `(batch, times, fields, components, depth, height, width)` in, `(batch, times, *patches, dim)` out, where
    axes of length one have patches of one cell.

    Source: Rautela et al., "MORPH: Shape-agnostic PDE Foundation Models" (2025), inter-field cross-attention.
    """

    def __init__(self, config: MorphConfig) -> None:
        super().__init__()
        self.patch = config.patch
        extra = config.mask_channel + config.constants
        self.convolution = ComponentConvolution(
            config.max_components, config.filters, extra=extra, padding=config.padding
        )
        self.projection = nn.Linear(config.filters * config.patch**3, config.dim)
        self.fields = nn.Parameter(torch.zeros(config.max_fields, config.dim)) if config.field_embedding else None
        self.query = nn.Parameter(torch.randn(1, 1, config.dim))
        self.fusion = FewQueryAttention(config.dim, config.fusion_heads)

    def forward(self, x: Tensor, extra: Tensor | None = None, boundary: Sequence[Ends] = ()) -> Tensor:
        """Embed `x`; `extra` `(batch, extra, depth, height, width)` is an additional input of every field."""
        batch, times, fields = x.shape[:3]
        patch = patch_shape(x.shape[4:], self.patch)
        features = self.convolution(x.flatten(1, 2), extra, boundary).unflatten(1, (times, fields))
        patches = split_patches(features, patch)
        tokens = F.linear(patches, self.projection.weight[:, : patches.shape[-1]], self.projection.bias)
        if self.fields is not None:
            tokens = tokens + self.fields[:fields]
        grid = tokens.shape[2:5]
        fields_of_patch = tokens.flatten(0, 4)
        return self.fusion(self.query, fields_of_patch, fields_of_patch).view(batch, times, *grid, -1)


def patch_shape(grid: Sequence[int], patch: int) -> tuple[int, ...]:
    """Cells of a patch along each axis: one along axes of length one.

    Raises:
        ValueError: an axis is not a multiple of the patch.
    """
    shape = tuple(1 if length == 1 else patch for length in grid)
    if any(length % side for length, side in zip(grid, shape, strict=True)):
        raise ValueError(f"grid: found {tuple(grid)}, expected lengths of 1 or multiples of the patch = {patch}")
    return shape


def split_patches(x: Tensor, patch: Sequence[int]) -> Tensor:
    """`(batch, times, fields, filters, depth, height, width)` to `(batch, times, *patches, fields, features)`."""
    for axis, side in zip((4, 6, 8), patch, strict=True):
        x = x.unflatten(axis, (-1, side))
    return x.permute(0, 1, 4, 6, 8, 2, 3, 5, 7, 9).flatten(6)


def join_patches(x: Tensor, fields: int, patch: Sequence[int]) -> Tensor:
    """`(batch, *patches, features)` to `(batch, fields, components, depth, height, width)`."""
    x = x.unflatten(-1, (fields, -1, *patch)).permute(0, 4, 5, 1, 6, 2, 7, 3, 8)
    return x.flatten(7, 8).flatten(5, 6).flatten(3, 4)
