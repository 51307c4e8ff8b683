"""Synthetic simulations satisfy their equations, are reproducible, and have PDEBench's layout."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import PhantomConfig
from transect.data_adapters.pde.phantom import PARAMETERS, exact_states, write_phantom

TIMES = np.array([0.0, 0.3, 2.0])


def derivative(states: NDArray[np.float64], axis: int, order: int, period: float) -> NDArray[np.float64]:
    waves = 2j * np.pi * np.fft.fftfreq(states.shape[axis], period / states.shape[axis])
    shape = [-1 if at == axis % states.ndim else 1 for at in range(states.ndim)]
    return np.fft.ifft(np.fft.fft(states, axis=axis) * waves.reshape(shape) ** order, axis=axis).real


def rate(config: PhantomConfig, index: int) -> NDArray[np.float64]:
    """Time derivative by fourth-order central differences."""
    h = 1e-3
    before2, before, after, after2 = (exact_states(config, 1, index, TIMES + at * h) for at in (-2, -1, 1, 2))
    return (8 * (after - before) - (after2 - before2)) / (12 * h)


@pytest.mark.parametrize("index", range(3))
def test_advection_diffusion_satisfies_its_equation(index: int) -> None:
    config = PhantomConfig(points=32)
    states, parameters = exact_states(config, 1, index, TIMES), PARAMETERS["advection_diffusion"]
    slope, curvature = (derivative(states, -1, order, period=1.0) for order in (1, 2))
    assert np.abs(parameters["beta"] * slope).max() > 1
    assert np.abs(parameters["Nu"] * curvature).max() > 0.1
    np.testing.assert_allclose(
        rate(config, index), parameters["Nu"] * curvature - parameters["beta"] * slope, atol=1e-8
    )


@pytest.mark.parametrize("index", range(3))
def test_diffusion_between_walls_satisfies_its_equation(index: int) -> None:
    config = PhantomConfig("diffusion_2d", points=24)
    states = exact_states(config, 1, index, TIMES)
    # The even extension at both walls is smooth and periodic exactly if there is no flux through them.
    mirrored = np.concatenate([states, states[:, ::-1]], axis=1)
    mirrored = np.concatenate([mirrored, mirrored[:, :, ::-1]], axis=2)
    laplacian = sum(derivative(mirrored, axis, 2, period=2.0) for axis in (1, 2))[:, :24, :24]
    assert np.abs(laplacian).max() > 10
    np.testing.assert_allclose(rate(config, index), PARAMETERS["diffusion_2d"]["Nu"] * laplacian, atol=1e-8)


@pytest.mark.parametrize("equation", ["advection_diffusion", "diffusion_2d"])
def test_the_mean_is_conserved_and_what_varies_decays(equation: str) -> None:
    states = exact_states(PhantomConfig(equation), 1, 0, TIMES).reshape(len(TIMES), -1)
    np.testing.assert_allclose(states.mean(axis=1), states[0].mean(), rtol=1e-12)
    assert (np.diff(states.std(axis=1)) < 0).all()
    assert states[-1].std() > 0.1 * states[0].std()


def test_finer_grids_sample_the_same_solution() -> None:
    coarse, fine = (exact_states(PhantomConfig(points=points), 1, 0, TIMES) for points in (16, 48))
    np.testing.assert_allclose(coarse, fine[:, 1::3], atol=1e-12)


@pytest.mark.parametrize(("equation", "axes"), [("advection_diffusion", "x"), ("diffusion_2d", "xy")])
def test_files_hold_the_exact_states_under_the_names_of_pdebench(tmp_path: Path, equation: str, axes: str) -> None:
    config = PhantomConfig(equation, points=20, frames=7)
    write_phantom(tmp_path, 3, seed=4, config=config)
    for index, split in enumerate(("train", "valid", "test")):
        (path,) = (tmp_path / split).iterdir()
        with h5py.File(path) as file:
            assert set(file) == {"tensor", "t-coordinate", *(f"{axis}-coordinate" for axis in axes)}
            assert dict(file.attrs) == PARAMETERS[equation]
            times, tensor = file["t-coordinate"][:], file["tensor"][:]
            for axis in axes:
                np.testing.assert_allclose(file[f"{axis}-coordinate"][:], np.linspace(0.025, 0.975, 20), rtol=1e-6)
        assert tensor.dtype == times.dtype == np.float32
        np.testing.assert_allclose(times, np.arange(7) * 0.05, rtol=1e-6)
        expected = exact_states(config, 4, index, np.arange(7) * 0.05)
        assert tensor.shape == (1, *expected.shape)
        np.testing.assert_allclose(tensor[0], expected, atol=1e-6)


@pytest.mark.parametrize(("count", "splits"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (20, (14, 3, 3))])
def test_splits(tmp_path: Path, count: int, splits: tuple[int, ...]) -> None:
    write_phantom(tmp_path, count, seed=0)
    assert tuple(len(list(tmp_path.glob(f"{split}/*.hdf5"))) for split in ("train", "valid", "test")) == splits


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_phantom(tmp_path / name, 3, seed)
    content = {
        name: {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.hdf5")}
        for name in "abc"
    }
    assert content["a"] == content["b"]
    assert content["a"].keys() == content["c"].keys()
    assert not set(content["a"].values()) & set(content["c"].values())
    assert len(set(content["a"].values())) == 3


@pytest.mark.parametrize(("setting", "value"), [("points", 15), ("frames", 1)])
def test_settings_that_are_too_small_are_refused(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{setting}: found {value}, expected "):
        PhantomConfig(**{setting: value})


@pytest.mark.parametrize(("equation", "module"), [("burgers", "exponax"), ("mixed_diffusion", "pde")])
def test_a_missing_package_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, equation: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BadInput, match=rf"phantom: equation: found {module}.*transect\[pde-generate\]"):
        write_phantom(tmp_path, 3, 0, PhantomConfig(equation))
    assert not list(tmp_path.iterdir())
