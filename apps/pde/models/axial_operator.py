"""The hybrid axial operator: convolutions on the grid, axial attention between patches of it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.pde.models.conditions import Conditions, Ends
from transect.apps.pde.models.config import AxialOperatorConfig
from transect.apps.pde.models.padding import pad
from transect.core.attention import AxialAttention
from transect.core.attention.relative_bias import ContinuousRelativeBias

#: Width of the embedding of the equation's parameters, from which FiLM scales and shifts are computed.
PARAMETER_FEATURES = 32
#: Factor on the initial weights of layers whose output should start near zero.
SMALL = 0.1


class GridConv(nn.Module):
    """A convolution that keeps the grid size, padded according to the boundary conditions."""

    def __init__(self, inputs: int, outputs: int, kernel: int, ndim: int, dilation: int = 1) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1]
        self.conv = conv(inputs, outputs, kernel, dilation=dilation)
        self.widths = [(dilation * (kernel // 2),) * 2] * ndim

    def forward(self, x: Tensor, boundary: Sequence[Ends]) -> Tensor:
        """`(batch, inputs, *grid)` to `(batch, outputs, *grid)`."""
        out: Tensor = self.conv(pad(x, self.widths, boundary))
        return out


class Film(nn.Module):
    """FiLM conditioning of each channel on the equation's parameters: `(1 + a(p)) x + b(p)`, initially close to `x`.

    Source: Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer" (2018), eq. 2.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = shrunk(nn.Linear(PARAMETER_FEATURES, 2 * dim))

    def forward(self, x: Tensor, features: Tensor, axis: int) -> Tensor:
        """`x` with its channels along `axis`; features `(batch, PARAMETER_FEATURES)`."""
        shape = [1] * x.ndim
        shape[0], shape[axis] = x.shape[0], -1
        scale, shift = (part.view(shape) for part in self.linear(features).chunk(2, -1))
        return x + x * scale + shift


class GatedBlock(nn.Module):
    """`x + a * sigmoid(b)` with `a, b = W * film(x)`, one convolution for both.

    The product can represent terms of the equations, such as u du/dx, and the bounded gate keeps rollouts from
    diverging. No normalization layer, which would remove the amplitude of a state.

    Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks" (2017), eq. 1.
    """

    def __init__(self, config: AxialOperatorConfig, ndim: int, dilation: int) -> None:
        super().__init__()
        self.film = Film(config.channels) if config.parameters else None
        self.conv = GridConv(config.channels, 2 * config.channels, config.kernel, ndim, dilation)

    def forward(self, x: Tensor, boundary: Sequence[Ends], features: Tensor | None) -> Tensor:
        """`(batch, channels, *grid)` in, the same out."""
        inner = x if self.film is None else self.film(x, features, axis=1)
        return x + F.glu(self.conv(inner, boundary), 1)


class AttentionBlock(nn.Module):
    """`h = x + A(film(LN(x)))`, `y = h + W_2 gelu(W_1 LN(h))`; A has a relative position bias along each axis."""

    def __init__(self, config: AxialOperatorConfig, ndim: int) -> None:
        super().__init__()
        dim = config.dim
        self.norm = nn.LayerNorm(dim)
        self.film = Film(dim) if config.parameters else None
        self.bias = nn.ModuleList(ContinuousRelativeBias(config.heads) for _ in range(ndim))
        self.attention = AxialAttention(dim, config.heads, ndim=ndim, share=True, attention=config.attention)
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, config.mlp_ratio * dim), nn.GELU(), nn.Linear(config.mlp_ratio * dim, dim)
        )

    def forward(self, x: Tensor, boundary: Sequence[Ends], features: Tensor | None, mask: Tensor | None) -> Tensor:
        """`(batch, *grid, dim)` in, the same out."""
        inner = self.norm(x)
        if self.film is not None:
            inner = self.film(inner, features, axis=-1)
        bias = [
            own(length, ends[0] == "periodic")
            for own, length, ends in zip(self.bias, x.shape[1:-1], boundary, strict=True)
        ]
        x = x + self.attention(inner, mask, bias)
        mixed: Tensor = x + self.mlp(x)
        return mixed


