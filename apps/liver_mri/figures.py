"""Pictures of a segmented liver: three planes with contours, and the files of an interactive view."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Picture, View
from transect.apps.canvas import panel, picture
from transect.apps.liver_mri.mesh import surface, write_ply
from transect.data_adapters.liver_mri.segmentation import Segmentation
from transect.data_adapters.volume.cases import LabelledVolume
from transect.data_adapters.volume.nifti import write_nifti
from transect.data_adapters.volume.resample import reorient, resample, with_spacing
from transect.data_adapters.volume.volume import AXES, Grid, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_VIEW = 4_000_000
"""Maximum voxels of an interactive view; larger volumes are reduced."""

LARGEST_SURFACE = 300_000
"""Maximum triangles of its surface; that of a mask of scattered voxels is left out."""

LARGEST_WIDTH, LARGEST_HEIGHT, GAP = 960, 960, 6
"""Of a picture, and between its planes, in pixels."""

PREDICTION_COLOUR, LABEL_COLOUR = "#e69f00", "#56b4e9"
"""Orange and sky blue of Okabe and Ito's palette, which readers with any colour vision tell apart."""

PLANES = ("Sagittal", "Coronal", "Axial")
"""By the axis that is perpendicular to them, in RAS."""

CONVENTION = "Radiological convention: the patient's left is on the right of the axial and coronal planes."


class LiverPreview:
    """Three planes through the largest cross-sections of the predicted liver, or of the label if none is predicted."""

    def __init__(self, prediction: Segmentation, sample: LabelledVolume, labels: bool) -> None:
        """Collect pictures of a segmentation.

        Args:
            prediction: The segmentation.
            sample: What it was made from.
            labels: Whether to compare with the label of the sample.
        """
        self._prediction, self._label = prediction, sample.label if labels else None

    def add(self, block: Any) -> None:
        """Nothing: the segmentation keeps its mask."""

    def pictures(self) -> dict[str, Picture]:
        """The planes of the image alone, with the predicted contour, and with a label also with both contours."""
        volume, mask, label = self._prediction.volume, self._prediction.mask, self._label
        planes = Planes(volume, mask, mask if mask.any() or label is None else label)
        prediction = {"Prediction": (mask, PREDICTION_COLOUR)}
        pictures = {"image": planes.picture({}), "prediction": planes.picture(prediction)}
        if label is not None:
            pictures["comparison"] = planes.picture(prediction | {"Label": (label, LABEL_COLOUR)})
        return pictures


