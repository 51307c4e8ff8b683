"""Simulations from end to end: training, fine-tuning, rollouts; input that does not fit the model is refused."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray
from safetensors.torch import load_file

from transect.apps.pde.app import PDE
from transect.apps.pde.config import Config
from transect.apps.pde.models.config import ModelConfig, MorphConfig
from transect.pipelines import model_folder

SMALL = [
    *("--model.axial_operator.channels", "8", "--model.axial_operator.dim", "16", "--model.axial_operator.depth", "1"),
    *("--model.axial_operator.blocks", "1", "--train.precision", "fp32", "--train.batch_size", "8"),
    *("--pictures", "none"),
]
TINY_MORPH = MorphConfig(dim=32, heads=4, depth=1, mlp=32, patch=4, fusion_heads=4, max_patches=16)

Run = Callable[..., tuple[int, str, str]]


def printed(result: tuple[int, str, str]) -> dict[str, str]:
    """The lines that a successful command printed, as name and value."""
    status, out, err = result
    assert status == 0, err
    return dict(line.split(maxsplit=1) for line in out.splitlines())


@pytest.fixture(scope="module")
def simulations(workplace: Path) -> Path:
    folder = workplace / "simulations"
    PDE(Config()).adapter.phantom(folder, 8, 0)
    return folder


@pytest.fixture
def operator(simulations: Path, workplace: Path, command: Run) -> Path:
    """A small operator, trained once for this module."""
    folder = workplace / "operator"
    if not folder.exists():
        lines = printed(command("train", "pde", "--data", simulations, *SMALL, "--train.epochs", "6"))
        shutil.copytree(lines["model"], folder)
    return folder


def netcdf(path: Path, values: np.ndarray, *, units: str = "K", step: float = 0.05, name: str = "tensor") -> None:
    """Write frames `(time, x)` on a periodic grid."""
    frames, points = values.shape
    x = xarray.Variable("x", (np.arange(points) + 0.5) / points, {"units": "m", "boundary": "periodic"})
    time = xarray.Variable("time", step * np.arange(frames), {"units": "s"})
    data = xarray.DataArray(values.astype(np.float32), {"time": time, "x": x}, ("time", "x"), attrs={"units": units})
    data.to_dataset(name=name).to_netcdf(path, engine="h5netcdf")


def waves(seed: int, frames: int = 4) -> np.ndarray:
    x, t = np.arange(64) / 64, 0.05 * np.arange(frames)[:, None]
    return np.sin(2 * np.pi * (x - 0.5 * t) + seed) + 0.5 * np.cos(4 * np.pi * (x - 0.5 * t))


def test_an_operator_beats_persistence_and_says_what_it_was_trained_on(operator, simulations, workplace, command):
    out = workplace / "evaluated"
    status, text, err = command("evaluate", operator, "--data", simulations, "--out", out)
    assert status == 0, err
    scores = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert float(scores["skill"][0]) > 0.3
    persistence = scores["one_step_nrmse"].index("persistence")
    assert float(scores["one_step_nrmse"][0]) < float(scores["one_step_nrmse"][persistence + 1]) / 2
    state = model_folder.app_for(operator).state
    assert [field.components for field in state.fields] == [("tensor",)]
    assert state.time_step == pytest.approx(0.05)
    assert sorted(path.name for path in (out / "charts").iterdir()) == ["rollout_error.png", "spectrum_error.png"]


def test_a_rollout_has_the_names_units_and_places_of_its_initial_state(operator, simulations, tmp_path, command):
    with h5py.File(next((simulations / "test").glob("*.hdf5"))) as file:
        states = file["tensor"][0]
    netcdf(tmp_path / "state.nc", states[:1], units="")
    status, _, err = command("predict", operator, tmp_path / "state.nc", "--out", tmp_path / "out", "--steps", "5")
    assert status == 0, err
    with xarray.open_dataset(tmp_path / "out" / "state" / "rollout.nc", engine="h5netcdf") as rollout:
        assert rollout["tensor"].shape == (5, 64)
        np.testing.assert_allclose(rollout["time"], 0.05 * np.arange(1, 6))
        assert rollout["x"].attrs["units"] == "m"
        assert rollout["x"].attrs["boundary"] == "periodic"
        assert model_folder.load(str(operator)).sha256 in rollout.attrs["source"]
        error = np.sqrt(((rollout["tensor"].values - states[1:6]) ** 2).mean())
        change = np.sqrt(((states[:1] - states[1:6]) ** 2).mean())
    assert error < change / 2


def test_rollouts_continue_from_the_last_frame_as_zarr(operator, simulations, tmp_path, command):
    file = next((simulations / "test").glob("*.hdf5"))
    settings = ("--steps", "3", "--start", "last", "--format", "zarr")
    status, _, err = command("predict", operator, file, "--out", tmp_path / "out", *settings)
    assert status == 0, err
    with xarray.open_zarr(tmp_path / "out" / file.stem / "rollout.zarr") as rollout:
        np.testing.assert_allclose(
            rollout["t-coordinate" if "t-coordinate" in rollout else "time"], 2 + 0.05 * np.arange(1, 4)
        )


def test_each_bad_file_is_refused_by_what_is_wrong_and_the_others_are_done(operator, tmp_path, command):
    folder = tmp_path / "mixed"
    folder.mkdir()
    netcdf(folder / "good_a.nc", waves(0))
    netcdf(folder / "good_b.nc", waves(1))
    holes = waves(2)
    holes[:, 5] = np.nan
    netcdf(folder / "holes.nc", holes)
    netcdf(folder / "units.nc", waves(3), units="hPa")
    netcdf(folder / "field.nc", waves(4), name="pressure")
    netcdf(folder / "step.nc", waves(5), step=0.1)
    xarray.open_dataset(folder / "good_a.nc").assign_coords(time=[0.0, 0.05, 0.1, 0.3]).to_netcdf(
        folder / "uneven.nc", engine="h5netcdf"
    )
    netcdf(folder / "short.nc", waves(6, 1))
    plane = np.zeros((3, 8, 8), np.float32)
    xarray.Dataset({"tensor": (("time", "y", "x"), plane)}, {"time": [0, 0.05, 0.1]}).to_netcdf(
        folder / "plane.nc", engine="h5netcdf"
    )
    with h5py.File(folder / "unknown.h5", "w") as file:
        file["weights"] = np.zeros(3)
    whole = (folder / "good_a.nc").read_bytes()
    (folder / "cut.nc").write_bytes(whole[: len(whole) // 2])

    # PDEBench files have no units; give the operator the unit that training on temperatures would have.
    in_kelvin = tmp_path / "operator"
    shutil.copytree(operator, in_kelvin)
    state = json.loads((in_kelvin / "state.json").read_text())
    state["fields"][0]["units"] = "K"
    (in_kelvin / "state.json").write_text(json.dumps(state))

    status, _, _ = command("predict", in_kelvin, folder, "--out", tmp_path / "out")
    assert status == 1
    with (tmp_path / "out" / "manifest.csv").open() as manifest:
        rows = {row["case"]: row for row in csv.DictReader(manifest)}
    assert {case for case, row in rows.items() if row["status"] == "done"} == {"good_a", "good_b"}
    expected = {
        "holes": "tensor: found no value in 1.56 % of the cells, expected a value everywhere",
        "units": "units of tensor: found hPa, expected K",
        "field": "fields: found pressure, expected tensor",
        "step": "time step: found 0.1 s, expected 0.05",
        "uneven": "time: found a step of 0.2 after frame 2, expected steps of 0.05",
        "short": "time: found 1 frames, all of them context, expected a number of steps",
        "plane": "spatial axes: found y, x, expected x",
        "unknown": "layout: found HDF5 with weights, expected",
        "cut": "expected",
    }
    for case, words in expected.items():
        assert words in rows[case]["message"]
        assert f"{case}." in rows[case]["message"]
        assert not (tmp_path / "out" / case).exists()


@pytest.fixture
def published(workplace: Path) -> Path:
    """A model folder of MORPH for any fields, as import-weights writes it."""
    folder = workplace / "published"
    if not folder.exists():
        torch.manual_seed(0)
        config = Config(model=ModelConfig(name="morph", morph=TINY_MORPH), increment=False, normalize="context")
        app = PDE(config)
        model_folder.save(folder, "pde", app, app.model(), "# published\n")
    return folder


def test_weights_are_tuned_at_a_level_on_data_sets_of_different_kinds(published, simulations, tmp_path, command):
    data = tmp_path / "data"
    for split in ("train", "valid"):
        shutil.copytree(simulations / split, data / "lines" / split)
        (data / "planes" / split).mkdir(parents=True)
        for index in range(2):
            with h5py.File(data / "planes" / split / f"flow_{index}.hdf5", "w") as file:
                for number, name in enumerate(("density", "Vx", "Vy")):
                    file[name] = np.random.default_rng(number).normal(size=(1, 4, 8, 12)).astype(np.float32)
                for axis, length in (("x", 8), ("y", 12), ("t", 4)):
                    file[f"{axis}-coordinate"] = np.arange(length, dtype=np.float32)
    settings = ("--lora.level", "1", "--train.epochs", "1", "--train.precision", "fp32", "--steps_per_epoch", "6")
    settings += ("--pictures", "none")
    lines = printed(command("train", "pde", "--data", data, "--from", published, *settings))
    before, after = (load_file(Path(folder) / "model.safetensors") for folder in (published, lines["model"]))
    frozen = {name: tensor for name, tensor in after.items() if name.endswith("original")}
    assert frozen
    for name, tensor in frozen.items():
        assert torch.equal(tensor, before[name.replace("parametrizations.weight.original", "weight")])
    changed = {name for name, tensor in after.items() if name in before and not torch.equal(tensor, before[name])}
    assert changed
    assert all("norm" in name or "position" in name for name in changed)
    assert any(name.endswith(".B") and tensor.any() for name, tensor in after.items())
    status, _, err = command("predict", lines["model"], data, "--out", tmp_path / "out", "--steps", "2")
    assert status == 0, err
    assert command("train", "pde", "--data", data, "--from", published, "--model.morph.mlp", "64")[0] == 2
