"""Sizes of the slice classifiers, free of torch."""

from dataclasses import dataclass
from typing import Literal

from transect.data_adapters.settings import require, require_at_most

Inputs = Literal["pet", "ct", "pet+ct"]


@dataclass(frozen=True)
class ModelConfig:
    """Which network classifies slices.

    Args:
        name: "resnet18" judges each slice by itself; "slice_context" judges it with its neighbours, by axial attention
            along the slices of the study.
        inputs: Channels of a slice.
        neighbours: Adjacent slices on either side that are further channels (2.5-D).
        width: Channels of the first stage of the ResNet; 64 for that of the paper.
        dim: Channels of a slice in the slice-context model.
        heads: Attention heads of the slice-context model.
        depth: Attention blocks of the slice-context model.
        run: Consecutive slices of a training example of the slice-context model, and how far its slices attend to each
            other.
    """

    name: Literal["resnet18", "slice_context"] = "slice_context"
    inputs: Inputs = "pet"
    neighbours: int = 0
    width: int = 64
    dim: int = 128
    heads: int = 4
    depth: int = 2
    run: int = 32

    def __post_init__(self) -> None:
        require(0 <= self.neighbours <= 8, "model.neighbours", self.neighbours, "0 to 8")
        for name in ("width", "dim", "heads", "depth", "run"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "1 or more")
        require_at_most(self, width=512, dim=4096, heads=64, depth=64, run=1024)
        require(self.dim % self.heads == 0, "model.dim", self.dim, f"a multiple of heads = {self.heads}")

    @property
    def channels(self) -> int:
        """Channels of a slice with its neighbours."""
        return len(self.inputs.split("+")) * (2 * self.neighbours + 1)

    @property
    def slices(self) -> int:
        """Consecutive slices of a training example."""
        return self.run if self.name == "slice_context" else 1
