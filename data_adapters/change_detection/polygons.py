"""Polygonize the changed patches of a raster that arrives as a stream of row strips, in pixel coordinates.

`rasterio.features.shapes` needs the whole raster in memory; here it runs on one strip at a time, and patches that cross
strip boundaries are merged.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from rasterio.features import shapes
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from transect.data_adapters.change_detection.maps import NODATA


@dataclass(frozen=True)
class Patches:
    """Connected changed regions as columns of one length.

    `polygons` are shapely Polygons in (column, row) coordinates, `pixels` their sizes and `level_sums` the sums of
    their pixels' levels (both int64).
    """

    polygons: np.ndarray
    pixels: np.ndarray
    level_sums: np.ndarray


@dataclass(frozen=True)
class _Components:
    """What is known of some components: `last` is the index of the last pixel in raster order."""

    pieces: list[list[shapely.Polygon]]
    pixels: np.ndarray
    level_sums: np.ndarray
    last: np.ndarray


def is_changed(levels: np.ndarray, threshold_level: int) -> np.ndarray:
    """Where `levels` (uint8) reach the threshold; a pixel without data never does."""
    return (levels >= threshold_level) & (levels != NODATA)


def patches(strips: Iterable[tuple[int, np.ndarray]], threshold_level: int) -> Iterator[Patches]:
    """The changed patches of `strips` of (row, levels), merged across the seams, in the order of their last pixels.

    Pixels belong together where they share a side: regions that meet in a corner only would make a polygon that
    touches itself, which GIS tools refuse. Polygons are valid, holes included, their vertices are pixel corners where
    the outline turns, and they are the same however the raster is cut into strips. What is held in memory is one
    strip and the patches that reach its last row.
    """
    waiting = _Components([], *np.zeros((3, 0), np.int64))
    above: np.ndarray | None = None  # number of the waiting component at each column of the row above, 0 where none
    for row, levels in strips:
        labels, count = ndimage.label(is_changed(levels, threshold_level))
        groups = _groups(waiting, above, labels, count)
        merged = _merge(waiting, _components(labels, count, levels, row), groups)
        bottom = labels[-1].astype(np.int64)
        open_groups, number = np.unique(groups[len(waiting.pieces) + bottom[bottom > 0] - 1], return_inverse=True)
        above = np.zeros_like(bottom)
        above[bottom > 0] = number + 1
        closed = np.setdiff1d(np.arange(len(merged.pieces)), open_groups)
        yield _finished(_select(merged, closed))
        waiting = _select(merged, open_groups)
    yield _finished(waiting)


def _groups(waiting: _Components, above: np.ndarray | None, labels: np.ndarray, count: int) -> np.ndarray:
    """The component that each waiting one, then each of the `count` new labels, turns out to belong to."""
    size = len(waiting.pieces) + count
    if above is None or not size:
        return np.arange(size)
    seam = (above > 0) & (labels[0] > 0)
    links = above[seam] - 1, len(waiting.pieces) + labels[0, seam] - 1
    graph = coo_array((np.ones(seam.sum(), bool), links), shape=(size, size))
    return connected_components(graph, directed=False)[1]


def _components(labels: np.ndarray, count: int, levels: np.ndarray, row: int) -> _Components:
    """The labelled regions of one strip that starts at `row`, numbered as their labels less one."""
    places = np.flatnonzero(labels)
    names = labels.ravel()[places]
    last = np.zeros(count + 1, np.int64)
    last[names] = row * labels.shape[1] + places  # ascending, and the last assignment to a name stays
    return _Components(
        pieces=[[polygon] for polygon in _polygonize(labels, count, row)],
        pixels=np.bincount(names, minlength=count + 1)[1:],
        level_sums=np.bincount(names, weights=levels.ravel()[places], minlength=count + 1)[1:].astype(np.int64),
        last=last[1:],
    )


def _polygonize(labels: np.ndarray, count: int, row: int) -> np.ndarray:
    """One polygon per label, in the order of the labels."""
    if not count:
        return np.zeros(0, object)
    found = list(shapes(labels, mask=labels > 0, connectivity=4, transform=Affine.translation(0, row)))
    rings = [ring for geometry, _ in found for ring in geometry["coordinates"]]
    lengths = [len(ring) for ring in rings]
    linear = shapely.linearrings(np.concatenate(rings), indices=np.repeat(np.arange(len(rings)), lengths))
    owners = np.repeat(np.arange(count), [len(geometry["coordinates"]) for geometry, _ in found])
    ordered = np.empty(count, object)
    ordered[[int(label) - 1 for _, label in found]] = shapely.polygons(linear, indices=owners)
    return ordered


def _merge(waiting: _Components, new: _Components, groups: np.ndarray) -> _Components:
    count = int(groups.max(initial=-1)) + 1
    pieces: list[list[shapely.Polygon]] = [[] for _ in range(count)]
    for group, more in zip(groups.tolist(), waiting.pieces + new.pieces, strict=True):
        pieces[group] += more
    totals = np.zeros((3, count), np.int64)
    np.add.at(totals[0], groups, np.concatenate([waiting.pixels, new.pixels]))
    np.add.at(totals[1], groups, np.concatenate([waiting.level_sums, new.level_sums]))
    np.maximum.at(totals[2], groups, np.concatenate([waiting.last, new.last]))
    return _Components(pieces, *totals)


def _select(components: _Components, which: np.ndarray) -> _Components:
    pieces = [components.pieces[index] for index in which.tolist()]
    return _Components(pieces, components.pixels[which], components.level_sums[which], components.last[which])


def _finished(components: _Components) -> Patches:
    chosen = _select(components, np.argsort(components.last))
    polygons = np.empty(len(chosen.pieces), object)
    polygons[:] = [pieces[0] if len(pieces) == 1 else _union(pieces) for pieces in chosen.pieces]
    return Patches(shapely.normalize(polygons), chosen.pixels, chosen.level_sums)


def _union(pieces: list[shapely.Polygon]) -> shapely.Polygon:
    """Pieces that share sides as one polygon; coordinates are small integers, so nothing is rounded.

    The union keeps a vertex wherever a seam crosses a straight side. A normalised ring starts in a corner, and
    simplifying by 0 then takes out exactly those vertices.
    """
    return shapely.simplify(shapely.normalize(shapely.union_all(pieces)), 0, preserve_topology=False)
