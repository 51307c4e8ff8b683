"""An aligned pair: two dates on one grid, read as consecutive strips or as arbitrary windows.

Strips are cut here rather than by a general tiler so that every compressed block is decoded once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Self

import numpy as np
from affine import Affine

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.align import Alignment, Read, Window
from transect.data_adapters.change_detection.aoi import area_of_interest
from transect.data_adapters.change_detection.burn import burned
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.georeference import comparable_grid
from transect.data_adapters.change_detection.labels import LabelCoding
from transect.data_adapters.change_detection.land_cover import LandCover
from transect.data_adapters.change_detection.maps import Grid, Strip
from transect.data_adapters.change_detection.product import Product
from transect.data_adapters.change_detection.raster import Raster
from transect.data_adapters.change_detection.sampling import Fills, Pixels, Samples, fills_of, samples_of
from transect.data_adapters.change_detection.scene_label import SceneLabel
from transect.data_adapters.change_detection.stretch import Method, stretch_limits
from transect.data_adapters.change_detection.strips import reader_of, strip_rows
from transect.data_adapters.change_detection.vectors import Layer

STRIP_BYTES, MOST_ROWS = 64 << 20, 1024
"""Maximum size of a strip of both dates: memory does not depend on the scene's width, unless a row exceeds it."""