class AxialOperator(nn.Module):
    r"""Next state of a PDE's solution: local terms by convolutions, long-range terms by attention between patches.

    ::

        h = blocks(stem([states, constants, mask]))      convolutions at the resolution of the grid
        t = attention blocks(patches of h)               a token for each patch, by a strided convolution
        y = head(blocks(h + grid of t))                  back by a transposed convolution, with a skip

    All frames and components are channels of the stem. The convolutions pad the grid by the boundary condition at each
    end of each axis; attention has a bias by the offset of two tokens along an axis, modulo its length where it is
    periodic. Along periodic axes the operator is equivariant to shifts by whole patches (if the patch divides the axis:
    otherwise the last patch is padded by the boundary condition and cropped). The grid may be of any size.

    Values of invalid cells are never read, and the output is zero there. Features of such cells are not zero, though:
    convolutions propagate those of valid neighbours through them. Tokens without a valid cell are not attended to.

    The last layer is initialized small, so that a predicted increment starts as persistence.

    Args:
        config: sizes and options.
        channels: components of a state.
        ndim: spatial axes, 1 to 3.
        times: frames of the input.

    Raises:
        ValueError: `ndim` is not 1 to 3; states of other sizes; conditions that lack what the config requires.

    Source: axial attention: Ho et al., "Axial Attention in Multidimensional Transformers" (2019); convolutions around
    it: Xiao et al., "Early Convolutions Help Transformers See Better" (2021); the arrangement is this project's.
    """

    def __init__(self, config: AxialOperatorConfig, channels: int, ndim: int, times: int = 1) -> None:
        super().__init__()
        if not 1 <= ndim <= 3:
            raise ValueError(f"ndim: found {ndim}, expected 1 to 3")
        self.config, self.channels, self.ndim, self.times = config, channels, ndim, times
        width, patch = config.channels, config.patch
        inputs = times * channels + config.constants + config.mask_channel
        self.parameters_mlp = None
        if config.parameters:
            self.parameters_mlp = nn.Sequential(nn.Linear(config.parameters, PARAMETER_FEATURES), nn.GELU())
        self.stem = GridConv(inputs, width, config.kernel, ndim)
        self.before = nn.ModuleList(GatedBlock(config, ndim, 2**index) for index in range(config.blocks))
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1]
        transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[ndim - 1]
        self.to_tokens = conv(width, config.dim, patch, patch)
        self.attention = nn.ModuleList(AttentionBlock(config, ndim) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.to_grid = transposed(config.dim, width, patch, patch)
        self.after = nn.ModuleList(GatedBlock(config, ndim, 2**index) for index in range(config.blocks))
        self.head = GridConv(width, channels, config.kernel, ndim)
        shrunk(self.head.conv)

    def forward(self, states: Tensor, conditions: Conditions) -> Tensor:
        """`(batch, times, channels, *shape)` to `(batch, channels, *shape)`, normalised."""
        boundary, valid = conditions.boundary, conditions.valid
        x = self._inputs(states, conditions)
        features = None
        if self.parameters_mlp is not None:
            if conditions.parameters is None:
                raise ValueError(f"parameters: found none, expected {self.config.parameters}")
            features = self.parameters_mlp(conditions.parameters)

        h = self.stem(x, boundary)
        for block in self.before:
            h = block(h, boundary, features)
        h = h + self._attend(h, boundary, features, valid)
        for block in self.after:
            h = block(h, boundary, features)
        out: Tensor = self.head(h, boundary)
        return out if valid is None else out.masked_fill(~valid[:, None], 0.0)

    def _inputs(self, states: Tensor, conditions: Conditions) -> Tensor:
        """The stacked inputs of each cell, `(batch, inputs, *shape)`."""
        expected = (self.times, self.channels)
        if states.ndim != self.ndim + 3 or tuple(states.shape[1:3]) != expected:
            shape = tuple(states.shape)
            raise ValueError(f"states: found shape {shape}, expected (batch, {expected}, {self.ndim} spatial axes)")
        if len(conditions.boundary) != self.ndim:
            raise ValueError(f"boundary: found {len(conditions.boundary)} axes, expected {self.ndim}")
        x = conditions.stacked(states, self.config.constants)
        valid = conditions.valid
        if valid is not None:
            # Not a product with the mask: 0 * NaN is NaN.
            x = x.masked_fill(~valid[:, None], 0.0)
        if self.config.mask_channel:
            mask = torch.ones_like(x[:, :1]) if valid is None else valid[:, None].to(x.dtype)
            x = torch.cat((x, mask), 1)
        return x

    def _attend(self, h: Tensor, boundary: Sequence[Ends], features: Tensor | None, valid: Tensor | None) -> Tensor:
        """Attention between patches, mapped back to the grid: `(batch, width, *shape)` in, the same out."""
        shape, patch = h.shape[2:], self.config.patch
        widths = [(0, -length % patch) for length in shape]
        tokens = self.to_tokens(pad(h, widths, boundary)).movedim(1, -1)
        mask = None
        if valid is not None:
            mask = pad(valid, widths, boundary)
            for axis in range(1, self.ndim + 1):
                mask = mask.unflatten(axis, (-1, patch)).any(axis + 1)
        for block in self.attention:
            tokens = block(tokens, boundary, features, mask)
        grid: Tensor = self.to_grid(self.norm(tokens).movedim(-1, 1))
        for axis, length in enumerate(shape, start=2):
            grid = grid.narrow(axis, 0, length)
        return grid


def shrunk(layer: nn.Module) -> nn.Module:
    """Scale down the initial weights of a layer; not to zero, or earlier layers would get no gradient at first."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(SMALL)
    return layer
