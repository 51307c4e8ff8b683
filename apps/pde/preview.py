"""A decimated copy of a rollout and its ground truth, collected while they are streamed, for pictures."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from transect.apps.pde.diagnostics import energy_spectrum
from transect.data_adapters.pde.simulation import Axis, Coordinate, Mesh, Simulation

SHOWN_CHANNELS, LONGEST_SIDE, MOST_POINTS = 4, 256, 2**16
LINE_FRAMES, OTHER_FRAMES = 128, 60
SPECTRUM_TIMES = 3


@dataclass(frozen=True)
class Spectra:
    """Energy spectra `(channels, shells)` of one frame; `truth` is None without ground truth."""

    time: float
    prediction: NDArray[np.float64]
    truth: NDArray[np.float64] | None


class RolloutPreview:
    """Collects a decimated rollout; memory is bounded for any size of the simulation.

    Kept are the first four channels, at most 128 frames in 1-D and 60 otherwise, and every n-th cell, so that no axis
    has more than 256 cells and a mesh no more than 65 536 points; in 3-D the middle slice along z, or along the first
    axis. Spectra are computed before the decimation.
    """

    def __init__(self, simulation: Simulation, times: NDArray[np.float64], last: NDArray[np.float32]) -> None:
        """Start with the last known frame.

        Args:
            simulation: the one that is continued.
            times: float64 `(steps,)`, of the predicted frames.
            last: float32 `(channels, *shape)`, the last known frame.
        """
        self.simulation = simulation
        self.spectra: list[Spectra] = []
        self.predicted = replace(simulation.time, values=times)
        self._seen, steps = 0, len(times)
        self._kept = _spread(steps, LINE_FRAMES if self.is_line else OTHER_FRAMES)
        self._spectral = _spread(steps, SPECTRUM_TIMES) if simulation.axes else np.array([], int)
        self._cells = _thinning(simulation)
        self._predictions, self._truths = [self._thinned(last[None])], [self._thinned(last[None])]

    @property
    def is_line(self) -> bool:
        """Whether there is one spatial axis, shown as a space-time diagram."""
        return self.simulation.mesh is None and len(self.simulation.axes) == 1

    def add(self, prediction: NDArray[np.float32], truth: NDArray[np.float32] | None = None) -> None:
        """Keep what the pictures need of the next frames `(frames, channels, *shape)`."""
        if not self._seen:
            self._predicted = ~np.isnan(prediction[0])
        frames = self._kept[(self._kept >= self._seen) & (self._kept < self._seen + len(prediction))] - self._seen
        self._predictions.append(self._thinned(prediction[frames]))
        if truth is not None:
            self._truths.append(self._thinned(truth[frames]))
        for step in self._spectral[(self._spectral >= self._seen) & (self._spectral < self._seen + len(prediction))]:
            expected = None if truth is None else truth[step - self._seen]
            self.spectra.append(
                self._spectra(float(self.predicted.values[step]), prediction[step - self._seen], expected)
            )
        self._seen += len(prediction)

    def _spectra(self, time: float, predicted: NDArray[np.float32], expected: NDArray[np.float32] | None) -> Spectra:
        valid = self._predicted if expected is None else self._predicted & np.isfinite(expected)
        with np.errstate(invalid="ignore", over="ignore"):
            prediction, truth = (
                None
                if frame is None
                else energy_spectrum(frame[:SHOWN_CHANNELS], valid[:SHOWN_CHANNELS], self.simulation.axes)
                for frame in (predicted, expected)
            )
        assert prediction is not None
        return Spectra(time, prediction, truth)

    def _thinned(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return frames[(slice(None), slice(SHOWN_CHANNELS), *self._cells)].copy()

    @property
    def prediction(self) -> NDArray[np.float32]:
        """The last known and the kept predicted frames, `(times, channels, *thinned)`."""
        return np.concatenate(self._predictions)

    @property
    def truth(self) -> NDArray[np.float32] | None:
        """The same frames of the truth, where it was given."""
        return np.concatenate(self._truths) if len(self._truths) > 1 else None

    @property
    def times(self) -> Coordinate:
        """Times of the kept frames, that of the last known one first."""
        known, times = self.simulation.time.values, self.predicted.values
        last = known[known < times[0]][-1:]
        return replace(self.predicted, values=np.concatenate([last, times[self._kept[self._kept < self._seen]]]))

    @property
    def axes(self) -> list[Coordinate]:
        """The axes of the kept cells, one or two; none on a mesh."""
        kept = zip(self.simulation.axes, self._cells, strict=False)
        return [replace(axis, values=axis.values[part]) for axis, part in kept if isinstance(part, slice)]

    @property
    def slice(self) -> tuple[Axis, int]:
        """The axis of which one cell is kept, and which."""
        return next(
            (axis, part) for axis, part in zip(self.simulation.axes, self._cells, strict=True) if isinstance(part, int)
        )

    @property
    def mesh(self) -> Mesh | None:
        """The kept points; without connectivity where points were left out."""
        mesh = self.simulation.mesh
        if mesh is None or len(mesh.points) <= MOST_POINTS:
            return mesh
        return replace(mesh, points=mesh.points[self._cells[0]], cells={})


def _spread(steps: int, most: int) -> NDArray[np.intp]:
    """Indices of at most `most` of `steps` frames, about evenly spaced, including the first and the last."""
    return np.unique(np.linspace(0, steps - 1, min(steps, most)).round().astype(np.intp))


def _thinning(simulation: Simulation) -> tuple[slice | int, ...]:
    """Which cells are kept, by axis."""
    longest = MOST_POINTS if simulation.mesh is not None else LONGEST_SIDE
    cells: list[slice | int] = [slice(None, None, -(-length // longest)) for length in simulation.shape]
    if len(simulation.axes) == 3:
        upwards = [number for number, axis in enumerate(simulation.axes) if axis.name.lower() == "z"]
        cut = upwards[0] if upwards else 0
        cells[cut] = simulation.shape[cut] // 2
    return tuple(cells)
