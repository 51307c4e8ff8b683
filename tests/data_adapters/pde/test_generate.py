"""Generated trajectories equal APEBench's, and satisfy their equations and boundary conditions."""

from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import PhantomConfig
from transect.data_adapters.pde.generate import apebench, mixed_diffusion
from transect.data_adapters.pde.phantom import write_phantom

POINTS = 32
KEPT = 9
"""Highest wavenumber kept by the dealiasing of APEBench's convection at this size: below two thirds of 16, less one."""

TIMES = np.arange(21) * 0.05


@cache
def small(scenario: str) -> NDArray[np.float32]:
    """Two trajectories `(2, frames, POINTS)`."""
    return apebench(scenario, 2, 6, seed=1, points=POINTS)[:, :, 0]


@pytest.fixture(scope="module")
def exponax() -> None:
    pytest.importorskip("exponax", reason="needs exponax of the extra pde-generate")


@pytest.fixture(scope="module")
def mixed() -> NDArray[np.float64]:
    """Three trajectories `(3, frames, 64)`."""
    pytest.importorskip("pde", reason="needs py-pde of the extra pde-generate")
    return mixed_diffusion(3, TIMES, seed=2, points=64)[:, :, 0].astype(np.float64)


@pytest.mark.usefixtures("exponax")
@pytest.mark.parametrize(
    ("scenario", "split", "count", "frames", "seed"),
    [("burgers", "train", 50, 51, 0), ("burgers", "test", 30, 201, 773), ("kdv", "test", 30, 201, 773)],
)
def test_they_are_the_trajectories_of_apebench(
    shared_file, scenario: str, split: str, count: int, frames: int, seed: int
) -> None:
    with np.load(shared_file(f"data/pde/apebench_1d_diff_{scenario}.npz")) as file:
        expected = file[split]
    states = apebench(scenario, count, frames, seed)
    assert (states.shape, states.dtype) == (expected.shape, np.float32)
    # Other versions of jax round differently: 6e-8 in the first states, up to 4.5e-6 after 200 steps.
    np.testing.assert_allclose(states[:, 0], expected[:, 0], rtol=0, atol=1e-7)
    np.testing.assert_allclose(states, expected, rtol=0, atol=1e-5)


DIFFICULTIES = {
    "burgers": (1.5, {2: 1.5}),
    "kdv": (2.0, {3: -14.0, 4: -9.0}),
    "kuramoto_sivashinsky": (1.0, {2: -2.0, 4: -18.0}),
}


def stepped(states: NDArray[np.float64], scenario: str) -> NDArray[np.float64]:
    """States one frame later, by the exponential Runge-Kutta scheme of Cox and Matthews (2002), equations 20 to 22."""
    convection, linear = DIFFICULTIES[scenario]
    waves = 2j * np.pi * np.arange(POINTS // 2 + 1)
    z = sum(gamma / (POINTS**order * 2 ** (order - 1)) * waves**order for order, gamma in linear.items())
    z[0] = 1  # no term changes the mean
    # exponax drops the imaginary parts that dispersion gives these two coefficients.
    first, second = ((np.exp(z) - 1) / z).real, ((np.exp(z) - 1 - z) / z**2).real
    z[0] = 0
    kept = np.arange(POINTS // 2 + 1) <= KEPT

    def transport(spectrum: NDArray[np.complex128]) -> NDArray[np.complex128]:
        return -convection / POINTS / 2 * waves * np.fft.rfft(np.fft.irfft(kept * spectrum, POINTS) ** 2)

    spectrum = np.fft.rfft(states)
    predicted = np.exp(z) * spectrum + first * transport(spectrum)
    return np.fft.irfft(predicted + second * (transport(predicted) - transport(spectrum)), POINTS)


@pytest.mark.usefixtures("exponax")
@pytest.mark.parametrize("scenario", DIFFICULTIES)
def test_a_frame_follows_by_the_scheme_and_the_difficulties_of_apebench(scenario: str) -> None:
    states = small(scenario).astype(np.float64)
    assert np.abs(np.diff(states, axis=1)).max() > 0.2
    np.testing.assert_allclose(stepped(states[:, :-1], scenario), states[:, 1:], rtol=0, atol=1e-6)
    np.testing.assert_allclose(states.mean(axis=-1), 0, atol=1e-6)
    # Random states reach one; after the warm-up they exceed it.
    reached = np.abs(states[:, 0]).max(axis=-1)
    assert (reached > 1.2).all() if scenario == "kuramoto_sivashinsky" else np.allclose(reached, 1)


@pytest.mark.usefixtures("exponax")
def test_another_exponax_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exponax.__version__", "0.2.0")
    with pytest.raises(BadInput, match=r"found exponax 0\.2\.0, expected exponax 0\.1"):
        apebench("burgers", 1, 2, seed=0)


@pytest.mark.usefixtures("exponax")
def test_files_hold_what_apebench_gives_however_many_they_are(tmp_path: Path) -> None:
    write_phantom(tmp_path, 3, seed=1, config=PhantomConfig("kdv", points=POINTS, frames=6))
    for index, split in enumerate(("train", "valid")):
        (path,) = (tmp_path / split).iterdir()
        with h5py.File(path) as file:
            np.testing.assert_allclose(file["tensor"][0], small("kdv")[index], rtol=0, atol=1e-6)
            np.testing.assert_array_equal(file["t-coordinate"][:], np.arange(6))


def test_one_end_keeps_its_value_and_the_other_loses_in_proportion(mixed: NDArray[np.float64]) -> None:
    # Parabolas through the three outermost cell centres, at half a cell beyond them, after the first frames.
    value = np.array([15, -10, 3]) / 8
    slope = np.array([-2, 3, -1]) * 64
    np.testing.assert_allclose(mixed[:, :, :3] @ value, 1.0, atol=2e-3)
    upper = mixed[:, 10:, :-4:-1]
    assert np.abs(upper @ slope).min() > 0.1
    np.testing.assert_allclose(upper @ slope, 2.0 * upper @ value, rtol=5e-3)


def test_mixed_ends_decay_as_their_eigenfunctions_do(mixed: NDArray[np.float64]) -> None:
    # Steady: 1 - h x / (1 + h) with h = 2. Departures are sums of sin(k x) with k cos k + h sin k = 0.
    x = (np.arange(64) + 0.5) / 64
    departure = mixed - (1 - 2 * x / 3)
    for order in range(3):
        lower, upper = (order + 0.5) * np.pi, (order + 1) * np.pi
        k = brentq(lambda wave: wave * np.cos(wave) + 2 * np.sin(wave), lower, upper)
        amplitude = departure @ np.sin(k * x)
        expected = amplitude[:, :1] * np.exp(-0.05 * k**2 * TIMES)
        np.testing.assert_allclose(amplitude, expected, rtol=0, atol=1e-3 * np.abs(amplitude).max())


@pytest.mark.usefixtures("mixed")
def test_the_seed_decides_mixed_trajectories() -> None:
    first, again, other = (mixed_diffusion(1, TIMES, seed, points=16) for seed in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
