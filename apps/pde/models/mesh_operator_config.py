"""Settings of the mesh operator, free of torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Any

from transect.apps.pde.models.config import AxialOperatorConfig


def _require(holds: bool, name: str, found: Any, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name}: found {found!r}, expected {expected}")


@dataclass(frozen=True)
class MeshOperatorConfig:
    """Sizes of the mesh operator: message passing from a mesh to a latent grid and back, an axial operator on the grid.

    Args:
        grid: Nodes of the latent grid along each axis of the mesh's bounding box, about as many as the mesh has points
            along it.
        neighbours: Nearest points, or nodes, that a node or point hears.
        kernels: Learned interpolation kernels of each message passing: so many features has each component on the grid.
        width: Width of the MLP at each point.
        latent: Sizes of the axial operator on the latent grid; of its counts of parameters and constants those of here
            are taken.
        parameters: Number of the equation's parameters; the app counts those that it names.
        constants: Number of constants in space that each point knows beside the states; counted by the app.
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
        for name in ("grid", "neighbours", "kernels", "width"):
            _require(getattr(self, name) > 0, f"mesh_operator.{name}", getattr(self, name), "a positive number")
        for name in ("parameters", "constants"):
            _require(getattr(self, name) >= 0, f"mesh_operator.{name}", getattr(self, name), "0 or more")
        _require(self.grid > 1, "mesh_operator.grid", self.grid, "2 or more")
