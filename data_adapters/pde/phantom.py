"""Synthetic simulations in PDEBench's layout: exact solutions, and optionally those of public solvers."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.listing import phantom_splits
from transect.data_adapters.pde.config import PhantomConfig
from transect.data_adapters.pde.generate import DIFFUSIVITY, SCENARIOS, TRANSFER, apebench, mixed_diffusion
from transect.data_adapters.pde.mesh_phantom import write_mesh_phantom

FRAME = 0.05
"""Time between frames, except for APEBench's one time unit per frame; the domain has length one along each axis."""

VELOCITY = 0.5
PERIODIC_DIFFUSIVITY, WALLED_DIFFUSIVITY = 0.002, 0.01

PARAMETERS: dict[str, dict[str, float]] = {
    "advection_diffusion": {"beta": VELOCITY, "Nu": PERIODIC_DIFFUSIVITY},
    "diffusion_2d": {"Nu": WALLED_DIFFUSIVITY},
    "mixed_diffusion": {"Nu": DIFFUSIVITY, "transfer": TRANSFER},
    **{
        name: {"convection_difficulty": scenario.convection}
        | {f"linear_difficulty_{order}": value for order, value in enumerate(scenario.linear) if value}
        for name, scenario in SCENARIOS.items()
    },
}
"""Parameters of each equation, as file attributes; PDEBench calls a velocity beta and a diffusivity Nu."""


def write_phantom(root: Path, count: int, seed: int, config: PhantomConfig | None = None) -> None:
    """Write `count` trajectories, one per file, as root/{train,valid,test}/EQUATION_BOUNDARY_INDEX.hdf5.

    A file has PDEBench's layout of one equation: `tensor` float32 `(1, frames, x[, y])`, the float32 `x-coordinate`,
    `y-coordinate` and `t-coordinate`, and the equation's parameters as attributes; the boundary condition, periodic or
    wall, is only in the file name. Meshes are written as VTU instead. 70 % are for training; with three or more
    trajectories no split is empty. The same `seed` gives the same bytes.

    Raises:
        BadInput: the equation needs a package that is not installed.
    """
    config = config or PhantomConfig()
    folders = ["valid" if split == "val" else split for split in phantom_splits(count)]
    if config.equation == "mesh_diffusion":
        write_mesh_phantom(root, Counter(folders), seed, config.points, config.frames)
        return
    boundary = "wall" if config.equation in ("diffusion_2d", "mixed_diffusion") else "periodic"
    trajectories = _trajectories(config, count, seed)
    for index, (folder, states) in enumerate(zip(folders, trajectories, strict=True)):
        path = root / folder / f"{config.equation}_{boundary}_{index:04d}.hdf5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["tensor"] = states[None]
            for axis in "xy"[: states.ndim - 1]:
                file[f"{axis}-coordinate"] = np.float32(_centres(config.points))
            file["t-coordinate"] = np.float32(frame_times(config))
            file.attrs.update(PARAMETERS[config.equation])


def exact_states(config: PhantomConfig, seed: int, index: int, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exact solution of the trajectory `index`, for the equations in `EXACT`.

    The random coefficients do not depend on `config.points`.

    Args:
        config: The equation and the grid.
        seed: As given to `write_phantom`.
        index: Number of the file.
        times: `(times,)`, arbitrary times.

    Returns:
        float64 `(times, x[, y])`, which the file stores in float32.
    """
    return EXACT[config.equation](np.random.default_rng((seed, index)), _centres(config.points), times)


def _advection_diffusion(
    rng: np.random.Generator, x: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """u_t + beta u_x = Nu u_xx, periodic: a Fourier series whose terms travel and decay."""
    waves = np.arange(6)
    coefficients = (rng.standard_normal(6) + 1j * rng.standard_normal(6)) / np.maximum(waves, 1)
    along = 2j * np.pi * waves
    rates = PERIODIC_DIFFUSIVITY * along**2 - VELOCITY * along
    return np.real(coefficients * np.exp(times[:, None] * rates) @ np.exp(along[:, None] * x))


def _diffusion_2d(rng: np.random.Generator, x: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """u_t = Nu (u_xx + u_yy) with no flux through the walls: a cosine series whose terms decay."""
    waves = np.arange(5)
    squares = waves[:, None] ** 2 + waves**2
    coefficients = rng.standard_normal((5, 5)) / np.sqrt(np.maximum(squares, 1))
    decayed = coefficients * np.exp(-WALLED_DIFFUSIVITY * np.pi**2 * squares * times[:, None, None])
    shapes = np.cos(np.pi * waves[:, None] * x)
    return shapes.T @ decayed @ shapes


EXACT = {"advection_diffusion": _advection_diffusion, "diffusion_2d": _diffusion_2d}


def frame_times(config: PhantomConfig) -> NDArray[np.float64]:
    """Times of the frames, `(frames,)`."""
    return np.arange(config.frames, dtype=np.float64) * (1.0 if config.equation in SCENARIOS else FRAME)


def _trajectories(config: PhantomConfig, count: int, seed: int) -> Iterable[NDArray[np.float32]]:
    times = frame_times(config)
    if config.equation in SCENARIOS:
        return apebench(config.equation, count, config.frames, seed, config.points)[:, :, 0]
    if config.equation == "mixed_diffusion":
        return mixed_diffusion(count, times, seed, config.points)[:, :, 0]
    return (exact_states(config, seed, index, times).astype(np.float32) for index in range(count))


def _centres(points: int) -> NDArray[np.float64]:
    return (np.arange(points) + 0.5) / points
