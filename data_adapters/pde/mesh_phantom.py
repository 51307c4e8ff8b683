"""Synthetic diffusion on random meshes of the unit square, with the exact solution at every point."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.mesh_files import write_frames
from transect.data_adapters.pde.simulation import Mesh

DIFFUSIVITY, FRAME = 0.04, 0.05
WAVES = 5
"""Number of cosine modes along each axis, including the constant."""
CANDIDATES, WARP = 10, 0.6


def write_mesh_phantom(root: Path, counts: Mapping[str, int], seed: int, points: int = 400, frames: int = 21) -> None:
    """Write trajectories as root/SPLIT/diffusion_INDEX/rollout.pvd.

    Each has its own random triangulation. The field `u` obeys `u_t = DIFFUSIVITY (u_xx + u_yy)` with no flux through
    the walls of the unit square; the time between frames is FRAME.

    Args:
        root: Folder to write to.
        counts: Number of trajectories of each split.
        seed: The same seed gives the same trajectories.
        points: Points of each mesh.
        frames: Frames of each trajectory.
    """
    index, times = 0, FRAME * np.arange(frames, dtype=np.float64)
    for split, count in counts.items():
        for _ in range(count):
            rng = np.random.default_rng((seed, index))
            mesh, coefficients = random_mesh(rng, points), random_coefficients(rng)
            states = exact_states(coefficients, mesh.points, times).astype(np.float32)
            folder = root / split / f"diffusion_{index:04d}"
            write_frames(folder, times, iter(states[:, None]), (Field("u", ("u",)),), {}, mesh, "exact diffusion")
            index += 1


def random_mesh(rng: np.random.Generator, points: int) -> Mesh:
    """The Delaunay triangulation of points on the edges of the unit square and of blue-noise points inside.

    Points are sampled by the best-candidate algorithm (Mitchell, 1991); a random monotone map of each axis then varies
    their density by up to a factor of four.
    """
    side = np.linspace(0, 1, max(round(0.8 * points**0.5), 2))[:-1]
    low, high = np.zeros_like(side), np.ones_like(side)
    edges = ((side, low), (high, side), (1 - side, high), (low, 1 - side))
    cloud = np.concatenate([np.stack(edge, -1) for edge in edges])
    for _ in range(points - len(cloud)):
        candidates = rng.random((CANDIDATES, 2))
        cloud = np.append(cloud, candidates[[cKDTree(cloud).query(candidates)[0].argmax()]], 0)
    cloud = np.clip(cloud + rng.uniform(-WARP, WARP, 2) * np.sin(2 * np.pi * cloud) / (2 * np.pi), 0, 1)
    return Mesh(cloud, {"triangle": Delaunay(cloud).simplices.astype(np.int64)})


def random_coefficients(rng: np.random.Generator) -> NDArray[np.float64]:
    """Amplitudes `(WAVES, WAVES)` of the cosines at time 0."""
    waves = np.arange(WAVES)
    return rng.standard_normal((WAVES, WAVES)) / np.sqrt(np.maximum(waves[:, None] ** 2 + waves**2, 1))


def exact_states(
    coefficients: NDArray[np.float64], points: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The exact solution.

    `u(x, y, t) = sum_mn a_mn cos(pi m x) cos(pi n y) exp(-DIFFUSIVITY pi^2 (m^2 + n^2) t)`.

    Args:
        coefficients: `(WAVES, WAVES)`, the amplitudes `a_mn`.
        points: `(points, 2)`, coordinates x, y.
        times: `(times,)`.

    Returns:
        float64 `(times, points)`.
    """
    waves = np.arange(WAVES)
    rates = DIFFUSIVITY * np.pi**2 * (waves[:, None] ** 2 + waves**2)
    decayed = coefficients * np.exp(-rates * times[:, None, None])
    along_x, along_y = (np.cos(np.pi * np.outer(axis, waves)) for axis in points.T)
    return np.einsum("pm,tmn,pn->tp", along_x, decayed, along_y)
