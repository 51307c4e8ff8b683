"""Sizes of the networks, free of torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from transect.data_adapters.settings import require, require_at_most

ModelName = Literal["srma_mamba", "unet", "segresnet", "swinunetr"]


@dataclass(frozen=True)
class SRMAMambaConfig:
    """Sizes of SRMA-Mamba; the defaults are those of the paper, with 18.3 million parameters.

    Args:
        dim: Width of the first stage, even; it doubles from stage to stage.
        depths: Number of blocks of each of the four stages.
        states: States per channel of the selective scans.
        decoder_dim: Width of the decoder.
        drop_path: Stochastic depth of the last encoder block, growing linearly from 0, and of all decoder blocks.
    """

    dim: int = 48
    depths: tuple[int, int, int, int] = (1, 1, 1, 1)
    states: int = 1
    decoder_dim: int = 16
    drop_path: float = 0.1

    def __post_init__(self) -> None:
        require(self.dim >= 2 and self.dim % 2 == 0, "dim", self.dim, "an even number")
        require(all(depth >= 1 for depth in self.depths), "depths", self.depths, "1 or more each")
        require(self.states >= 1, "states", self.states, "1 or more")
        require(self.decoder_dim >= 1, "decoder_dim", self.decoder_dim, "1 or more")
        require(0 <= self.drop_path < 1, "drop_path", self.drop_path, "a share in [0, 1)")
        require_at_most(self, dim=1024, depths=64, states=256, decoder_dim=1024)


@dataclass(frozen=True)
class ModelConfig:
    """Which network segments a volume.

    Args:
        name: srma_mamba is the selective-scan network. unet, segresnet and swinunetr are MONAI's, as baselines.
        srma_mamba: Sizes of SRMA-Mamba.
        width: Channels of the first level of a baseline: a multiple of 8, for swinunetr of 12.
    """

    name: ModelName = "srma_mamba"
    srma_mamba: SRMAMambaConfig = field(default_factory=SRMAMambaConfig)
    width: int = 24

    def __post_init__(self) -> None:
        require(self.name in get_args(ModelName), "model.name", self.name, f"one of {get_args(ModelName)}")
        multiple = 12 if self.name == "swinunetr" else 8
        require(
            self.width > 0 and self.width % multiple == 0,
            "model.width",
            self.width,
            f"a positive multiple of {multiple}",
        )
        require_at_most(self, "model.", width=384)
