"""The bird's-eye-view grid: which point of the ground each pixel of a map stands for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transect.data_adapters.settings import require, require_at_most

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """The pixels of a bird's-eye-view map, with the vehicle's forward axis up and its left on the left.

    A pixel (row i, column j) stands for the point that the view matrix maps to (j, i): pixels are indices, as in the
    published labels, and not areas. Imports no numpy, so that settings can hold a grid.

    Args:
        height: Rows.
        width: Columns.
        resolution: Metres per pixel.
        offset: How far the vehicle stands below the middle row, as a share of the height.
    """

    height: int = 200
    width: int = 200
    resolution: float = 0.5
    offset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            require(getattr(self, name) >= 8, f"grid.{name}", getattr(self, name), "8 or more")
        require_at_most(self, "grid.", height=2048, width=2048)
        require(0 < self.resolution <= 10, "grid.resolution", self.resolution, "above 0, at most 10 m")
        require(-0.5 <= self.offset <= 0.5, "grid.offset", self.offset, "-0.5 to 0.5")

    @property
    def matrix(self) -> "NDArray[np.float64]":
        """The view matrix `(3, 3)`: (column, row, 1) of the ego point (x forward, y left, 1), both in metres."""
        import numpy as np

        scale = 1 / self.resolution
        row = self.height * self.offset + self.height / 2
        return np.array([[0, -scale, self.width / 2], [-scale, 0, row], [0, 0, 1]], dtype=np.float64)
