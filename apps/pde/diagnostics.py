"""Physical diagnostics of fields and rollouts: spectra by shells of wave number, and the time to failure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.pde.simulation import Axis

FAILED_NRMSE, FAILED_CORRELATION = 0.2, 0.8
NOISE = 1e-8
"""Share of the energy of all fluctuations below which a shell counts as empty."""
ROUNDING = 1e-14
"""The same as a share of the mean's energy: what float32 leaves of a large mean."""


def energy_spectrum(values: NDArray[Any], valid: NDArray[np.bool_], axes: Sequence[Axis]) -> NDArray[np.float64]:
    """Isotropic energy spectrum of fields on a grid of one to three axes.

    E(k) = 1/2 sum over |k'| in [k - 1/2, k + 1/2] of |u_k'|^2, with u_k' the Fourier coefficients divided by the number
    of cells, so that the sum over all k is half the mean square (Parseval), the kinetic energy of a velocity. Wave
    numbers are in cycles along the longest axis, where all axes have the same units; otherwise in cycles along each.
    E(0) is that of the mean. Fluctuations are tapered by a Hann window along axes that are not periodic, scaled to keep
    their energy, and are zero in cells without values. Cells are taken to be evenly spaced.

    Args:
        values: `(..., *shape)` in any units.
        valid: broadcast to `values`, True where they count.
        axes: of the grid.

    Returns:
        float64 `(..., shells)` in squared units, for k = 0, 1, ... as far as the shells are complete.
    """
    dims = tuple(range(-len(axes), 0))
    counted = np.broadcast_to(valid, values.shape)
    cells = np.maximum(counted.sum(dims, keepdims=True), 1)
    known = np.where(counted, values, 0).astype(np.float64)
    mean = known.sum(dims, keepdims=True) / cells
    fluctuation = np.where(counted, known - mean, 0)
    for dim, axis in zip(dims, axes, strict=True):
        if not axis.periodic and len(axis) > 1:
            window = np.sin(np.pi * (np.arange(len(axis)) + 0.5) / len(axis)) ** 2
            window /= np.sqrt(np.mean(window**2))
            fluctuation *= window.reshape(-1, *[1] * (-dim - 1))
    power = np.abs(np.fft.fftn(fluctuation, axes=dims) / np.prod(values.shape[-len(axes) :])) ** 2
    energy = sum_shells(power, *_shells(axes)) / 2
    energy[..., 0] = mean.reshape(energy.shape[:-1]) ** 2 / 2
    return energy


def sum_shells(values: NDArray[np.float64], shell: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Sums of `values` `(..., *grid)` over the cells of each `shell` `(*grid,)` below `count`; `(..., count)`."""
    leading = values.shape[: values.ndim - shell.ndim]
    inside = shell.ravel() < count
    rows = values.reshape(-1, shell.size)[:, inside]
    index = np.arange(len(rows))[:, None] * count + shell.ravel()[inside]
    sums: Any = np.bincount(index.ravel(), rows.ravel(), len(rows) * count)
    return sums.reshape(*leading, count)


def _shells(axes: Sequence[Axis]) -> tuple[NDArray[np.intp], int]:
    """The shell of each Fourier coefficient, and how many shells lie within every axis' highest wave number."""
    lengths = np.array([abs(axis.values[-1] - axis.values[0]) * len(axis) / max(len(axis) - 1, 1) for axis in axes])
    comparable = len({axis.units for axis in axes}) == 1 and bool((lengths[[len(axis) > 1 for axis in axes]] > 0).all())
    scales = [lengths.max() / length if comparable and length else 1.0 for length in lengths]
    numbers = [np.fft.fftfreq(len(axis), 1 / len(axis)) * scale for axis, scale in zip(axes, scales, strict=True)]
    squares = sum(k**2 for k in np.meshgrid(*numbers, indexing="ij"))
    highest = [len(axis) // 2 * scale for axis, scale in zip(axes, scales, strict=True) if len(axis) > 1]
    return np.rint(np.sqrt(squares)).astype(np.intp), int(min(highest, default=0)) + 1


def spectrum_error(prediction: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log distance of energy spectra `(..., shells)` in decades: 1 where every scale is off by a factor of ten.

    sqrt(mean over k >= 1 of log10((E(k) + d) / (E_truth(k) + d))^2), which weights small and large scales alike. d is
    NOISE of the truth's fluctuations, but at least ROUNDING of the energy of its mean, so that empty shells are equal.
    Returns `(...)`, NaN where the only shell is the mean.
    """
    if truth.shape[-1] < 2:
        return np.full(truth.shape[:-1], np.nan)
    floor = np.maximum(NOISE * truth[..., 1:].sum(-1), ROUNDING * truth[..., 0])[..., None]
    predicted, expected = prediction[..., 1:], truth[..., 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.where(predicted == expected, 0.0, np.log10((predicted + floor) / (expected + floor)))
    return np.sqrt(np.mean(decades**2, axis=-1))


def time_to_failure(nrmse: NDArray[np.float64], correlation: NDArray[np.float64]) -> int | None:
    """The first step, counted from 1, with nRMSE above 0.2 or correlation below 0.8; None where there is none.

    Args:
        nrmse: `(steps,)`; NaN, where nothing could be compared, does not count as failure.
        correlation: `(steps,)`; likewise.
    """
    failed = np.flatnonzero((nrmse > FAILED_NRMSE) | (correlation < FAILED_CORRELATION))
    return int(failed[0]) + 1 if len(failed) else None