@dataclass(frozen=True)
class Scene:
    """Two dates of one place on the second date's grid, cropped to the intersection of their extents.

    Where the grids coincide to 1/1000 pixel both dates are read unchanged, even if their extents differ. Otherwise the
    first date is resampled: bilinearly, or by averaging from a scale of 2 on. A scene holds no open file, can be
    pickled, and can be read from several threads.

    Args:
        before: Files of the first date.
        after: Files of the second date.
        config: Settings of raster reading.
        grid: The common grid.
        dtype: Of each date, float32 or the files' integer type.
        alignments: From the grid of each date to `grid`.
        label: Path of the label raster, or empty.
        dates: ISO 8601 or None.
        coding: Meaning of the label's values.
        products: What a satellite product says of each date's files, or None.
        label_set: Where the labels of the same data set are; see `Pair`.
        area: The area of interest, outside of which pixels are not valid.
        cover: Paths of the land cover before and after where it changed, or empty.
        undeclared: Of each date, whether nothing says which of its pixels have no data; see `Raster`.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    config: ReadConfig
    grid: Grid
    dtype: tuple[np.dtype, np.dtype]
    alignments: tuple[Alignment, Alignment]
    label: str = ""
    dates: tuple[str | None, str | None] = (None, None)
    coding: LabelCoding = LabelCoding.BINARY
    products: tuple[Product | None, Product | None] = (None, None)
    label_set: tuple[str, ...] = ()
    area: Layer | None = None
    cover: tuple[str, str] = ("", "")
    undeclared: tuple[bool, bool] = (False, False)

    @classmethod
    def open(
        cls,
        before: Sequence[str],
        after: Sequence[str],
        config: ReadConfig,
        label: str = "",
        dates: tuple[str | None, str | None] = (None, None),
        coding: LabelCoding = LabelCoding.BINARY,
        products: tuple[Product | None, Product | None] = (None, None),
        label_set: tuple[str, ...] = (),
        cover: tuple[str, str] = ("", ""),
    ) -> Self:
        """Open the raster, or single-band files, of each date and compute their common grid; reads no pixels.

        Takes the arguments of the class.

        Raises:
            BadInput: a raster cannot be used, they do not overlap, or the area of interest is elsewhere.
        """
        for paths, field in ((before, "before"), (after, "after")):
            if not paths:
                other = next(iter((*before, *after)), "(no pair)")
                raise BadInput(other, field, "no raster", "both dates", "give its partner or leave the pair out")
        with Raster(before, config, products[0]) as first, Raster(after, config, products[1]) as second:
            dtype = first.dtype, second.dtype
            undeclared = first.undeclared, second.undeclared
            placed = Alignment(comparable_grid(before[0], first.grid, after[0], second.grid), second.grid)
        window = placed.common_window()
        if window is None:
            found = f"no overlap with {after[0]}"
            raise BadInput(before[0], "extent", found, "two rasters of one place", "check both CRSs and extents")
        row, col, height, width = window
        grid, area = Grid(width, height, second.grid.transform * Affine.translation(col, row), second.grid.crs), None
        if config.aoi:
            area, grid = area_of_interest(config.aoi, after[0], grid)
        alignments = Alignment(placed.source, grid), Alignment(placed.target, grid)
        return cls(
            *(tuple(before), tuple(after), config, grid, dtype, alignments, label, dates, coding, products, label_set),
            area=area,
            cover=cover,
            undeclared=undeclared,
        )

    @property
    def offset(self) -> tuple[float, float]:
        """Sub-pixel misalignment (columns, rows) of the first date against the second, each in [-0.5, 0.5]."""
        return self.alignments[0].offset

    def strips(self) -> Iterator[Strip]:
        """Read full-width strips of consecutive rows that cover the grid from top to bottom.

        Each block of a file is decoded once, unless the first date is rotated so far against the second that its rows
        cannot be read in order.

        Yields:
            Strips, whose arrays must not be modified.

        Raises:
            BadInput: a block cannot be decoded, or, at the last strip, no pixel was valid in both dates.
        """
        any_valid = False
        with self._rasters() as (before, after):
            portions = strip_rows(before, after, self.alignments, STRIP_BYTES, MOST_ROWS)
            readers = [
                reader_of(raster, alignment, portions, 4 * STRIP_BYTES)
                for raster, alignment in zip((before, after), self.alignments, strict=True)
            ]
            for row, rows in portions:
                window = row, 0, rows, self.grid.width
                strip = self._strip(window, self._read(readers, *window))
                any_valid = any_valid or bool(strip.valid.any())
                # Raised before the last strip is yielded, since consumers may not ask for more.
                if not any_valid and row + rows == self.grid.height:
                    raise self.nothing_valid()
                yield strip
                del strip

    def window(self, row: int, col: int, height: int, width: int) -> Strip:
        """Read a window inside the grid; `row` of the result is the window's first row.

        Raises:
            ValueError: the window is not inside the grid.
        """
        if min(row, col) < 0 or row + height > self.grid.height or col + width > self.grid.width:
            raise ValueError(f"window {row, col, height, width} is not inside {self.grid.height} x {self.grid.width}")
        window = row, col, height, width
        with self._rasters() as (before, after):
            return self._strip(window, self._read([before.read, after.read], *window))

    def labels(self, row: int, rows: int, col: int = 0, width: int | None = None) -> np.ndarray:
        """Read the label of a window of the grid; see `SceneLabel`.

        Args:
            row: First row.
            rows: Number of rows.
            col: First column.
            width: Number of columns, to the right edge by default.

        Returns:
            `(rows, width)` uint8: 0 no change, 1 change, 255 unknown.

        Raises:
            BadInput: the label cannot be read, has other values, or its size does not match the scene's.
        """
        return self.reference.read(self._part(row, col, rows, width))

    def land_cover_at(self, row: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """The land cover before and after of full rows, where it changed; see `LandCover.read`."""
        return self.land_cover.read(self._part(row, 0, rows))

    def stretch(self, method: Method = "percentile") -> np.ndarray:
        """The limits of each date and band, `(2, bands, 2)` float32, that `stretch_limits` finds in `samples`."""
        return stretch_limits(self.samples(2 if method == "percentile" else 4), method, self.same_sensor)

    @property
    def same_sensor(self) -> bool | None:
        """Whether the values of both dates mean the same, as their products say; None if a sensor is unknown."""
        before, after = self.products
        if before is None or after is None or not (before.sensor and after.sensor):
            return None
        return (before.sensor, bool(before.scale)) == (after.sensor, bool(after.scale))

    def samples(self, every: int = 4) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of both dates that are valid in both, `(bands, pixels)` each.

        They are those of every n-th row and column of `sample_windows`.
        """
        windows = self.sample_windows()
        chosen = [part.valid[::every, ::every] for part in windows]
        first, second = (
            np.concatenate(
                [
                    getattr(part, name)[:, ::every, ::every][:, valid]
                    for part, valid in zip(windows, chosen, strict=True)
                ],
                axis=1,
            )
            for name in ("before", "after")
        )
        return first, second

    def sample_windows(self) -> list[Strip]:
        """At most 64 windows spread evenly over the scene, so that a large scene is not read whole."""
        samples = self._samples()
        vars(self).setdefault("fills", fills_of(samples, self.undeclared))  # so that these windows are not read again
        return [
            self._strip(window, [each.without(fill) for each, fill in zip(dates, self.fills, strict=True)])
            for window, dates in samples
        ]

    @cached_property
    def fills(self) -> Fills:
        """The value that fills the border of each date although nothing declares it.

        It is looked for in `sample_windows`, when they or it are first asked for, so that reading a part of a scene
        reads nothing else. From then on it is left out as nodata.
        """
        return fills_of(self._samples(), self.undeclared) if any(self.undeclared) else (None, None)

    @property
    def notes(self) -> list[str]:
        """A line for each of `fills`."""
        return [fill.line(date) for date, fill in zip(("before", "after"), self.fills, strict=True) if fill]

    def nothing_valid(self) -> BadInput:
        """The error for a pair without a pixel that is valid at both dates."""
        found = f"no valid pixel in both this and {self.before[0]}"
        return BadInput(self.after[0], "pixels", found, "some with data at both dates", "check nodata and masks")

    @cached_property
    def reference(self) -> SceneLabel:
        """The change label.

        Raises:
            BadInput: there is none.
        """
        if not self.label:
            raise BadInput(self.after[0], "label", "none", "a change label, a raster or polygons")
        after = self.alignments[1].source
        return SceneLabel(self.label, self.coding, self.label_set, self.after[0], after)

    @cached_property
    def land_cover(self) -> LandCover:
        """The land cover before and after, where `cover` names it."""
        return LandCover(self.cover, self.after[0], self.alignments[1].source)

    def _part(self, row: int, col: int, height: int, width: int | None = None) -> Grid:
        """The grid of a window, by default to the right edge."""
        width = self.grid.width - col if width is None else width
        return Grid(width, height, self.grid.transform * Affine.translation(col, row), self.grid.crs)

    @contextmanager
    def _rasters(self, fills: bool = True) -> Iterator[tuple[Raster, Raster]]:
        """Both dates, open; with their `fills`, if they are known, as nodata."""
        configs = [
            replace(self.config, nodata=fill.value) if fill and fill.nodata else self.config
            for fill in (vars(self).get("fills") if fills else None) or (None, None)
        ]
        first, second = self.products
        with Raster(self.before, configs[0], first) as before, Raster(self.after, configs[1], second) as after:
            yield before, after

    def _read(self, readers: Sequence[Read], row: int, col: int, height: int, width: int) -> list[Pixels]:
        return [
            alignment.read(reader, row, col, height, width)
            for reader, alignment in zip(readers, self.alignments, strict=True)
        ]

    def _strip(self, window: Window, dates: Sequence[Pixels]) -> Strip:
        row, col, height, width = window
        (before, valid_before), (after, valid_after) = dates
        valid = valid_before & valid_after
        if self.area:
            valid &= burned(self.area, self._part(row, col, height, width))
        return Strip(row, _masked(before, valid_before), _masked(after, valid_after), valid)

    def _samples(self) -> Samples:
        """`sample_windows` with both dates as they are stored."""
        with self._rasters(fills=False) as (before, after):
            return samples_of(self.grid, partial(self._read, (before.read, after.read)))


def _masked(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Replace invalid pixels by zero, so that no NaN or nodata value reaches the model."""
    return values if valid.all() else np.where(valid, values, values.dtype.type(0))
