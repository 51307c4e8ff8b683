"""Decode label rasters into no change, change and unknown.

Data sets code the same classes differently, and a tile need not have all values of its data set: where 255 means
unknown in one tile, it does so in all. So the values of a whole file are scanned, and, where these leave it open, those
of the other labels of its data set.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.label_raster import LabelRaster, open_label
from transect.data_adapters.change_detection.maps import NODATA

log = logging.getLogger("transect")

WHITE, HALF = 255, 128
MOST_VALUES = 64


class LabelCoding(StrEnum):
    """The coding of label values in a layout."""

    BINARY = "binary"
    """0/1, 0/255, 0/1/255 with 255 unknown, JPEG from 128 on, or an image of black and one other colour."""
    ONE_TWO = "1 no change, 2 change"
    """OSCD's GeoTIFF labels."""
    DAMAGE = "0 background, 1 intact, 2 damaged, 3 destroyed"
    """BRIGHT; damaged and destroyed buildings are change."""
    SEMANTIC = "land cover where changed, else 0 or white"
    """SECOND and Landsat-SCD: land cover only where it changed; class 0, or white in colour, is no change."""


@dataclass(frozen=True)
class LabelRule:
    """The decoding of one label file.

    Args:
        source: Path of the file.
        bands: Number of bands to read, from the first.
        background: A pixel is changed unless every band has this value.
        least: If given, a pixel is changed where any band is at least this, instead.
        unknown: Values of pixels without a label.
        by_index: If given, the label of each index of a colour table, instead of all the others.
        warning: What is doubtful about the decoding, or empty.
    """

    source: str
    bands: int = 1
    background: float = 0
    least: float | None = None
    unknown: tuple[float, ...] = ()
    by_index: tuple[int, ...] = ()
    warning: str = ""

    def apply(self, values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Decode values to labels.

        Args:
            values: (bands, rows, width) or (rows, width).
            known: (rows, width) bool, False where the file has no label; True everywhere by default.

        Returns:
            (rows, width) uint8 with 0 no change, 1 change, 255 unknown.
        """
        values = values[None] if values.ndim == 2 else values[: self.bands]
        if self.by_index:
            label = np.array(self.by_index, np.uint8)[values[0]]
        else:
            changed = values != self.background if self.least is None else values >= self.least
            label = np.asarray(changed.any(axis=0), np.uint8)
        for value in self.unknown:
            label[(values == value).all(axis=0)] = NODATA
        if known is not None:
            label[~known] = NODATA
        return label


@dataclass(frozen=True)
class LabelWithOne:
    """A label with the value 1 for change, and whether it also has the value 255, unknown."""

    path: str
    has_unknown: bool


Example = Callable[[], LabelWithOne | None]


def label_rule(
    path: str,
    coding: LabelCoding = LabelCoding.BINARY,
    example: Example | None = None,
) -> LabelRule:
    """Determine the decoding of the label at `path` by scanning the whole file in blocks.

    Args:
        path: Path of the label raster.
        coding: The coding of its layout.
        example: Finds a label of the same data set with the value 1 for change; called only where the file itself
            leaves open what 255 means. Without it, 255 is unknown where it is declared as nodata.

    Raises:
        BadInput: `path` is not a raster, or has values that `coding` does not allow; the message lists them.
    """
    with open_label(path) as raster:
        rule = _rule(raster, coding, example)
    if rule.warning:
        _log_once(str(Path(path).parent), rule.warning)
    return rule


def with_one(path: str) -> LabelWithOne | None:
    """The binary label at `path` if it has grey values, could have 255, and has 1.

    Raises:
        BadInput: the file cannot be read.
    """
    with open_label(path) as raster:
        if raster.is_jpeg or raster.is_bilevel:
            return None
        colours, table = _scanned(raster), raster.colour_table
        if (colours != colours[:, :1]).any() or (table is not None and not _adds_nothing(table, colours)):
            return None
        values = set(colours[:, 0].tolist()) - {raster.dataset.nodata}
        return LabelWithOne(path, WHITE in colours) if 1 in values and values <= {0, 1, WHITE} else None


def _rule(raster: LabelRaster, coding: LabelCoding, example: Example | None) -> LabelRule:
    path, bands, table = raster.path, raster.bands, raster.colour_table
    if coding is LabelCoding.SEMANTIC:
        if table is not None and (table[:, :3] == WHITE).all(axis=1).any():
            return _by_index(LabelRule(path, bands=3, background=WHITE), table)
        return LabelRule(path, bands, background=WHITE if bands == 3 else 0)
    if coding is LabelCoding.BINARY and raster.is_jpeg:
        largest = raster.largest()
        warning = f"nothing is read as change, since no value of the JPEG is {HALF} or more; the largest is {largest:g}"
        return LabelRule(path, bands, least=HALF, warning=warning if 0 < largest < HALF else "")

    colours = _scanned(raster)
    if coding is LabelCoding.BINARY and table is not None and not _adds_nothing(table, colours):
        if raster.dataset.nodata not in (None, 0, 1):
            table[int(raster.dataset.nodata)] = 0  # transparent
        used = table[colours[:, 0].astype(int)]
        return _by_index(_two_colours(path, used[used[:, 3] > 0, :3], "colours of the label's palette"), table)
    if (colours != colours[:, :1]).any():
        return _two_colours(path, colours, "label colours")
    nodata = raster.dataset.nodata
    never = (None, 0, 1, WHITE) if coding is LabelCoding.BINARY else (None, 0, 1)
    unknown = () if nodata in never else (nodata,)
    values = {float(value) for value in colours[:, 0]} - {*unknown}
    rule = LabelRule(path, bands, unknown=unknown)

    if coding is LabelCoding.BINARY and values <= {0, 1, WHITE}:
        return _with_meaning_of_white(rule, values, nodata == WHITE, example)
    if coding is LabelCoding.ONE_TWO and values <= {1, 2}:
        return replace(rule, background=1)
    if coding is LabelCoding.DAMAGE and values <= {0, 1, 2, 3}:
        return replace(rule, least=2)
    expected = "0/1, 0/255 or 0/1/255" if coding is LabelCoding.BINARY else coding.value
    raise BadInput(path, "label values", _listed(sorted(values)), expected)


def _with_meaning_of_white(rule: LabelRule, values: set[float], declared: bool, example: Example | None) -> LabelRule:
    """`rule` for a file of these values: 255 is unknown in a data set that has 1 for change, else change."""
    if WHITE not in values:
        return rule
    unknown = replace(rule, unknown=(*rule.unknown, WHITE))
    if 1 in values or (declared and example is None):
        return unknown
    if other := example() if example else None:
        warning = f"255 is read as unknown, since {other.path} has 1 for change"
        return replace(unknown, warning="" if declared or other.has_unknown else warning)
    if declared:
        warning = "255 is declared as nodata but read as change, since no label of the data set has 1 for change"
        return replace(rule, warning=warning)
    return rule


def _two_colours(path: str, colours: np.ndarray, field: str) -> LabelRule:
    """The rule of a file of these colours (colours, 3)."""
    if len({tuple(colour) for colour in colours.tolist() if any(colour)}) <= 1:
        return LabelRule(path, bands=3)
    found = _listed(sorted({tuple(int(part) for part in colour) for colour in colours}))
    raise BadInput(path, field, found, "black for no change and one other colour for change")


def _by_index(rule: LabelRule, table: np.ndarray) -> LabelRule:
    """The rule of colours `rule` for the indices of a colour table (indices, 4)."""
    labels = rule.apply(table.T[:3, None, :], known=table[None, :, 3] > 0)
    return LabelRule(rule.source, by_index=tuple(labels[0].tolist()))


def _adds_nothing(table: np.ndarray, indices: np.ndarray) -> bool:
    """Whether the colour of each of `indices` (n, 1) is the grey of its own value, opaque."""
    colours = table[indices[:, 0].astype(int)]
    return bool((colours[:, :3] == indices).all() and (colours[:, 3] > 0).all())


def _scanned(raster: LabelRaster) -> np.ndarray:
    """The distinct known colours of the whole file, (colours, bands)."""
    seen: set[tuple[float, ...]] = set()
    for colours in raster.colours():
        seen.update(map(tuple, colours.tolist()))
        if len(seen) > MOST_VALUES:
            found, expected = f"more than {MOST_VALUES} values", "a mask of change and no change"
            raise BadInput(raster.path, "label values", found, expected)
    return np.array(sorted(seen)).reshape(len(seen), raster.bands)


def _listed(values: list[float] | list[tuple[int, ...]]) -> str:
    shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in values[:8]]
    return ", ".join(shown) + (", ..." if len(values) > len(shown) else "")


@cache
def _log_once(folder: str, warning: str) -> None:
    log.warning("labels in %s: %s", folder, warning)
