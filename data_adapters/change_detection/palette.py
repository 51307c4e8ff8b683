"""Expand palette images by their colour table, so that pixels are colours rather than numbers of entries."""

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader


def colour_table(dataset: DatasetReader) -> np.ndarray | None:
    """The colours of a palette image, uint8 (4, entries) as red, green, blue and alpha; None for other rasters.

    A raster whose first band is a palette without a colour table is not a palette image: its values are what they are.
    """
    if dataset.colorinterp[0] != ColorInterp.palette:
        return None
    try:
        entries = dataset.colormap(1)
    except ValueError:  # no colour table
        return None
    table = np.zeros((4, max(entries) + 1), np.uint8)
    for index, colour in entries.items():
        table[:, index] = colour
    return table


def expanded(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Expand indexes (height, width) by a `colour_table` to uint8 (4, height, width): red, green, blue and alpha.

    An index without an entry becomes black and transparent.
    """
    inside = values < table.shape[1]
    if inside.all():
        return table[:, values]
    return np.where(inside, table[:, np.where(inside, values, 0)], np.uint8(0))
