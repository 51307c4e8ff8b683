"""Settings of raster reading."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from transect.data_adapters.change_detection.folders import VECTORS, is_vector
from transect.data_adapters.change_detection.product import Masked
from transect.data_adapters.settings import require, require_at_most


@dataclass
class ReadConfig:
    """Settings of raster reading.

    Args:
        bands: Bands of both dates in the order of the model's input channels: either numbers, counted from 1, where
            [1, 1, 1] repeats the band of a single-band raster, or names such as red,nir,swir1. Numbers count the bands
            of the given files; those of a product's folder are 1 red, 2 green and 3 blue.
        nodata: Nodata value for rasters that do not declare one; none if all their values are data, also where one
            fills their border.
        nodata_in: A pixel is missing where all bands have no data, as in GDAL's dataset mask, or where any has none.
        mask: Classes of the product's quality band that are treated as nodata: clouds, shadows, cirrus, snow, water.
        aoi: Area of interest, a GeoPackage, GeoJSON file or shapefile: pixels outside its polygons are nodata, and
            scenes are cropped to their bounding box. A model does not keep it.
        max_pixels: Rasters that declare more pixels than this are refused.
        remote: Where the links of a STAC item may lead: only to the item's folder or host, or anywhere.
    """

    bands: list[int | str] = field(default_factory=lambda: [1, 2, 3])
    nodata: float | Literal["none"] | None = None
    nodata_in: Literal["all", "any"] = "all"
    mask: list[Masked] = field(default_factory=list)
    aoi: str = field(default="", metadata={"local": True})
    max_pixels: int = 4_000_000_000
    remote: Literal["item", "any"] = "item"

    def __post_init__(self) -> None:
        usable = len(self.bands) > 0 and (all(number >= 1 for number in self.numbers) if self.numbers else self.names)
        require(bool(usable), "read.bands", self.bands, "band numbers counted from 1, or names of bands")
        require(len(self.bands) <= 1024, "read.bands", len(self.bands), "at most 1024 bands")
        require(self.nodata_in in ("all", "any"), "read.nodata_in", self.nodata_in, "all or any")
        require(self.remote in ("item", "any"), "read.remote", self.remote, "item or any")
        numeric = self.nodata is None or isinstance(self.nodata, float | int) or self.nodata == "none"
        require(numeric, "read.nodata", self.nodata, "a number or none")
        require(
            set(self.mask) <= set(get_args(Masked)), "read.mask", self.mask, f"some of {', '.join(get_args(Masked))}"
        )
        require(not self.aoi or is_vector(self.aoi), "read.aoi", self.aoi, f"a file named {', '.join(sorted(VECTORS))}")
        require(max(self.numbers, default=0) <= 65536, "read.bands", self.bands, "at most 65536")
        require_at_most(self, "read.", max_pixels=1 << 40)

    @property
    def default_nodata(self) -> float | None:
        """The nodata value for rasters that do not declare one, as a number."""
        return None if isinstance(self.nodata, str) else self.nodata

    @property
    def numbers(self) -> list[int]:
        """The bands, if they are numbers, else an empty list."""
        numbers = [band for band in self.bands if isinstance(band, int)]
        return numbers if len(numbers) == len(self.bands) else []

    @property
    def names(self) -> list[str]:
        """The bands, if they are names, else an empty list."""
        names = [band for band in self.bands if isinstance(band, str) and band[:1].isalpha()]
        return names if len(names) == len(self.bands) else []


@dataclass(frozen=True)
class PolygonsConfig:
    """How the polygons of changes are generalized; the mask is not. Without a CRS the units are pixels.

    Args:
        min_area_m2: Changes of a smaller area, with their filled holes, have no polygon.
        fill_holes_m2: Holes of a smaller area are filled.
        simplify_m: Largest distance between an outline along the pixels and its simplified form.
    """

    min_area_m2: float = 0.0
    fill_holes_m2: float = 0.0
    simplify_m: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(0 <= value < math.inf, f"polygons.{name}", value, "0 or a positive number")


@dataclass(frozen=True)
class PhantomConfig:
    """Synthetic pairs.

    Args:
        hard: Small buildings are the change, and changed ground, seasonal colour, cast shadows and a shift of one pixel
            between the dates are not; for training and test only. A stand-in for a small data set of real crops.
    """

    hard: bool = False
