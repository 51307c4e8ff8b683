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

PROBABILITY_STEPS = 1_000_000
"""Probabilities are summed as integers."""


@dataclass(frozen=True)
class Patches:
    """Connected changed regions, as columns of equal length.

    Args:
        polygons: Shapely Polygons in (column, row) coordinates.
        pixels: Sizes in pixels, int64.
        level_sums: Sums of the levels of their pixels, int64.
        probability_sums: Sums of the probabilities of change of their pixels in steps of 1 / PROBABILITY_STEPS, int64,
            so that they do not depend on the order of the pixels; None without a calibration.
    """

    polygons: np.ndarray
    pixels: np.ndarray
    level_sums: np.ndarray
    probability_sums: np.ndarray | None = None


@dataclass(frozen=True)
class _Components:
    """Connected components in progress: polygon pieces, sums, and the raster index of the last pixel of each."""

    pieces: list[list[shapely.Polygon]]
    pixels: np.ndarray
    level_sums: np.ndarray
    probability_sums: np.ndarray
    last: np.ndarray


def is_changed(levels: np.ndarray, threshold_level: int) -> np.ndarray:
    """Where `levels` (uint8) reach the threshold; False where there is no data."""
    return (levels >= threshold_level) & (levels != NODATA)


def patches(
    strips: Iterable[tuple[int, np.ndarray]], threshold_level: int, probabilities: np.ndarray | None = None
) -> Iterator[Patches]:
    """Polygonize the changed patches of a stream of strips, merged across strip boundaries.

    Pixels are 4-connected: regions that touch only at a corner would give self-touching polygons, which GIS tools
    reject. Polygons are valid, with holes; their vertices are pixel corners where the outline turns; and they do not
    depend on how the raster is cut into strips. Memory holds one strip and the patches that reach its last row.

    Args:
        strips: First row and levels `(rows, width)` uint8 of consecutive strips.
        threshold_level: Lowest level that counts as changed.
        probabilities: Of change by level, `(256,)`, or None.

    Yields:
        After each strip, the patches that ended in it, in the order of their last pixels.
    """
    steps = np.zeros(256) if probabilities is None else np.rint(np.nan_to_num(probabilities) * PROBABILITY_STEPS)
    pending = _Components([], *np.zeros((4, 0), np.int64))
    above: np.ndarray | None = None  # index + 1 of the open component at each column of the row above, 0 for none
    for row, levels in strips:
        labels, count = ndimage.label(is_changed(levels, threshold_level))
        groups = _groups(pending, above, labels, count)
        merged = _merge(pending, _components(labels, count, levels, steps, row), groups)
        bottom = labels[-1].astype(np.int64)
        open_groups, number = np.unique(groups[len(pending.pieces) + bottom[bottom > 0] - 1], return_inverse=True)
        above = np.zeros_like(bottom)
        above[bottom > 0] = number + 1
        finished = np.setdiff1d(np.arange(len(merged.pieces)), open_groups)
        yield _finished(_select(merged, finished), probabilities is not None)
        pending = _select(merged, open_groups)
    yield _finished(pending, probabilities is not None)


def _groups(pending: _Components, above: np.ndarray | None, labels: np.ndarray, count: int) -> np.ndarray:
    """The merged component of each open component, followed by that of each of the `count` new labels."""
    size = len(pending.pieces) + count
    if above is None or not size:
        return np.arange(size)
    joined = (above > 0) & (labels[0] > 0)
    links = above[joined] - 1, len(pending.pieces) + labels[0, joined] - 1
    graph = coo_array((np.ones(joined.sum(), bool), links), shape=(size, size))
    return connected_components(graph, directed=False)[1]


def _components(labels: np.ndarray, count: int, levels: np.ndarray, steps: np.ndarray, row: int) -> _Components:
    """The labelled regions of the strip that starts at `row`, indexed by label - 1."""

    def sums(weights: np.ndarray) -> np.ndarray:
        return np.bincount(owners, weights=weights, minlength=count + 1)[1:].astype(np.int64)

    positions = np.flatnonzero(labels)
    owners, values = labels.ravel()[positions], levels.ravel()[positions]
    last = np.zeros(count + 1, np.int64)
    last[owners] = row * labels.shape[1] + positions  # positions ascend, and the last assignment to a label wins
    return _Components(
        pieces=[[polygon] for polygon in _polygonize(labels, count, row)],
        pixels=np.bincount(owners, minlength=count + 1)[1:],
        level_sums=sums(values),
        probability_sums=sums(steps[values]),
        last=last[1:],
    )


def _polygonize(labels: np.ndarray, count: int, row: int) -> np.ndarray:
    """One polygon for each label, in the order of the labels."""
    if not count:
        return np.zeros(0, object)
    outlines = list(shapes(labels, mask=labels > 0, connectivity=4, transform=Affine.translation(0, row)))
    rings = [ring for geometry, _ in outlines for ring in geometry["coordinates"]]
    lengths = [len(ring) for ring in rings]
    linear = shapely.linearrings(np.concatenate(rings), indices=np.repeat(np.arange(len(rings)), lengths))
    owners = np.repeat(np.arange(count), [len(geometry["coordinates"]) for geometry, _ in outlines])
    ordered = np.empty(count, object)
    ordered[[int(label) - 1 for _, label in outlines]] = shapely.polygons(linear, indices=owners)
    return ordered


def _merge(pending: _Components, new: _Components, groups: np.ndarray) -> _Components:
    count = int(groups.max(initial=-1)) + 1
    pieces: list[list[shapely.Polygon]] = [[] for _ in range(count)]
    for group, added in zip(groups.tolist(), pending.pieces + new.pieces, strict=True):
        pieces[group] += added
    totals = np.zeros((4, count), np.int64)
    for total, name in zip(totals, ("pixels", "level_sums", "probability_sums"), strict=False):
        np.add.at(total, groups, np.concatenate([getattr(pending, name), getattr(new, name)]))
    np.maximum.at(totals[3], groups, np.concatenate([pending.last, new.last]))
    return _Components(pieces, *totals)


def _select(components: _Components, which: np.ndarray) -> _Components:
    pieces = [components.pieces[index] for index in which.tolist()]
    names = ("pixels", "level_sums", "probability_sums", "last")
    return _Components(pieces, *(getattr(components, name)[which] for name in names))


def _finished(components: _Components, calibrated: bool) -> Patches:
    chosen = _select(components, np.argsort(components.last))
    polygons = np.empty(len(chosen.pieces), object)
    polygons[:] = [pieces[0] if len(pieces) == 1 else _union(pieces) for pieces in chosen.pieces]
    probability_sums = chosen.probability_sums if calibrated else None
    return Patches(shapely.normalize(polygons), chosen.pixels, chosen.level_sums, probability_sums)


def _union(pieces: list[shapely.Polygon]) -> shapely.Polygon:
    """The union of pieces that share sides; coordinates are small integers, so the result is exact.

    The union keeps a vertex where a strip boundary crosses a straight side. A normalized ring starts at a corner, so
    simplifying with tolerance 0 removes exactly those vertices.
    """
    return shapely.simplify(shapely.normalize(shapely.union_all(pieces)), 0, preserve_topology=False)