@dataclass(frozen=True, eq=False)
class Planes:
    """Three perpendicular planes of a volume, all at one scale.

    Args:
        volume: The volume.
        predicted: The mask whose surface is drawn next to the planes.
        centred: The mask through whose largest cross-sections they are; if empty, they are in the middle.
    """

    volume: Volume
    predicted: NDArray[np.uint8]
    centred: NDArray[np.uint8]

    @cached_property
    def grid(self) -> Grid:
        """Straight, in RAS, with the spacing of the volume."""
        return with_spacing(_in_ras(self.volume.grid), (None, None, None))

    @cached_property
    def place(self) -> tuple[int, int, int]:
        """The index on `grid` at which all three planes meet."""
        mask, turned = reorient(self.centred, self.volume.grid)
        areas = [mask.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.int64) for axis in range(3)]
        found = [int(area.argmax()) if area.any() else len(area) // 2 for area in areas]
        index = np.round(self.grid.index(turned.world(found))).astype(int)
        i, j, k = np.clip(index, 0, np.array(self.grid.shape) - 1)
        return int(i), int(j), int(k)

    @cached_property
    def window(self) -> tuple[float, float]:
        """The signals that are black and white."""
        return window(self.volume.values)

    @cached_property
    def mesh(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The predicted surface."""
        return surface(self.predicted, self.volume.grid)

    def cut(self, values: NDArray[Any], axis: int) -> NDArray[np.float32]:
        """The plane perpendicular to `axis` as rows from top to bottom, in radiological convention."""
        shape, affine = list(self.grid.shape), self.grid.affine.copy()
        shape[axis] = 1
        affine[:3, 3] += self.place[axis] * affine[:3, axis]
        plane = resample(values, self.volume.grid, Grid((shape[0], shape[1], shape[2]), affine))
        # Index 0 is at the patient's left, back or foot: the last one comes first in rows and columns.
        return np.asarray(plane.squeeze(axis)[::-1, ::-1].T, np.float32)

    def picture(self, masks: dict[str, tuple[NDArray[np.uint8], str]]) -> Picture:
        """Draw the planes with the contours of `masks`, which have a name and a colour."""
        x, y, z = (n * step for n, step in zip(self.grid.shape, self.grid.spacing, strict=True))
        scale = min((LARGEST_WIDTH - 3 * GAP) / (x + y), (LARGEST_HEIGHT - 3 * GAP) / (y + z))
        a, b, c = (max(round(size * scale), 1) for size in (x, y, z))
        width, height = a + b + 3 * GAP, b + c + 3 * GAP

        def draw(figure: Figure) -> None:
            figure.set_facecolor("black")
            lower, right = c + 2 * GAP, a + 2 * GAP
            self._draw(panel(figure, GAP, lower, b + 2 * GAP, GAP), 2, masks, scale)
            self._draw(panel(figure, GAP, GAP, b + 2 * GAP, b + 2 * GAP), 1, masks, scale)
            self._draw(panel(figure, right, GAP, GAP, b + 2 * GAP), 0, masks, scale)
            if masks:
                self._explain(panel(figure, right, lower, GAP, GAP), masks)
                top = 24 * len(masks) + 24
                self._model(panel(figure, right, lower + 40, GAP, top), scale)

        return picture(draw, height, width, parse_math=False)

    def _draw(self, axes: Axes, axis: int, masks: dict[str, tuple[NDArray[np.uint8], str]], scale: float) -> None:
        from matplotlib.patheffects import withStroke

        outline = [withStroke(linewidth=2.5, foreground="black")]
        across, up = (other for other in range(3) if other != axis)
        image = self.cut(self.volume.values, axis)
        rows, columns = image.shape
        low, high = self.window
        axes.set_axis_off()
        axes.imshow(image, "gray", vmin=low, vmax=high, aspect="auto", interpolation="bicubic")
        for mask, colour in masks.values():
            # A margin of zeros closes the contour of a liver that reaches the edge.
            edge = np.pad(self.cut(mask, axis), 1)
            if edge.max() >= 0.5:
                lines = axes.contour(
                    np.arange(-1, columns + 1), np.arange(-1, rows + 1), edge, [0.5], colors=[colour], linewidths=1.6
                )
                lines.set_path_effects([withStroke(linewidth=2.6, foreground="#00000090")])
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(rows - 0.5, -0.5)
        style: Any = {
            "color": "white",
            "fontsize": 10,
            "path_effects": outline,
            "transform": axes.transAxes,
            "clip_on": False,
        }
        position = self.grid.world(self.place)[axis]
        name = f"{PLANES[axis]}  {AXES[axis][int(position >= 0)]} {abs(position):.0f} mm"
        inset_x, inset_y = 7 / (columns * self.grid.spacing[across] * scale), 7 / (rows * self.grid.spacing[up] * scale)
        axes.text(inset_x, inset_y, name, ha="left", va="bottom", **style)
        if axis == 2:
            bar = max(length for length in (10, 20, 50, 100) if length <= max(columns * self.grid.spacing[0] / 3, 10))
            end, half = 1 - 2 * inset_x, bar / self.grid.spacing[0] / columns / 2
            axes.plot([end - 2 * half, end], [2 * inset_y] * 2, color="white", linewidth=2, transform=axes.transAxes)
            axes.text(end - half, 2.6 * inset_y, f"{bar} mm", ha="center", va="bottom", **style)
        style |= {"fontsize": 12, "fontweight": "bold"}
        axes.text(inset_x, 0.5, AXES[across][1], ha="left", va="center", **style)
        axes.text(1 - inset_x, 0.5, AXES[across][0], ha="right", va="center", **style)
        axes.text(0.5, 1 - inset_y, AXES[up][1], ha="center", va="top", **style)
        axes.text(0.5, inset_y, AXES[up][0], ha="center", va="bottom", **style)

    def _explain(self, axes: Axes, masks: dict[str, tuple[NDArray[np.uint8], str]]) -> None:
        """The colour and the volume of each mask, and the convention."""
        axes.set_axis_off()
        width, height = axes.bbox.width, axes.bbox.height
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        top = 24
        for name, (mask, colour) in masks.items():
            millilitres = float(mask.sum(dtype=np.int64)) * self.volume.grid.voxel_volume / 1000
            axes.plot([14, 38], [top, top], color=colour, linewidth=3)
            axes.text(48, top, f"{name}: liver of {millilitres:.0f} mL", color="white", va="center")
            top += 24
        text = fill(f"Surface: the prediction from the front. {CONVENTION}", max(int(width / 6.5), 12))
        axes.text(14, height - 10, text, color="#b0b0b0", fontsize=9, va="bottom", linespacing=1.4)

    def _model(self, axes: Axes, scale: float) -> None:
        """The predicted surface from the front, at the scale of the planes if there is room."""
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import to_rgb

        axes.set_axis_off()
        vertices, triangles = self.mesh
        if not len(triangles):
            return
        corners = vertices[triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        facing = normal[:, 1] / np.maximum(np.linalg.norm(normal, axis=1), 1e-9)
        seen = np.flatnonzero(facing > 0)
        seen = seen[np.argsort(corners[seen, :, 1].mean(axis=1))]
        colours = np.outer(0.25 + 0.75 * facing[seen], to_rgb(PREDICTION_COLOUR))
        flat: Any = corners[seen][..., [0, 2]]
        axes.add_collection(PolyCollection(flat, facecolors=colours, edgecolors=colours))
        low, high = vertices.min(axis=0)[[0, 2]], vertices.max(axis=0)[[0, 2]]
        room = np.array([axes.bbox.width, axes.bbox.height]) / scale
        half = room / 2 * max(1.0, float(((high - low) * 1.05 / room).max()))
        middle = (low + high) / 2
        axes.set_xlim(middle[0] + half[0], middle[0] - half[0])
        axes.set_ylim(middle[1] - half[1], middle[1] + half[1])


def window(values: NDArray[Any]) -> tuple[float, float]:
    """The 0.5 and 99.5 percentiles, of at least a million voxels of a large volume; the second is larger."""
    step = max(1, round((values.size / 1e6) ** (1 / 3)))
    low, high = np.percentile(values[::step, ::step, ::step], (0.5, 99.5))
    return float(low), float(high) if high > low else float(low) + 1


def volume_view(prediction: Segmentation, folder: Path) -> list[View]:
    """Write the files of an interactive view below `folder`: image and mask in RAS, at most LARGEST_VIEW voxels.

    Args:
        prediction: Drained.
        folder: The folder of the case; its `statistics.json`, if there is one, is shown as well.
    """
    volume = prediction.volume
    grid = display_grid(volume.grid)
    low, high = window(volume.values)
    image = (resample(volume.values, volume.grid, grid) - low) * (255 / (high - low))
    mask = resample(prediction.mask, volume.grid, grid, order=1) >= 0.5
    files = ["preview/volume.nii.gz", "preview/mask.nii.gz"]
    (folder / "preview").mkdir(exist_ok=True)
    write_nifti(folder / files[0], np.clip(np.round(image), 0, 255).astype(np.uint8), grid)
    write_nifti(folder / files[1], mask.astype(np.uint8), grid)
    vertices, triangles = surface(mask.astype(np.uint8), grid)
    if 0 < len(triangles) <= LARGEST_SURFACE:
        files.append("preview/surface.ply")
        write_ply(folder / files[-1], vertices, triangles)
    if (folder / "statistics.json").is_file():
        files.append("statistics.json")
    found = "The predicted liver in orange." if mask.any() else "No liver is predicted."
    return [View("volume", tuple(files), f"{found} {CONVENTION}")]


def display_grid(grid: Grid) -> Grid:
    """The straight grid in RAS that covers `grid`, with axes that are only as coarse as LARGEST_VIEW asks for."""
    turned = _in_ras(grid)
    spacing = np.array(turned.spacing)
    extent, step = spacing * turned.shape, spacing.min()
    while np.prod(np.ceil(extent / np.maximum(spacing, step))) > LARGEST_VIEW:
        step *= 1.02
    x, y, z = np.maximum(spacing, step)
    return with_spacing(turned, (float(x), float(y), float(z)))


def _in_ras(grid: Grid) -> Grid:
    return reorient(np.broadcast_to(np.uint8(0), grid.shape), grid)[1]
