"""Read one date of a pair, a raster or a stack of band files: grid, pixels and validity mask."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.bandfile import BandFile, band_file, common_type
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.product import Product
from transect.data_adapters.change_detection.resampled import QualityBand, Resampled, quality_band


class Raster:
    """The selected bands of a raster, or of several single-band files stacked in the given order.

    `grid` is the georeference, `dtype` is float32 or the files' integer type, and `block_rows` the height of a
    compressed block. `undeclared` is whether nothing says which of its stored values mean no data, unless it is a
    picture, of 8 bits and without a CRS. `quality` is the quality band, or None if none can be used. A context manager;
    use it in the thread that opened it.

    Args:
        paths: Anything that `opened` opens: files, URLs, COGs, and VRTs with sources below their folder.
        config: Bands, nodata value, classes that are left out, and size limit.
        product: What a satellite product says of the files. Its channels are read in the place of `config.bands`, as
            reflectance if it gives the scale, and on the finest grid among them.

    Raises:
        BadInput: a file is missing, unreadable, not a raster, larger than `config.max_pixels`, a decompression bomb,
            has too few bands, or is not on the grid of its date's other files, or, of a product, not of their place;
            or classes are to be left out and the quality band cannot be used.
    """

    def __init__(self, paths: Sequence[str], config: ReadConfig, product: Product | None = None) -> None:
        self.paths = tuple(paths)
        self._product, self._classes = product, tuple(config.mask)
        chosen, self._order = _chosen(self.paths, config, product)
        fill = product.fill if product else None
        self._any = config.nodata_in == "any" or fill is not None
        with ExitStack() as stack:
            files = [stack.enter_context(band_file(path, bands, config, fill)) for path, bands in chosen]
            stored = common_type([file.dtype for file in files])
            for file in files:
                file.dtype = stored
            if product is None:
                _check_stack(files)
            finest = min(files, key=lambda file: abs(file.grid.transform.determinant))
            self.grid = finest.grid
            self._parts = [file if file.grid == self.grid else Resampled(file, finest) for file in files]
            self.quality = self._quality_band(stack, finest, config)
            self._close = stack.pop_all().close
        scaled = bool(product and product.scale)
        self.dtype = np.dtype(np.float32) if scaled else stored
        declared = any(file.declares for file in files) or config.nodata is not None
        self.undeclared = not declared and not scaled and (self.grid.crs is not None or stored.itemsize > 1)
        self.block_rows = max(file.block_rows for file in files if file.grid == self.grid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the selected bands, decoded."""
        return self.grid.width * len(self._order) * self.dtype.itemsize

    def read(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a window inside the raster.

        A pixel is valid unless

        - all selected bands have the nodata value (`config.nodata` where the raster declares none), or any has it, if
          `config.nodata_in` says so or the product has a fill value, which is never measured;
        - any selected band is NaN or infinite, which no model can be given;
        - the raster's mask (internal or as a .msk side file) or alpha band is zero, or the colour of a palette image
          is transparent;
        - the product's quality band says fill or one of the classes in `config.mask`.

        Args:
            row: First row.
            col: First column.
            height: Number of rows.
            width: Number of columns.

        Returns:
            Values `(bands, height, width)` of type `dtype`, and the bool mask `(height, width)` of valid pixels.

        Raises:
            BadInput: the rows cannot be decoded.
        """
        window = row, col, height, width
        layers = [part.layers(*window) for part in self._parts]
        values = layers[0][0] if len(layers) == 1 else np.concatenate([part for part, _, _ in layers])
        valid = layers[0][1]
        for _, other, _ in layers[1:]:
            valid = valid & other
        missing = _combined([part for _, _, part in layers], self._any)
        if missing is not None:
            valid = valid & ~missing
        if self.quality and (unusable := self._unusable(self.quality, *window)) is not None:
            valid = valid & ~unusable
        values = values if self._order == list(range(len(values))) else values[self._order]
        return self._reflectance(values), valid

    def _reflectance(self, stored: np.ndarray) -> np.ndarray:
        if not (self._product and self._product.scale):
            return stored
        values = stored.astype(np.float32)
        values *= np.array(self._product.scale, np.float32)[:, None, None]
        values += np.array(self._product.offset, np.float32)[:, None, None]
        return values

    def _quality_band(self, stack: ExitStack, finest: BandFile, config: ReadConfig) -> QualityBand | None:
        """The quality band; None without one, or if it cannot be used and no class is to be left out."""
        if not (self._product and self._product.quality):
            return None
        try:
            return stack.enter_context(quality_band(self._product.quality, config, finest))
        except BadInput:
            if self._classes:
                raise
            return None

    def _unusable(self, quality: QualityBand, *window: int) -> np.ndarray | None:
        try:
            return quality.unusable(self._classes, *window)
        except BadInput:
            if self._classes:
                raise
            self.quality = None
            return None


def _chosen(
    paths: Sequence[str], config: ReadConfig, product: Product | None
) -> tuple[list[tuple[str, list[int]]], list[int]]:
    """The files to read, each with its bands, and the index of each channel among all of these bands."""
    if not paths:
        raise BadInput("(no file)", "files", "none", "a raster")
    numbers = list(product.numbers) if product else config.numbers
    if not numbers:
        found, expected = ", ".join(config.names), "numbers, as no product names the bands of this file"
        raise BadInput(paths[0], "bands", found, expected, "set read.bands [1,2,3]")
    different = sorted(set(numbers))
    order = [different.index(number) for number in numbers]
    if len(paths) == 1:
        return [(paths[0], different)], order
    if product:
        return [(path, [number]) for path, number in zip(paths, numbers, strict=True)], list(range(len(numbers)))
    if len(paths) < different[-1]:
        expected = f"at least {different[-1]}"
        raise BadInput(paths[0], "single-band files", len(paths), expected, "choose others with read.bands")
    return [(paths[number - 1], [1]) for number in different], order


def _check_stack(files: Sequence[BandFile]) -> None:
    first = files[0]
    for other in files if len(files) > 1 else ():
        if other.count != 1:
            raise BadInput(other.path, "bands", other.count, "1, as it is one of several files of a date")
        if other.grid != first.grid:
            found = f"{other.grid.width} x {other.grid.height} pixels, {tuple(other.grid.transform)[:6]}"
            raise BadInput(
                other.path, "grid", found, f"the grid of {first.path}", "resample the bands to one grid first"
            )


def _combined(missing: Sequence[np.ndarray | None], any_band: bool) -> np.ndarray | None:
    """The pixels that are missing in all files, or in any; None where there are none."""
    known = [mask for mask in missing if mask is not None]
    if not known or (len(known) < len(missing) and not any_band):
        return None
    return np.logical_or.reduce(known) if any_band else np.logical_and.reduce(known)
