"""Trajectories from public solvers: APEBench's scenarios by exponax, mixed boundary conditions by py-pde.

The scenarios are those of APEBench (Koehler et al., 2024, "APEBench: A Benchmark for Autoregressive Neural Emulators of
PDEs", https://arxiv.org/abs/2411.00180), in its difficulty interface on the unit interval, one time unit per frame:
u_t = -b (u^2)_x / 2 + sum_i a_i d^i u / dx^i, where a_i = gamma_i / (points^i 2^(i - 1)) and b = delta / points.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput

HIGHEST_WAVENUMBER = 5

BOUNDARY_VALUE, DIFFUSIVITY, TRANSFER = 1.0, 0.05, 2.0
"""`mixed_diffusion`: Dirichlet value of the lower end, diffusivity, and Robin coefficient of the upper end."""


@dataclass(frozen=True)
class Scenario:
    """Difficulties of one APEBench scenario.

    Args:
        convection: delta.
        linear: gamma_0 to gamma_4.
        warm_up: time steps from the random state to the first frame.
    """

    convection: float
    linear: tuple[float, float, float, float, float]
    warm_up: int = 0


SCENARIOS = {
    "burgers": Scenario(1.5, (0.0, 0.0, 1.5, 0.0, 0.0)),
    "kdv": Scenario(2.0, (0.0, 0.0, 0.0, -14.0, -9.0)),
    "kuramoto_sivashinsky": Scenario(1.0, (0.0, 0.0, -2.0, 0.0, -18.0), warm_up=500),
}
"""APEBench's diff_burgers, diff_kdv and diff_ks_cons with their default settings.

exponax keeps only the real parts of its scheme's coefficients, which the dispersion of KdV makes complex. The published
trajectories, and these, do so too: a frame differs by 2.4 % in norm from the exact solution, by 0.3 % with complex
coefficients.
"""


def apebench(scenario: str, trajectories: int, frames: int, seed: int, points: int = 160) -> NDArray[np.float32]:
    """Trajectories of an APEBench scenario, initial state included; periodic, every state of mean zero.

    With 160 points these are APEBench's own data: 50 trajectories of 51 frames from seed 0 for training, 30 of 201 from
    seed 773 for testing. The warm-up of Kuramoto-Sivashinsky is chaotic, so another version of jax gives other
    trajectories of the same distribution. The first trajectories do not depend on the number requested.

    Args:
        scenario: A key of `SCENARIOS`.
        trajectories: Number of trajectories.
        frames: Frames of each.
        seed: Seed of the initial states.
        points: Grid points of the unit interval.

    Returns:
        float32 `(trajectories, frames, 1, points)`.

    Raises:
        BadInput: exponax 0.1 is not installed; 0.2 gives other states.
    """
    exponax, jax = _import("exponax"), _import("jax")
    setting = SCENARIOS[scenario]
    step = exponax.stepper.generic.DifficultyConvectionStepper(
        num_points=points,
        linear_difficulties=setting.linear,
        convection_difficulty=setting.convection,
        conservative=True,
    )
    series = exponax.ic.RandomTruncatedFourierSeries(1, cutoff=HIGHEST_WAVENUMBER, max_one=True)
    # APEBench splits the key of each state by channel, even for a single channel.
    channel = exponax.ic.RandomMultiChannelICGenerator([series])
    # The default since jax 0.5; without it, the same seed gives other numbers.
    with jax.threefry_partitionable(True):
        key = jax.random.PRNGKey(seed)
        states = exponax.build_ic_set(channel, num_points=points, num_samples=trajectories, key=key)
    states = jax.vmap(exponax.repeat(step, setting.warm_up))(states)
    return np.asarray(jax.vmap(exponax.rollout(step, frames - 1, include_init=True))(states))


def mixed_diffusion(trajectories: int, times: NDArray[np.float64], seed: int, points: int) -> NDArray[np.float32]:
    """Diffusion on the unit interval with different conditions at the two ends, by finite volumes.

    u_t = D u_xx with u = 1 at x = 0 (Dirichlet) and u_x + h u = 0 at x = 1 (Robin: heat lost to surroundings at zero),
    from random sums of the quarter waves that vanish at x = 0. Values are at the cell centres.

    Args:
        trajectories: Number of trajectories.
        times: float64 `(frames,)`, equally spaced from zero.
        seed: Seed of the initial states.
        points: Number of cells.

    Returns:
        float32 `(trajectories, frames, 1, points)`.

    Raises:
        BadInput: py-pde is not installed.
    """
    pde = _import("pde")
    grid = pde.CartesianGrid([[0.0, 1.0]], points)
    ends = {"x-": {"value": BOUNDARY_VALUE}, "x+": {"type": "mixed", "value": TRANSFER, "const": 0.0}}
    equation = pde.DiffusionPDE(DIFFUSIVITY, bc=ends)
    waves = np.arange(1, HIGHEST_WAVENUMBER + 1)
    shapes = np.sin((waves[:, None] - 0.5) * np.pi * grid.axes_coords[0]) / waves[:, None]
    states = np.empty((trajectories, len(times), 1, points), dtype=np.float32)
    for index in range(trajectories):
        first = BOUNDARY_VALUE + np.random.default_rng((seed, index)).standard_normal(len(waves)) @ shapes
        storage = pde.MemoryStorage()
        # Compiling the numba backend would take longer than the whole run.
        equation.solve(
            pde.ScalarField(grid, first),
            t_range=float(times[-1]),
            tracker=storage.tracker(times.tolist()),
            backend="numpy",
            solver="scipy",
            method="BDF",
            rtol=1e-6,
            atol=1e-8,
        )
        states[index, :, 0] = storage.data
    return states


def _import(name: str) -> Any:
    try:
        package = import_module(name)
    except ImportError as error:
        raise _missing(f"{name} ({error})") from error
    # exponax 0.2 draws other initial states from the same seed and dealiases once more: Burgers differs by 3 %.
    if name == "exponax" and not package.__version__.startswith("0.1."):
        raise _missing(f"exponax {package.__version__}")
    return package


def _missing(found: str) -> BadInput:
    advice = "install transect[pde-generate], or choose advection_diffusion or diffusion_2d"
    return BadInput("phantom", "equation", found, "exponax 0.1, jax and py-pde to be installed", advice)
