"""Settings of the hybrid axial operator, free of torch so that the command line's help is quick."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

Attention = Literal["axial", "full", "auto"]


def _require(holds: bool, name: str, found: Any, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name}: found {found!r}, expected {expected}")


@dataclass(frozen=True)
class AxialOperatorConfig:
    """Sizes of the hybrid axial operator: convolutions on the grid, attention between patches of it.

    Args:
        channels: Channels of the convolutions, at the resolution of the grid.
        kernel: Size of the convolutions along each axis.
        blocks: Gated convolution blocks before the attention, and again after it, each of twice the dilation of the
            one before.
        patch: Cells along each side of a token.
        dim: Width of the tokens.
        depth: Attention blocks.
        heads: Attention heads along each axis.
        mlp_ratio: Width of the attention blocks' MLP inside, as a multiple of `dim`.
        attention: axial attends along one axis at a time; full from every token to every other; auto is full up to 128
            tokens, where that is the cheaper one. A model is another function on either side of that: train it on the
            side where it will be used.
        mask_channel: Tell the convolutions which cells have no value.
        parameters: Number of the equation's parameters, which scale and shift the channels of every block; the app
            counts those that it names.
        constants: Number of constants in space that the convolutions see beside the states; counted by the app.
    """

    channels: int = 32
    kernel: int = 3
    blocks: int = 2
    patch: int = 4
    dim: int = 96
    depth: int = 4
    heads: int = 4
    mlp_ratio: int = 2
    attention: Attention = "axial"
    mask_channel: bool = False
    parameters: int = 0
    constants: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "patch", "dim", "depth", "heads", "mlp_ratio"):
            _require(getattr(self, name) > 0, f"axial_operator.{name}", getattr(self, name), "a positive number")
        for name in ("blocks", "parameters", "constants"):
            _require(getattr(self, name) >= 0, f"axial_operator.{name}", getattr(self, name), "0 or more")
        _require(self.kernel > 0 and self.kernel % 2 == 1, "axial_operator.kernel", self.kernel, "an odd number")
        _require(self.dim % self.heads == 0, "axial_operator.heads", self.heads, f"a divisor of dim = {self.dim}")
        _require(
            self.attention in get_args(Attention),
            "axial_operator.attention",
            self.attention,
            f"one of {get_args(Attention)}",
        )
