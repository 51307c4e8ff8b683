"""How the rasters of a pair are read."""

from dataclasses import dataclass, field

from transect.data_adapters.settings import require


@dataclass
class ReadConfig:
    """How the rasters of a pair are read.

    Args:
        bands: Bands of both dates, counted from 1, in the order the model sees them; a raster with a single band
            may be given as [1, 1, 1].
        nodata: Value that means "no data" in rasters that do not say so themselves.
        max_pixels: Rasters that claim more pixels than this are refused.
    """

    bands: list[int] = field(default_factory=lambda: [1, 2, 3])
    nodata: float | None = None
    max_pixels: int = 4_000_000_000

    def __post_init__(self) -> None:
        usable = len(self.bands) > 0 and min(self.bands) >= 1
        require(usable, "read.bands", self.bands, "band numbers counted from 1")
