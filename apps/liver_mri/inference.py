"""Segment a whole volume: windows blended on the working grid, flips averaged, and back slab by slab.

MONAI's sliding windows and inverse hold the logits of all windows, a count map and a float32 copy of the volume on its
own grid. Here blending needs one map, since the weights of windows on a regular lattice are a product of one-axis sums,
and only a slab at a time exists on the volume's own grid.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transect.apps.liver_mri.config import AXES
from transect.core.precision import Precision, autocast
from transect.data_adapters.base import BadInput
from transect.data_adapters.liver_mri.segmentation import Slab
from transect.data_adapters.volume.resample import reorient, resample
from transect.data_adapters.volume.volume import Grid

SLAB = 1 << 22
"""Voxels of a slab."""

Map = NDArray[np.float32]


class Windows(NamedTuple):
    """How a volume is cut into windows: their size, the share that neighbours have in common, and the batch size."""

    size: tuple[int, int, int]
    overlap: float
    batch: int


class Flipped(NamedTuple):
    """Probabilities `(X, Y, Z)` on the working grid: the mean, smallest and largest over flips."""

    mean: Map
    lowest: Map | None = None
    highest: Map | None = None


def predict_flips(
    model: nn.Module,
    image: Map,
    windows: Windows,
    axes: str,
    precision: Precision,
    progress: Callable[[float], None],
) -> Flipped:
    """The probability of liver, averaged over all flips of the image along `axes`.

    Args:
        model: Gives a tuple of logits, the prediction first.
        image: float32 `(X, Y, Z)`, normalized.
        windows: How to cut it.
        axes: Letters of "xyz"; none for the image as it is.
        precision: Of the network.
        progress: Is given the finished share.
    """
    counts = range(len(axes) + 1)
    flips = [tuple(AXES.index(axis) for axis in some) for count in counts for some in combinations(axes, count)]

    def flipped(number: int) -> Map:
        def advance(done: float) -> None:
            progress((number + done) / len(flips))

        part = predict_windows(model, np.flip(image, flips[number]), windows, precision, advance)
        return np.flip(part, flips[number])

    mean = flipped(0)
    if len(flips) == 1:
        return Flipped(mean)
    lowest, highest = mean.copy(), mean.copy()
    for number in range(1, len(flips)):
        part = flipped(number)
        mean += part
        np.minimum(lowest, part, out=lowest)
        np.maximum(highest, part, out=highest)
    mean /= np.float32(len(flips))
    return Flipped(mean, lowest, highest)


def predict_windows(
    model: nn.Module, image: Map, windows: Windows, precision: Precision, progress: Callable[[float], None]
) -> Map:
    """The probability of liver in an image `(X, Y, Z)`, whose windows are blended with Gaussian weights."""
    device = next(model.parameters()).device
    shape = image.shape
    size = smallest_window(windows.size, shape)
    padded = [max(side, n) for side, n in zip(size, shape, strict=True)]
    starts = [_starts(n, side, windows.overlap) for n, side in zip(padded, size, strict=True)]
    weights = [_gaussian(side) for side in size]
    weight = weights[0][:, None, None] * weights[1][:, None] * weights[2]
    blended = np.zeros(padded, np.float32)
    places = [tuple(map(slice, start, np.add(start, size))) for start in product(*starts)]
    for first in range(0, len(places), windows.batch):
        batch = places[first : first + windows.batch]
        inputs = np.stack([_padded(image[place], size) for place in batch])[:, None]
        with torch.inference_mode(), autocast(precision, device):
            logits = model(torch.from_numpy(inputs).to(device))[0]
        for place, part in zip(batch, logits.float().cpu().numpy()[:, 0], strict=True):
            blended[place] += part * weight
        progress(min(first + len(batch), len(places)) / len(places))
    blended = blended[: shape[0], : shape[1], : shape[2]]
    for axis, (places_along, along) in enumerate(zip(starts, weights, strict=True)):
        total = np.zeros(padded[axis], np.float32)
        for start in places_along:
            total[start : start + size[axis]] += along
        blended /= total[: shape[axis]].reshape([-1 if other == axis else 1 for other in range(3)])
    return torch.from_numpy(blended).sigmoid_().numpy()


def slabs(maps: Flipped, working: Grid, grid: Grid, resampled: bool, name: str) -> Iterator[Slab]:
    """Bring probabilities from the working grid to that of the volume, a few slices at a time.

    Raises:
        BadInput: probabilities are not finite.
    """
    step = max(SLAB // (grid.shape[0] * grid.shape[1]), 1)
    known = [one if resampled else reorient(one, working, grid.orientation)[0] for one in maps if one is not None]
    for start in range(0, grid.shape[2], step):
        place = slice(start, min(start + step, grid.shape[2]))
        parts = [resample(one, working, grid, slices=place) if resampled else one[..., place] for one in known]
        if not np.isfinite(parts[0]).all():
            advice = "set precision fp32, or train the model again"
            raise BadInput(name, "prediction", "probabilities that are not finite", "numbers", advice)
        yield Slab(start, *parts)


def average(predictions: Sequence[Iterator[Slab]]) -> Iterator[Slab]:
    """The mean of several predictions for one volume, with the smallest and largest probability among them."""
    for parts in zip(*predictions, strict=True):
        probabilities = [slab.probability for slab in parts]
        lowest = [slab.probability if slab.lowest is None else slab.lowest for slab in parts]
        highest = [slab.probability if slab.highest is None else slab.highest for slab in parts]
        mean = np.mean(probabilities, axis=0)
        yield Slab(parts[0].start, mean, np.minimum.reduce(lowest), np.maximum.reduce(highest))


def smallest_window(window: Sequence[int], shape: Sequence[int]) -> list[int]:
    """A window no larger than a volume of `shape` needs: multiples of 16, one of them above, as SRMA-Mamba takes."""
    size = [min(side, -(-n // 16) * 16) for side, n in zip(window, shape, strict=True)]
    return size if max(size) > 16 else [32, *size[1:]]


def _starts(n: int, side: int, overlap: float) -> list[int]:
    """Where windows of `side` voxels start that cover `n` voxels evenly and share at least `overlap` of a window."""
    step = max(round(side * (1 - overlap)), 1)
    count = -(-(n - side) // step) + 1
    return [round(start) for start in np.linspace(0, n - side, count)]


def _gaussian(side: int) -> Map:
    """Weights of a window along one axis, with a standard deviation of an eighth of it, as in MONAI."""
    places = np.arange(side) - (side - 1) / 2
    return np.maximum(np.exp(-0.5 * (places / (side / 8)) ** 2), 1e-3).astype(np.float32)


def _padded(values: Map, size: list[int]) -> Map:
    return np.pad(values, [(0, side - n) for side, n in zip(size, values.shape, strict=True)])
