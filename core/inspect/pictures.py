"""Attention plots as uint8 `(height, width, 3)` tensors, for any image library or MLflow."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from transect.core.inspect.maps import AttentionMap

# Colour map from low to high: CIELAB lightness rises linearly from 10 to 94 while the hue goes from violet to yellow,
# so it is perceptually uniform, safe for colour-blind readers and legible in greyscale.
_ANCHORS = (
    (40, 4, 81),
    (16, 48, 99),
    (19, 77, 112),
    (31, 106, 128),
    (38, 136, 144),
    (45, 169, 149),
    (49, 204, 123),
    (162, 226, 98),
    (255, 241, 100),
)
_BLANK = 225  # grey level of missing values
_MARK = (255, 70, 60)
_PANEL = 192  # pixels of a panel's longer side, or its number of cells if larger
_GAP = 6


def colours(values: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """Map values `(...)` to uint8 colours `(..., 3)`, from violet at `low` to yellow at `high`; NaN is light grey.

    The limits default to the minimum and the maximum; values outside are clipped.
    """
    values = values.detach().cpu()
    table = torch.tensor(_ANCHORS, dtype=torch.float32)
    place = _share(values, low, high).nan_to_num(0) * (len(table) - 1)
    below = place.floor().clamp(max=len(table) - 2)
    part = (place - below)[..., None]
    mixed = table[below.long()] * (1 - part) + table[below.long() + 1] * part
    return torch.where(values.isnan()[..., None], float(_BLANK), mixed).round().to(torch.uint8)


def heat_map(
    values: Tensor,
    low: float | None = None,
    high: float | None = None,
    *,
    mark: Sequence[int] | None = None,
    image: Tensor | None = None,
    cell: int | None = None,
) -> Tensor:
    """Heat map of values `(rows, columns)`, one coloured square each.

    Args:
        values: NaN marks missing values.
        low: value of the darkest colour, by default the minimum.
        high: value of the brightest colour, by default the maximum.
        mark: (row, column) of a cell to frame in red.
        image: uint8 `(height, width, 3)` of any size, shown in grey below the map; lower values are more transparent.
        cell: side of a square in pixels; by default chosen to fill a panel.
    """
    values = values.detach().cpu()
    cell = max(1, _PANEL // max(values.shape)) if cell is None else cell
    picture = _enlarged(colours(values, low, high), cell)
    if image is not None:
        size = picture.shape[:2]
        grey = F.interpolate(image.movedim(-1, 0)[None].float().cpu(), size, mode="nearest")[0].mean(0)[..., None]
        opacity = 0.15 + 0.65 * _enlarged(_share(values, low, high).nan_to_num(0).sqrt()[..., None], cell)
        picture = (grey + opacity * (picture - grey)).round().to(torch.uint8)
    if mark is not None:
        width = max(2, cell // 6)
        top, left = (max(0, index * cell - width) for index in mark)
        bottom, right = ((index + 1) * cell + width for index in mark)
        inside = picture[mark[0] * cell : (mark[0] + 1) * cell, mark[1] * cell : (mark[1] + 1) * cell].clone()
        picture[top:bottom, left:right] = torch.tensor(_MARK, dtype=torch.uint8)
        picture[mark[0] * cell : (mark[0] + 1) * cell, mark[1] * cell : (mark[1] + 1) * cell] = inside
    return picture


def panels(pictures: Sequence[Tensor], columns: int = 4) -> Tensor:
    """Tile images of one size in rows of `columns`, with white gaps."""
    columns = min(columns, len(pictures))
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    whole = torch.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, dtype=torch.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + _GAP), index % columns * (width + _GAP)
        whole[top : top + height, left : left + width] = picture
    return whole


def matrix(layers: Sequence[Tensor], low: float | None = None, high: float | None = None, *, cell: int = 32) -> Tensor:
    """Heat map of one value per head: one row per layer, first layer on top; one column per head.

    Args:
        layers: `(heads,)` each, e.g. `head_importance(...).values()`; missing heads are grey.
        low: value of the darkest colour, by default the minimum.
        high: value of the brightest colour, by default the maximum.
        cell: side of a square in pixels.
    """
    table = torch.full((len(layers), max(len(layer) for layer in layers)), float("nan"))
    for row, layer in zip(table, layers, strict=True):
        row[: len(layer)] = layer.detach().cpu()
    picture = _enlarged(colours(table, low, high), cell)
    picture[::cell], picture[:, ::cell] = 255, 255
    return picture


def attention_pictures(
    maps: Sequence[AttentionMap], *, sample: int = 0, place: Sequence[int] | None = None, image: Tensor | None = None
) -> dict[str, Tensor]:
    """Plots of recorded maps by artifact path, one panel per head.

    ==================================  =============================================================================
    attention/entropy.png               row: map, column: head; mean entropy, from 0 to that of a uniform map
    attention/03.blocks.1/maps.png      row: query, column: key; mean over the other axes, one scale for all heads
    attention/03.blocks.1/entropy.png   entropy of each query over the grid, from 0 to that of a uniform map
    attention/03.blocks.1/query.png     attention of the query framed in red; one scale per head
    ==================================  =============================================================================

    The number is the index of the call. Grids of more than two axes are shown as the last two, in the query's plane.

    Args:
        maps: recorded maps of few samples: each map is computed in full.
        sample: index in the batch.
        place: position of the query, used for the grids that contain it; otherwise, and by default, the centre.
        image: uint8 `(height, width, 3)`, drawn below `query.png` for grids whose cells are squares of the image.
    """
    pictures, overall = {}, []
    for index, attention in enumerate(maps):
        folder = f"attention/{index:02}.{attention.name or 'model'}"
        grid = attention.query_grid
        weights, entropy = attention.weights()[sample], attention.entropy()[sample]
        uniform = max(math.log(weights.shape[-1]), 1e-12)  # a single key has entropy 0
        overall.append(entropy.flatten(0, -2).mean(0) / uniform)
        mean = weights.flatten(0, -4).mean(0) if weights.ndim > 3 else weights
        pictures[f"{folder}/maps.png"] = panels([heat_map(_shrunk(head), 0, float(mean.max())) for head in mean])

        here = tuple(size // 2 for size in grid)
        if place is not None and len(place) == len(grid) and all(0 <= p < s for p, s in zip(place, grid, strict=True)):
            here = tuple(place)
        columns = 1 if len(grid) == 1 else 4
        heads = _plane(entropy.movedim(-1, 0), [0 if axis in attention.tied else i for axis, i in enumerate(here)])
        pictures[f"{folder}/entropy.png"] = panels([heat_map(_shrunk(head), 0, uniform) for head in heads], columns)

        heads = _plane(attention.at(here)[sample], here)
        rows, across = heads.shape[1:]
        whole = grid == attention.key_grid and max(rows, across) <= _PANEL
        mark = (0, *here)[-2:] if whole else None
        squares = image is not None and image.shape[0] * across == image.shape[1] * rows and image.shape[0] % rows == 0
        beneath = image if whole and squares else None
        shown = [heat_map(_shrunk(head), 0, mark=mark, image=beneath) for head in heads]
        pictures[f"{folder}/query.png"] = panels(shown, columns)
    if overall:
        pictures["attention/entropy.png"] = matrix(overall, 0, 1)
    return pictures


def _share(values: Tensor, low: float | None, high: float | None) -> Tensor:
    """Values scaled to 0..1 between the limits and clipped; NaN is kept."""
    values = values.to(torch.float32)
    known = values[~values.isnan()]
    if low is None:
        low = float(known.min()) if len(known) else 0.0
    if high is None:
        high = float(known.max()) if len(known) else 1.0
    return ((values - low) / max(high - low, 1e-12)).clamp(0, 1)


def _plane(values: Tensor, place: Sequence[int]) -> Tensor:
    """The last two axes of `(heads, *grid)` through a position; a 1-D grid becomes a plane of one row."""
    return values[:, None] if values.ndim == 2 else values.movedim(0, -3)[tuple(place)[:-2]]


def _shrunk(values: Tensor) -> Tensor:
    """Average adjacent cells if there are more of them than a panel has pixels."""
    rows, columns = values.shape
    return F.adaptive_avg_pool2d(values[None].float(), (min(rows, _PANEL), min(columns, _PANEL)))[0]


def _enlarged(picture: Tensor, cell: int) -> Tensor:
    return picture.repeat_interleave(cell, 0).repeat_interleave(cell, 1)
