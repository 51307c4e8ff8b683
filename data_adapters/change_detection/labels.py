"""Decode label rasters into no change, change and unknown.

Data sets code the same classes differently. The coding of a file is determined once, by scanning all its values, so
that a window with only some of them is decoded like the rest.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from rasterio.enums import Compression
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.maps import NODATA
from transect.data_adapters.change_detection.opening import DRIVERS, failure, opened

SCAN_PIXELS = 1 << 22
WHITE, HALF = 255, 128
MOST_VALUES = 64


class LabelCoding(StrEnum):
    """The coding of label values in a layout."""

    BINARY = "binary"
    """0/1, 0/255, 0/1/255 with 255 unknown, JPEG from 128 on, or an RGB image of black and one other colour."""
    ONE_TWO = "1 no change, 2 change"
    """OSCD's GeoTIFF labels."""
    DAMAGE = "0 background, 1 intact, 2 damaged, 3 destroyed"
    """BRIGHT; damaged and destroyed buildings are change."""
    SEMANTIC = "land cover where changed, else 0 or white"
    """SECOND and Landsat-SCD: land cover only where it changed; class 0, or white in RGB, is no change."""


@dataclass(frozen=True)
class LabelRule:
    """The decoding of one label file.

    Args:
        source: Path of the file.
        bands: Number of bands to read, from the first.
        background: A pixel is changed unless every band has this value.
        least: If given, a pixel is changed where any band is at least this, instead.
        unknown: Value of pixels without a label.
    """

    source: str
    bands: int = 1
    background: float = 0
    least: float | None = None
    unknown: float | None = None

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Decode values (bands, rows, width) or (rows, width) to (rows, width) uint8 with 0, 1 and 255."""
        values = values[None] if values.ndim == 2 else values[: self.bands]
        changed = values != self.background if self.least is None else values >= self.least
        label = np.asarray(changed.any(axis=0), np.uint8)
        if self.unknown is not None:
            label[(values == self.unknown).all(axis=0)] = NODATA
        return label


def label_rule(path: str, coding: LabelCoding = LabelCoding.BINARY) -> LabelRule:
    """Determine the decoding of the label at `path` by scanning the whole file in blocks.

    Args:
        path: Path of the label raster.
        coding: The coding of its layout.

    Raises:
        BadInput: `path` is not a raster, or has values that `coding` does not allow; the message lists them.
    """
    try:
        with opened(path, ReadConfig(bands=[1])) as dataset:
            return _rule(path, dataset, coding)
    except (RasterioError, OSError) as error:
        raise BadInput(path, "label", failure(path, error), f"a readable raster ({', '.join(DRIVERS)})") from error


def _rule(path: str, dataset: DatasetReader, coding: LabelCoding) -> LabelRule:
    bands = 3 if dataset.count >= 3 else 1
    if coding is LabelCoding.SEMANTIC:
        return LabelRule(path, bands, background=WHITE if bands == 3 else 0)
    if coding is LabelCoding.BINARY and (dataset.driver == "JPEG" or dataset.compression == Compression.jpeg):
        return LabelRule(path, bands, least=HALF)

    colours = _distinct(path, dataset, bands)
    if (colours != colours[:, :1]).any():
        return _two_colours(path, colours)
    unknown = dataset.nodata if dataset.nodata not in (None, 0, 1) else None
    values = {float(value) for value in colours[:, 0]} - {unknown}

    if coding is LabelCoding.ONE_TWO and values <= {1, 2}:
        return LabelRule(path, bands, background=1, unknown=unknown)
    if coding is LabelCoding.DAMAGE and values <= {0, 1, 2, 3}:
        return LabelRule(path, bands, least=2, unknown=unknown)
    if coding is LabelCoding.BINARY and (values <= {0, 1} or values <= {0, WHITE}):
        return LabelRule(path, bands, unknown=unknown)
    if coding is LabelCoding.BINARY and unknown is None and values <= {0, 1, WHITE}:
        return LabelRule(path, bands, unknown=WHITE)
    expected = "0/1, 0/255 or 0/1/255" if coding is LabelCoding.BINARY else coding.value
    raise BadInput(path, "label values", _listed(sorted(values)), expected)


def _two_colours(path: str, colours: np.ndarray) -> LabelRule:
    others = [colour for colour in colours if colour.any()]
    if len(others) == 1:
        return LabelRule(path, bands=3)
    found = _listed([tuple(int(part) for part in colour) for colour in colours])
    raise BadInput(path, "label colours", found, "black for no change and one other colour for change")


def _distinct(path: str, dataset: DatasetReader, bands: int) -> np.ndarray:
    """The distinct colours of the whole file, (colours, bands), scanned in strips of whole blocks."""
    block = dataset.block_shapes[0][0]
    rows = block * max(1, SCAN_PIXELS // (block * dataset.width))
    seen: set[tuple[float, ...]] = set()
    for row in range(0, dataset.height, rows):
        window = Window(0, row, dataset.width, min(rows, dataset.height - row))
        values = dataset.read(list(range(1, bands + 1)), window=window)
        seen.update(map(tuple, _colours(values).tolist()))
        if len(seen) > MOST_VALUES:
            raise BadInput(path, "label values", f"more than {MOST_VALUES} values", "a mask of change and no change")
    return np.array(sorted(seen))


def _colours(values: np.ndarray) -> np.ndarray:
    """The distinct colours of (bands, rows, width), as (colours, bands)."""
    grey = values[:1] if (values == values[:1]).all() else None
    if grey is not None:
        levels = np.flatnonzero(np.bincount(grey.ravel())) if grey.dtype == np.uint8 else np.unique(grey)
        return np.repeat(levels[:, None], len(values), axis=1)
    return np.unique(values.reshape(len(values), -1), axis=1).T


def _listed(values: list[float] | list[tuple[int, ...]]) -> str:
    shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in values[:8]]
    return ", ".join(shown) + (", ..." if len(values) > len(shown) else "")
