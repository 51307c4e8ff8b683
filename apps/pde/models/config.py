"""Sizes of the models and of low-rank adaptation, free of torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from transect.data_adapters.settings import require, require_at_most

ModelName = Literal["axial_operator", "morph", "mesh_operator"]
Attention = Literal["axial", "full", "auto"]
Positions = Literal["line", "line_and_time", "relative"]
Padding = Literal["zeros", "boundary"]
#: Output channels of MORPH's pointwise lift of the components; the number of filters doubles from it.
LIFTED = 8


@dataclass(frozen=True)
class AxialOperatorConfig:
    """Sizes of the hybrid axial operator: convolutions on the grid, attention between patches of it.

    Args:
        channels: Channels of the convolutions, at the resolution of the grid.
        kernel: Size of the convolutions along each axis.
        blocks: Gated convolution blocks before the attention, and again after it; the dilation doubles from block to
            block.
        patch: Cells along each side of a token.
        dim: Width of the tokens.
        depth: Attention blocks.
        heads: Attention heads along each axis.
        mlp_ratio: Hidden width of the attention blocks' MLP, as a multiple of `dim`.
        attention: axial attends along one axis at a time; full between all tokens; auto is full up to 128 tokens,
            where it is cheaper. The model is a different function on either side of that limit: train it at sizes on
            the side where it will be used.
        mask_channel: Add the mask of missing values as an input channel.
        parameters: Number of the equation's parameters, which condition every block by FiLM; set by the app.
        constants: Number of constant fields that are added as input channels; set by the app.
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
        require_at_most(self, "axial_operator.", channels=65536, dim=65536, patch=1024, heads=1024, depth=1000)
        require_at_most(self, "axial_operator.", kernel=63, blocks=16, mlp_ratio=64, parameters=4096, constants=4096)
        for name in ("channels", "patch", "dim", "depth", "heads", "mlp_ratio"):
            require(getattr(self, name) > 0, f"axial_operator.{name}", getattr(self, name), "a positive number")
        for name in ("blocks", "parameters", "constants"):
            require(getattr(self, name) >= 0, f"axial_operator.{name}", getattr(self, name), "0 or more")
        require(self.kernel > 0 and self.kernel % 2 == 1, "axial_operator.kernel", self.kernel, "an odd number")
        require(self.dim % self.heads == 0, "axial_operator.heads", self.heads, f"a divisor of dim = {self.dim}")
        require(
            self.attention in get_args(Attention),
            "axial_operator.attention",
            self.attention,
            f"one of {get_args(Attention)}",
        )


@dataclass(frozen=True)
class MeshOperatorConfig:
    """Sizes of the mesh operator: message passing from a mesh to a latent grid and back, an axial operator on the grid.

    Args:
        grid: Nodes of the latent grid along each axis of the mesh's bounding box, about as many as the mesh has points
            along it.
        neighbours: Number of nearest points, or nodes, that send messages to a node or point.
        kernels: Learned interpolation kernels of each message passing: the features per component on the grid.
        width: Width of the MLP at each point.
        latent: Sizes of the axial operator on the latent grid; its `parameters` and `constants` are
            overwritten.
        parameters: Number of the equation's parameters; set by the app.
        constants: Number of constant fields that are inputs at each point; set by the app.
    """

    grid: int = 20
    neighbours: int = 6
    kernels: int = 8
    width: int = 64
    latent: AxialOperatorConfig = field(
        default_factory=lambda: AxialOperatorConfig(channels=32, blocks=1, patch=2, dim=64, depth=2)
    )
    parameters: int = 0
    constants: int = 0

    def __post_init__(self) -> None:
        require_at_most(self, "mesh_operator.", grid=2048, neighbours=1024, kernels=4096, width=65536)
        require_at_most(self, "mesh_operator.", parameters=4096, constants=4096)
        for name in ("grid", "neighbours", "kernels", "width"):
            require(getattr(self, name) > 0, f"mesh_operator.{name}", getattr(self, name), "a positive number")
        for name in ("parameters", "constants"):
            require(getattr(self, name) >= 0, f"mesh_operator.{name}", getattr(self, name), "0 or more")
        require(self.grid > 1, "mesh_operator.grid", self.grid, "2 or more")


