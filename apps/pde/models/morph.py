"""MORPH, a foundation model for partial differential equations in one to three dimensions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.config import MorphConfig
from transect.apps.pde.models.morph_embedding import FieldEmbedding, join_patches, patch_shape
from transect.core.attention import SpaceTimeAxialAttention
from transect.core.attention.relative_bias import ContinuousRelativeBias


class EncoderBlock(nn.Module):
    r"""Space-time axial attention and an MLP, both pre-norm.

    `x = x + A(u), u = (1 + scale) LN(x) + shift;  x = x + W_2 gelu(W_1 LN(x))`, `(batch, times, *patches, dim)` in, the
    same out. A includes a residual of its own, so u is added to x as well. Scale and shift are zero without parameters;
    with the positions "relative" the logits along each axis have a bias by the distance.
    """

    def __init__(self, config: MorphConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim)
        self.attention = SpaceTimeAxialAttention(config.dim, config.heads, dropout=config.dropout)
        self.norm2 = nn.LayerNorm(config.dim)
        self.mlp = nn.Sequential(
            nn.Linear(config.dim, config.mlp),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.mlp, config.dim),
            nn.Dropout(config.dropout),
        )
        self.distance: nn.ModuleList | None = None
        if config.positions == "relative":
            self.distance = nn.ModuleList(ContinuousRelativeBias(config.heads) for _ in range(4))

    def forward(
        self, x: Tensor, modulation: Tensor | None = None, periodic: Sequence[bool] = (False, False, False)
    ) -> Tensor:
        """Transform `x`; `modulation` is scale and shift `(batch, 2, dim)`, `periodic` is of the three spatial axes."""
        u = self.norm1(x)
        if modulation is not None:
            scale, shift = modulation[:, :, None, None, None, None].unbind(1)
            u = u * (1 + scale) + shift
        bias: list[Tensor | None] = [None] * 4
        if self.distance is not None:
            axes = zip(self.distance, x.shape[1:5], (False, *periodic), strict=True)
            bias = [distance(length, around) if length > 1 else None for distance, length, around in axes]
        x = x + self.attention(u, bias=bias)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Morph(nn.Module):
    r"""Predicts the next state, for fields in one to three dimensions with the same weights.

    Each patch of each frame becomes one token that fuses all fields (`FieldEmbedding`); a position table is added;
    `depth` blocks of axial attention follow; the tokens of the last frame are mapped to the cells of their patches::

        z = blocks(embed(x) + P),      y = W LN(z_last) + b

    using only the rows of W for the given fields and components. The zero padding of the published models is not
    computed.

    Shapes: `(batch, times, fields, components, depth, height, width)` in, `(batch, fields, components, depth, height,
    width)` out; images have a depth of one, lines a depth and a height of one, and every other axis is a whole number
    of patches.

    Source: Rautela et al., "MORPH: Shape-agnostic PDE Foundation Models" (2025); details follow its reference
    implementation.
    """

    def __init__(self, config: MorphConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = FieldEmbedding(config)
        self.positions: nn.Parameter | None = None
        if config.positions != "relative":
            self.positions = nn.Parameter(torch.randn(1, config.max_context, config.max_patches, config.dim))
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.decoder = nn.Linear(config.dim, config.max_fields * config.max_components * config.patch**3)
        self.dropout = nn.Dropout(config.dropout)
        self.conditioning: nn.Sequential | None = None
        if config.parameters:
            modulation = nn.Linear(config.dim, config.depth * 2 * config.dim)
            nn.init.zeros_(modulation.weight)
            nn.init.zeros_(modulation.bias)
            self.conditioning = nn.Sequential(nn.Linear(config.parameters, config.dim), nn.GELU(), modulation)

    def forward(self, x: Tensor, conditions: Conditions | None = None) -> Tensor:
        """Predict what follows `x`.

        `conditions` are of the grid of x, three axes; inputs that this model has no option for are ignored.

        Raises:
            ValueError: x has more fields, components or times than the model, an axis is no whole number of patches,
                or the conditions lack an input of the model.
        """
        conditions = conditions or Conditions()
        fields, components = self._checked(x)
        patch = patch_shape(x.shape[4:], self.config.patch)
        boundary = conditions.boundary or (("open", "open"),) * 3
        h = self.embedding(x, self._extra(x, conditions), boundary)
        if self.positions is not None:
            along_time = self.config.positions == "line_and_time"
            h = h + self.dropout(interpolated(self.positions, h.shape[1:5], along_time))
        h = self.dropout(h)
        periodic = [ends == ("periodic", "periodic") for ends in boundary]
        for block, modulation in zip(self.blocks, self._modulations(conditions), strict=True):
            h = block(h, modulation, periodic)
        rows = fields * components * patch[0] * patch[1] * patch[2]
        out = F.linear(self.norm(h[:, -1]), self.decoder.weight[:rows], self.decoder.bias[:rows])
        return join_patches(out, fields, patch)

    def _extra(self, x: Tensor, conditions: Conditions) -> Tensor | None:
        """Extra input channels of the stem: the mask of missing values and the constant fields."""
        parts = []
        if self.config.mask_channel:
            valid = conditions.valid
            hidden = x.new_zeros(x.shape[0], *x.shape[4:]) if valid is None else (~valid).to(x.dtype)
            parts.append(hidden[:, None])
        if self.config.constants:
            parts.append(_required(conditions.constants, "constants", self.config.constants))
        return torch.cat(parts, 1) if parts else None

    def _modulations(self, conditions: Conditions) -> list[Tensor | None]:
        """Scale and shift of every block, `(batch, 2, dim)` each."""
        depth = self.config.depth
        if self.conditioning is None:
            return [None] * depth
        parameters = _required(conditions.parameters, "parameters", self.config.parameters)
        return list(self.conditioning(parameters).unflatten(-1, (depth, 2, -1)).unbind(1))

    def _checked(self, x: Tensor) -> tuple[int, int]:
        """The numbers of fields and components."""
        config = self.config
        if x.ndim != 7:
            raise ValueError(f"x: found rank {x.ndim}, expected (batch, times, fields, components, D, H, W)")
        times, fields, components = x.shape[1:4]
        if fields > config.max_fields or components > config.max_components:
            most = f"at most {config.max_fields} fields of {config.max_components} components"
            raise ValueError(f"x: found {fields} fields of {components} components, expected {most}")
        if config.positions == "line" and times > config.max_context:
            raise ValueError(f"x: found {times} times, expected at most max_context = {config.max_context}")
        return fields, components


def interpolated(table: Tensor, grid: Sequence[int], along_time: bool) -> Tensor:
    """Interpolate a table `(1, frames, rows, dim)` to a grid of `(times, depth, height, width)` patches.

    Linear along the patches in row-major order, using the first frames; or with `along_time` bilinear along both, with
    anti-aliasing. Coordinates are of cell centres. Returns `(1, *grid, dim)`.
    """
    times = grid[0]
    # Bilinear in both cases, though it is the identity along time in the first: bilinear supports channels-last memory,
    # where linear would copy the whole table.
    rows = F.interpolate(
        (table if along_time else table[:, :times]).permute(0, 3, 1, 2),
        size=(times, grid[1] * grid[2] * grid[3]),
        mode="bilinear",
        align_corners=False,
        antialias=along_time,
    )
    return rows.permute(0, 2, 3, 1).unflatten(2, tuple(grid[1:]))


def _required(tensor: Tensor | None, name: str, expected: int) -> Tensor:
    found = 0 if tensor is None else tensor.shape[1]
    if tensor is None or found != expected:
        raise ValueError(f"conditions.{name}: found {found}, expected {expected}")
    return tensor
