"""Facts about an image pair as it was read: geometry, values, nodata and labels."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from transect.data_adapters.change_detection.coregistration import Coregistration
from transect.data_adapters.change_detection.land_cover import transitions
from transect.data_adapters.change_detection.maps import NODATA, Grid
from transect.data_adapters.change_detection.product_facts import DATES, product_facts
from transect.data_adapters.change_detection.sampling import Fills
from transect.data_adapters.change_detection.scene import Scene

METRES_PER_DEGREE = 111_320.0
SUSPECT_ZEROS = 0.05
"""Share of valid pixels that are zero in all bands of one date from which undeclared nodata is suspected."""

DARK = 0.25
"""Share of the range of an integer type that the values of a picture fill; a smaller one is reported."""

MOST_TRANSITIONS = 12
"""Number of transitions between classes of land cover that are listed."""

Facts = dict[str, float | str]


def pixel_size(grid: Grid) -> float:
    """The side of a square of a pixel's area, in metres; NaN without a coordinate reference system.

    For geographic coordinates, at the centre of the grid on a sphere.
    """
    if grid.crs is None or not (grid.crs.is_projected or grid.crs.is_geographic):
        return math.nan
    area = abs(grid.transform.determinant)
    if grid.crs.is_projected:
        return math.sqrt(area) * float(grid.crs.linear_units_factor[1])
    _, _, _, down, across, north = grid.transform[:6]
    latitude = north + down * grid.width / 2 + across * grid.height / 2
    return math.sqrt(area * math.cos(math.radians(latitude))) * METRES_PER_DEGREE


def facts_of(scene: Scene, noted: Sequence[str] = ()) -> Facts:
    """Read all pixels of a pair, and describe it.

    Args:
        scene: The pair.
        noted: Warnings that its dates and products gave.

    Returns:
        `size`, `crs`, `pixel_size_m`, `bands`, `before` and `after` (dtype, range and date), what their products and
        quality bands say, `alignment`, `shift` and `shift_pixels` where found, `valid_percent`, `label` where there is
        one, `from_to` where the land cover before and after is known, and `warnings`.

    Raises:
        BadInput: pixels or labels cannot be read.
    """
    grid, totals, coregistration = scene.grid, _Totals(), Coregistration(scene.grid)
    filled = scene.notes  # before the strips are read, so that undeclared fill is left out
    for strip in scene.strips():
        totals.add(strip.before, strip.after, strip.valid)
        coregistration.add(strip)
        inside = strip.valid if scene.area else slice(None)
        if scene.label:
            totals.add_labels(scene.labels(strip.row, len(strip.valid))[inside])
        if scene.cover[0]:
            before, after = scene.land_cover_at(strip.row, len(strip.valid))
            totals.add_land_cover(before[inside], after[inside], scene.land_cover.classes)
    facts: Facts = {"size": f"{grid.width} x {grid.height} pixels", "crs": str(grid.crs) if grid.crs else "none"}
    if math.isfinite(size := pixel_size(grid)):
        facts["pixel_size_m"] = round(size, 6)
    facts["bands"] = totals.bands
    for name, dtype, day, limits in zip(DATES, scene.dtype, scene.dates, totals.limits, strict=True):
        facts[name] = ", ".join(filter(None, [str(dtype), _range(dtype, *limits), day]))
    of_products, product_warnings = product_facts(scene)
    facts |= of_products
    facts["alignment"] = _alignment(scene)
    shift_facts, shift_warnings = coregistration.findings()
    facts |= shift_facts
    facts["valid_percent"] = round(100 * totals.valid / (grid.width * grid.height), 4)
    if scene.label:
        known = totals.labels[0] + totals.labels[1]
        unknown = 100 * totals.labels[NODATA] / totals.labels.sum()
        shares = f"{100 * totals.labels[1] / max(known, 1):.4g} % changed, {unknown:.4g} % unknown"
        facts["label"] = ", ".join(filter(None, [shares, scene.reference.note]))
    if scene.cover[0]:
        facts["from_to"] = _shares(totals.transitions)
    warnings = [*noted, *product_warnings, *shift_warnings, *filled, *totals.warnings(scene.fills)]
    if scene.label:
        warnings += scene.reference.warnings(grid)
    return facts | ({"warnings": "; ".join(warnings)} if warnings else {})


def _range(dtype: np.dtype, low: float, high: float) -> str:
    """The range of the values, and the share of that of their integer type if it is small."""
    share = high / np.iinfo(dtype).max if dtype.kind in "iu" else 1
    return f"{low:g} to {high:g}" + (f" ({100 * share:.2g} % of the range of {dtype})" if share < DARK else "")


def _shares(counts: Counter[str]) -> str:
    """The shares of the most frequent transitions among the pixels that changed."""
    listed = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name} {100 * count / counts.total():.3g} %" for name, count in listed[:MOST_TRANSITIONS]]
    left = len(counts) - len(shown)
    return "; ".join(shown + ([f"{left} others"] if left else [])) or "nothing"


def _alignment(scene: Scene) -> str:
    if scene.alignments[0].shift is None:
        return "the first date is resampled to the grid of the second"
    column, row = scene.offset
    return "on one grid" + (f", {column:.3f} columns and {row:.3f} rows apart" if abs(column) + abs(row) > 1e-3 else "")


class _Totals:
    """Running totals over the strips of a pair."""

    def __init__(self) -> None:
        self.bands = self.valid = 0
        self.zeros = [0, 0]
        self.limits = [(math.inf, -math.inf)] * 2
        self.labels = np.zeros(256, np.int64)
        self.transitions: Counter[str] = Counter()

    def add(self, before: np.ndarray, after: np.ndarray, valid: np.ndarray) -> None:
        self.bands = len(before)
        self.valid += int(valid.sum())
        for number, image in enumerate((before, after)):
            values = image[:, valid]
            if values.size:
                low, high = self.limits[number]
                self.limits[number] = (min(low, float(values.min())), max(high, float(values.max())))
                self.zeros[number] += int((values == 0).all(axis=0).sum())

    def add_land_cover(self, before: np.ndarray, after: np.ndarray, classes: Sequence[str]) -> None:
        for name, where in transitions(before, after, classes).items():
            self.transitions[name] += int(where.sum())

    def add_labels(self, labels: np.ndarray) -> None:
        self.labels += np.bincount(labels.ravel(), minlength=256)

    def warnings(self, fills: Fills) -> list[str]:
        return [
            f"{100 * zeros / self.valid:.2g} % of the pixels of {name} are 0 in all bands: "
            "if 0 means no data, set read.nodata 0"
            for name, zeros, fill in zip(DATES, self.zeros, fills, strict=True)
            if zeros > SUSPECT_ZEROS * self.valid and not (fill and fill.value == 0)
        ]