@dataclass(frozen=True)
class MorphConfig:
    """Sizes and options of MORPH; the defaults are the published Ti.

    The published sizes differ in (dim, heads, depth, mlp, max_context): Ti (256, 4, 4, 1024, 1),
    S (512, 8, 4, 2048, 1), M (768, 12, 8, 3072, 1) and L (1024, 16, 16, 4096, 16) with the positions line_and_time.

    Args:
        filters: Channels of the convolutional stem.
        dim: Width of the tokens.
        heads: Attention heads along each axis.
        depth: Number of blocks.
        mlp: Hidden width of the blocks' MLP.
        patch: Cells along each side of a patch; axes of length one have patches of one cell.
        fusion_heads: Heads of the cross-attention that fuses the fields of a patch.
        max_fields: Largest number of fields.
        max_components: Largest number of components of a field.
        max_patches: Rows of the position table, which is interpolated to the number of patches.
        max_context: Input frames of the position table.
        dropout: Rate of dropout in training.
        positions: line interpolates the table along the patches in row-major order and takes its first frames, as Ti, S
            and M were trained; line_and_time interpolates it along both with anti-aliasing, as L was trained; relative
            has no table but a bias of each attention by the distance along its axis, modulo the length where it is
            periodic.
        padding: Padding of the stem. zeros is that of the published weights; boundary pads by each axis's condition:
            circular where periodic, reflected at a wall, the edge value where open.
        field_embedding: Add a learned vector to the tokens of each field; without it the model is invariant to their
            order.
        mask_channel: Add the mask of missing values as an input channel of the stem.
        parameters: Number of the equation's parameters, which scale and shift the tokens of every block; set by the
            app.
        constants: Number of constant fields that are input channels of the stem; set by the app.
    """

    filters: int = 8
    dim: int = 256
    heads: int = 4
    depth: int = 4
    mlp: int = 1024
    patch: int = 8
    fusion_heads: int = 32
    max_fields: int = 3
    max_components: int = 3
    max_patches: int = 4096
    max_context: int = 1
    dropout: float = 0.1
    positions: Positions = "line"
    padding: Padding = "zeros"
    field_embedding: bool = False
    mask_channel: bool = False
    parameters: int = 0
    constants: int = 0

    def __post_init__(self) -> None:
        require_at_most(self, "morph.", filters=65536, dim=65536, heads=1024, depth=1000, mlp=1 << 20, patch=1024)
        require_at_most(self, "morph.", fusion_heads=1024, max_fields=4096, max_components=1024, max_patches=1 << 24)
        require_at_most(self, "morph.", max_context=4096, parameters=4096, constants=4096)
        sizes = ("dim", "heads", "depth", "mlp", "patch", "fusion_heads")
        for name in (*sizes, "max_fields", "max_components", "max_patches", "max_context"):
            require(getattr(self, name) > 0, f"morph.{name}", getattr(self, name), "1 or more")
        require(self.filters >= LIFTED, "morph.filters", self.filters, f"{LIFTED} or more")
        for name in ("heads", "fusion_heads"):
            require(self.dim % getattr(self, name) == 0, "morph.dim", self.dim, f"a multiple of morph.{name}")
        require(0 <= self.dropout < 1, "morph.dropout", self.dropout, "a rate in [0, 1)")
        require(self.positions in get_args(Positions), "morph.positions", self.positions, f"{get_args(Positions)}")
        require(self.padding in get_args(Padding), "morph.padding", self.padding, f"{get_args(Padding)}")
        for name in ("parameters", "constants"):
            require(getattr(self, name) >= 0, f"morph.{name}", getattr(self, name), "0 or more")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adaptation (LoRA): which weights are trained, and the ranks of the updates.

    Args:
        level: 0 trains all weights, 4 all weights at a tenth of the learning rate and without weight decay. 1 trains
            low-rank updates, norms and positions; 2 also the field embedding; 3 also the decoder.
        rank: Rank of the updates of the attention's projections.
        mlp_rank: Rank of the updates of the MLPs.
        dropout: Dropout rate of the inputs of an update.
    """

    level: int = 0
    rank: int = 16
    mlp_rank: int = 12
    dropout: float = 0.05

    def __post_init__(self) -> None:
        require(self.level in range(5), "lora.level", self.level, "0 to 4")
        require_at_most(self, "lora.", rank=65536, mlp_rank=65536)
        for name in ("rank", "mlp_rank"):
            require(getattr(self, name) > 0, f"lora.{name}", getattr(self, name), "1 or more")
        require(0 <= self.dropout < 1, "lora.dropout", self.dropout, "a rate in [0, 1)")


@dataclass(frozen=True)
class ModelConfig:
    """Which model, and the sizes of each.

    Args:
        name: axial_operator, the default from scratch; morph, for published weights and mixed data sets; mesh_operator,
            for simulations on unstructured meshes.
        axial_operator: Sizes of the axial operator.
        morph: Sizes of MORPH.
        mesh_operator: Sizes of the mesh operator.
    """

    name: ModelName = "axial_operator"
    axial_operator: AxialOperatorConfig = field(default_factory=AxialOperatorConfig)
    morph: MorphConfig = field(default_factory=MorphConfig)
    mesh_operator: MeshOperatorConfig = field(default_factory=MeshOperatorConfig)
