"""Settings of raster reading."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from transect.data_adapters.change_detection.product import Masked
from transect.data_adapters.settings import require, require_at_most


@dataclass
class ReadConfig:
    """Settings of raster reading.

    Args:
        bands: Bands of both dates, counted from 1, in the order of the model's input channels; [1, 1, 1] repeats the
            band of a single-band raster.
        nodata: Nodata value for rasters that do not declare one.
        nodata_in: A pixel is missing where all bands have no data, as in GDAL's dataset mask, or where any has none.
        mask: Classes of the product's quality band that are treated as nodata: clouds, shadows, cirrus, snow, water.
        max_pixels: Rasters that declare more pixels than this are refused.
    """

    bands: list[int] = field(default_factory=lambda: [1, 2, 3])
    nodata: float | None = None
    nodata_in: Literal["all", "any"] = "all"
    mask: list[Masked] = field(default_factory=list)
    max_pixels: int = 4_000_000_000

    def __post_init__(self) -> None:
        usable = len(self.bands) > 0 and min(self.bands) >= 1
        require(usable, "read.bands", self.bands, "band numbers counted from 1")
        require(len(self.bands) <= 1024, "read.bands", len(self.bands), "at most 1024 bands")
        require(self.nodata_in in ("all", "any"), "read.nodata_in", self.nodata_in, "all or any")
        require(
            set(self.mask) <= set(get_args(Masked)), "read.mask", self.mask, f"some of {', '.join(get_args(Masked))}"
        )
        require_at_most(self, "read.", bands=65536, max_pixels=1 << 40)
