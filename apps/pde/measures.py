"""Sufficient statistics of the metrics of a rollout, accumulated block by block.

Written here because no library measures fields with missing values that come in blocks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.pde.diagnostics import energy_spectrum, spectrum_error, sum_shells
from transect.data_adapters.pde.simulation import Axis

Measures = dict[str, NDArray[Any]]
PERSISTENCE = "persistence_"
LOW_BELOW, MID_BELOW = 4, 12
"""Wave numbers at which PDEBench separates the low, mid and high bands."""
CELLS_AT_ONCE = 2**20
"""Number of values processed at a time, which bounds the memory of float64 and complex copies."""


def frame_measures(
    prediction: NDArray[np.float32],
    truth: NDArray[np.float32],
    last: NDArray[np.float32],
    axes: Sequence[Axis],
) -> Measures:
    """The statistics of one block of a rollout; `joined` concatenates those of all its blocks.

    Cells count where the truth and the last known frame have values. A prediction that is not finite there has blown
    up.

    Args:
        prediction: float32 `(frames, channels, *shape)`, in the simulation's units.
        truth: the same frames of the simulation, NaN where missing.
        last: float32 `(channels, *shape)`, the last known frame, which persistence repeats; NaN where the model
            predicts nothing.
        axes: the spatial axes; empty on a mesh, which has neither boundary nor spectrum.

    Returns:
        By name, `(frames, channels)`: `cells` int64, the others float64 with NaN where there is no finite number.
    """
    counted = np.isfinite(truth) & np.isfinite(last)
    step = max(1, CELLS_AT_ONCE // max(prediction[:1].size, 1))
    parts = [slice(start, start + step) for start in range(0, len(prediction), step)]
    return joined([_measures(prediction[part], truth[part], last, axes, counted[part]) for part in parts])


def joined(blocks: Sequence[Measures]) -> Measures:
    """Concatenate the measures of consecutive blocks of one rollout along the frames."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}


def _measures(
    prediction: NDArray[np.float32],
    truth: NDArray[np.float32],
    last: NDArray[np.float32],
    axes: Sequence[Axis],
    counted: NDArray[np.bool_],
) -> Measures:
    expected = np.where(counted, truth, 0).astype(np.float64)
    # Infinities and NaN are expected where a rollout blows up.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean, variance = _moments(expected, counted)
        measures = {"square_truth": variance + mean**2, "mean_truth": mean, "variance_truth": variance}
        for of, frames in (("", prediction), (PERSISTENCE, np.broadcast_to(last, truth.shape))):
            predicted = np.where(counted, frames, 0).astype(np.float64)
            measures |= {of + name: values for name, values in _errors(predicted, expected, counted).items()}
        if axes:
            measures |= _grid_errors(np.where(counted, prediction, 0).astype(np.float64), expected, counted, axes)
    finite = {name: np.where(np.isfinite(values), values, np.nan) for name, values in measures.items()}
    return {"cells": _over_space(counted), **finite}


def _errors(
    predicted: NDArray[np.float64], expected: NDArray[np.float64], counted: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    error_mean, error_variance = _moments(predicted - expected, counted)
    return {
        "square_error": error_variance + error_mean**2,
        "mean_error": error_mean,
        "correlation": _correlation(predicted, expected, counted),
    }


def _correlation(
    predicted: NDArray[np.float64], expected: NDArray[np.float64], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Pearson correlation of each frame and channel: 0 for a constant prediction, NaN for a constant truth."""
    (mean, variance), (true_mean, true_variance) = _moments(predicted, counted), _moments(expected, counted)
    together = np.where(counted, (predicted - _wide(mean, predicted)) * (expected - _wide(true_mean, predicted)), 0)
    correlation = _over_space(together) / _over_space(counted) / np.sqrt(variance * true_variance)
    correlation[variance <= 1e-14 * mean**2] = 0
    correlation[true_variance <= 1e-14 * true_mean**2] = np.nan
    return correlation


def _grid_errors(
    predicted: NDArray[np.float64], expected: NDArray[np.float64], counted: NDArray[np.bool_], axes: Sequence[Axis]
) -> dict[str, NDArray[np.float64]]:
    """Errors at the boundary and in Fourier space."""
    error = predicted - expected
    faces = [(np.take(error, (0, -1), dim), np.take(counted, (0, -1), dim)) for dim in range(2, error.ndim)]
    square = sum(_over_space(values**2) for values, _ in faces) / sum(_over_space(cells) for _, cells in faces)
    spectra = energy_spectrum(predicted, counted, axes), energy_spectrum(expected, counted, axes)
    return {"boundary_error": np.sqrt(square), **_bands(error), "spectrum_error": spectrum_error(*spectra)}


def _bands(error: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Mean amplitude of the error over the shells of each of PDEBench's bands; NaN where the grid is too coarse."""
    shape = error.shape[2:]
    coefficients = np.fft.fftn(error, axes=range(2, error.ndim)) / np.prod(shape)
    kept = (shape[0] // 2 + 1,) if len(shape) == 1 else tuple(max(length // 2, 1) for length in shape)
    corner = coefficients[(slice(None), slice(None), *map(slice, kept))]
    shell = np.sqrt(sum(k**2 for k in np.meshgrid(*map(np.arange, kept), indexing="ij"))).astype(np.intp)
    amplitude = np.sqrt(sum_shells(np.abs(corner) ** 2, shell, min(kept)))
    parts = np.split(amplitude, (LOW_BELOW, MID_BELOW), axis=-1)
    means = [part.mean(-1) if part.size else np.full(error.shape[:2], np.nan) for part in parts]
    return {f"fourier_{band}": mean for band, mean in zip(("low", "mid", "high"), means, strict=True)}


def _moments(
    values: NDArray[np.float64], counted: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and biased variance over the counted cells, in two passes; `(frames, channels)`, NaN without cells."""
    cells = _over_space(counted)
    mean = _over_space(values) / cells
    return mean, _over_space(np.where(counted, values - _wide(mean, values), 0) ** 2) / cells


def _over_space(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(*values.shape[:2], -1).sum(-1)


def _wide(values: NDArray[np.float64], like: NDArray[Any]) -> NDArray[np.float64]:
    return values.reshape(*values.shape, *[1] * (like.ndim - 2))
