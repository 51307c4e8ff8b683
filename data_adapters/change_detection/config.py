"""Settings of raster reading."""

from dataclasses import dataclass, field

from transect.data_adapters.settings import require, require_at_most


@dataclass
class ReadConfig:
    """Settings of raster reading.

    Args:
        bands: Bands of both dates, counted from 1, in the order of the model's input channels; [1, 1, 1] repeats the
            band of a single-band raster.
        nodata: Nodata value for rasters that do not declare one.
        max_pixels: Rasters that declare more pixels than this are refused.
    """

    bands: list[int] = field(default_factory=lambda: [1, 2, 3])
    nodata: float | None = None
    max_pixels: int = 4_000_000_000

    def __post_init__(self) -> None:
        usable = len(self.bands) > 0 and min(self.bands) >= 1
        require(usable, "read.bands", self.bands, "band numbers counted from 1")
        require(len(self.bands) <= 1024, "read.bands", len(self.bands), "at most 1024 bands")
        require_at_most(self, "read.", bands=65536, max_pixels=1 << 40)
