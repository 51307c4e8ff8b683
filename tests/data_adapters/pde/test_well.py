import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.layouts import find_trajectories, open_simulation
from transect.data_adapters.pde.simulation import Simulation

WALL, OPEN, PERIODIC = range(3)
CODES = {"wall": WALL, "open": OPEN, "periodic": PERIODIC}


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def put(group: h5py.Group, name: str, values: object, **flags: object) -> None:
    group[name] = values
    group[name].attrs.update({"sample_varying": False, "time_varying": False} | flags)


def small(path: Path) -> Path:
    """Two trajectories of three frames on 4 x 5 cells with a single field, pressure."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"n_trajectories": 2, "n_spatial_dims": 2, "dataset_name": "small", "grid_type": "cartesian"})
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = ["x", "y"]
        put(dimensions, "time", np.arange(3.0))
        put(dimensions, "x", np.arange(4.0))
        put(dimensions, "y", np.arange(5.0))
        fields(file, "t0_fields", pressure=numbered(2, 3, 4, 5))
        file.create_group("boundary_conditions")
    return path


def fields(file: h5py.File, group: str, dim_varying: tuple[bool, ...] = (True, True), **arrays: np.ndarray) -> None:
    into = file.require_group(group)
    into.attrs["field_names"] = [*into.attrs.get("field_names", []), *arrays]
    for name, values in arrays.items():
        put(into, name, values, sample_varying=True, time_varying=True, dim_varying=dim_varying)


def boundary(file: h5py.File, name: str, kind: str, dims: list[str], mask: np.ndarray, **flags: bool) -> None:
    one = file.create_group(f"boundary_conditions/{name}")
    one.attrs.update({"bc_type": kind, "associated_dims": dims, "associated_fields": [], **flags})
    one["mask"] = mask


def opened(path: Path, at: int = 0, **settings: object) -> Simulation:
    config = ReadConfig(**settings)
    return open_simulation(find_trajectories(str(path), config=config)[at], config)


def test_every_item_is_what_the_official_reader_returns(fixtures: Path) -> None:
    folder = fixtures / "pde" / "well"
    items = torch.load(folder / "tiny_reference_items.pt", weights_only=True)
    windows = [
        (simulation, start)
        for case in find_trajectories(str(folder), config=ReadConfig())
        for simulation in [open_simulation(case, ReadConfig())]
        for start in range(len(simulation) - 2)
    ]
    assert len(windows) == 12
    assert set(items) <= set(range(12))
    for index, item in items.items():
        simulation, start = windows[index]
        frames = np.moveaxis(simulation.read(start, start + 3), 1, -1)
        np.testing.assert_array_equal(frames[:2], item["input_fields"])
        np.testing.assert_array_equal(frames[2:], item["output_fields"])
        np.testing.assert_array_equal(np.stack(list(simulation.constants.values()), -1), item["constant_fields"])
        changing = [value[start : start + 3] for value in simulation.parameters.values() if value.ndim]
        scalars = np.stack(changing, -1).astype(np.float32)
        np.testing.assert_array_equal(scalars, np.concatenate([item["input_scalars"], item["output_scalars"]]))
        still = np.stack([value for value in simulation.parameters.values() if not value.ndim])
        np.testing.assert_array_equal(still.astype(np.float32), item["constant_scalars"])
        codes = [[CODES[end] for end in ends] for ends in simulation.boundary]
        np.testing.assert_array_equal(codes, item["boundary_conditions"])
        grid = np.stack(np.meshgrid(*[axis.values for axis in simulation.axes], indexing="ij"), -1)
        np.testing.assert_array_equal(grid.astype(np.float32), item["space_grid"])
        times = np.concatenate([item["input_time_grid"], item["output_time_grid"]])
        np.testing.assert_allclose(
            simulation.time.values[start : start + 3] - simulation.time.values[start], times, atol=1e-7
        )


def test_fields_are_scalars_vectors_and_tensors_in_this_order(fixtures: Path) -> None:
    simulation = opened(fixtures / "pde" / "well" / "data" / "train" / "tiny.hdf5")
    assert simulation.fields == (
        Field("pressure", ("pressure",)),
        Field("velocity", ("velocity_x", "velocity_y")),
        Field("strain", ("strain_xx", "strain_xy", "strain_yx", "strain_yy")),
    )
    assert list(simulation.constants) == ["bathymetry"]
    assert list(simulation.parameters) == ["nu", "amp", "forcing"]
    assert simulation.attributes["dataset_name"] == "tiny_mixed"


def test_the_folder_gives_the_split(fixtures: Path, tmp_path: Path) -> None:
    tiny = fixtures / "pde" / "well" / "data" / "train" / "tiny.hdf5"
    for place in ("tiny/data/train/a.hdf5", "tiny/data/valid/b.hdf5", "tiny/data/test/c.hdf5", "flat.hdf5"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tiny, tmp_path / place)
    cases = find_trajectories(str(tmp_path), config=ReadConfig())
    found = {(case.id[:-2], case.split, case.dataset) for case in cases}
    assert found == {("a", "train", "tiny"), ("b", "val", "tiny"), ("c", "test", "tiny"), ("flat", "", "")}
    assert len(cases) == 12


def test_axes_that_a_field_does_not_vary_along_may_be_missing_or_single(tmp_path: Path) -> None:
    path = small(tmp_path / "a.hdf5")
    values, vector = numbered(2, 3, 4), numbered(2, 3, 5, 2)
    with h5py.File(path, "a") as file:
        fields(file, "t0_fields", (True, False), squeezed=values, single=values[..., None])
        fields(file, "t1_fields", (False, True), thin=vector, flat=vector[:, :, None])
    simulation = opened(path, 1)
    frames = dict(zip(simulation.channels, simulation.read(0, 3).swapaxes(0, 1), strict=True))
    for name in ("squeezed", "single"):
        np.testing.assert_array_equal(frames[name], np.repeat(values[1][..., None], 5, axis=-1))
    for name in ("thin", "flat"):
        for at, axis in enumerate("xy"):
            np.testing.assert_array_equal(frames[f"{name}_{axis}"], np.repeat(vector[1][:, None, :, at], 4, axis=1))


def test_what_all_trajectories_share_is_stored_once(tmp_path: Path) -> None:
    path = small(tmp_path / "a.hdf5")
    grid = np.array([[0, 1, 2, 3], [0, 2, 4, 6.0]])
    with h5py.File(path, "a") as file:
        shared = {"dim_varying": (True, True)}
        file["t0_fields"].attrs["field_names"] = ["pressure", "wind", "height"]
        put(file["t0_fields"], "wind", numbered(3, 4, 5), time_varying=True, **shared)
        put(file["t0_fields"], "height", numbered(4, 5), **shared)
        del file["dimensions/x"], file["dimensions/time"]
        put(file["dimensions"], "x", grid, sample_varying=True)
        put(file["dimensions"], "time", np.array([[0, 1, 2], [5, 7, 9.0]]), sample_varying=True)
        scalars = file.create_group("scalars")
        scalars.attrs["field_names"] = ["one", "alone", "each", "both"]
        put(scalars, "one", np.array([3.0]))
        put(scalars, "alone", 4.0)
        put(scalars, "each", np.array([5.0, 6.0]), sample_varying=True)
        put(scalars, "both", numbered(2, 3), sample_varying=True, time_varying=True)
        file.attrs.update({"simulation_parameters": ["one", "Re"], "one": 3.0, "Re": 100.0})
    simulation = opened(path, 1)
    np.testing.assert_array_equal(simulation.read(1, 3)[:, 1], numbered(3, 4, 5)[1:])
    np.testing.assert_array_equal(simulation.constants["height"], numbered(4, 5))
    np.testing.assert_array_equal(simulation.axes[0].values, grid[1])
    np.testing.assert_array_equal(simulation.time.values, [5, 7, 9])
    found = {name: value.tolist() for name, value in simulation.parameters.items()}
    assert found == {"one": 3.0, "alone": 4.0, "each": 6.0, "both": [3.0, 4.0, 5.0], "Re": 100.0}


def test_a_symmetric_tensor_keeps_all_its_components(tmp_path: Path) -> None:
    path = small(tmp_path / "a.hdf5")
    values = numbered(2, 3, 4, 5, 2, 2)
    with h5py.File(path, "a") as file:
        fields(file, "t2_fields", stress=values)
        file["t2_fields/stress"].attrs["symmetric"] = True
    simulation = opened(path)
    assert simulation.channels == ("pressure", "stress_xx", "stress_xy", "stress_yx", "stress_yy")
    np.testing.assert_array_equal(simulation.read(0, 3)[:, 2], values[0, ..., 0, 1])
    np.testing.assert_array_equal(simulation.read(0, 3)[:, 3], values[0, ..., 1, 0])


def test_a_mask_may_mark_one_end(tmp_path: Path) -> None:
    path = small(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        boundary(file, "floor", "wall", ["y"], np.array([1, 0, 0, 0, 0], bool))
        boundary(file, "around", "PERIODIC", ["x"], np.array([1, 0, 0, 1], bool))
        boundary(file, "nowhere", "OPEN", [], np.zeros(3, bool))
    assert opened(path).boundary == (("periodic", "periodic"), ("wall", "open"))


def test_a_wall_must_cover_its_side_and_may_differ_by_trajectory(tmp_path: Path) -> None:
    path = small(tmp_path / "a.hdf5")
    sides = np.zeros((4, 5), bool)
    sides[:, 0] = sides[:2, -1] = True
    with h5py.File(path, "a") as file:
        boundary(file, "sides", "WALL", ["x", "y"], sides)
        boundary(file, "end", "WALL", ["x"], np.array([[0, 0, 0, 0], [0, 0, 0, 1]], bool), sample_varying=True)
    assert opened(path, 0).boundary == (("open", "open"), ("wall", "open"))
    assert opened(path, 1).boundary == (("open", "wall"), ("wall", "open"))


def test_windows_are_slices_of_the_whole_in_any_process(fixtures: Path) -> None:
    simulation = opened(fixtures / "pde" / "well" / "data" / "train" / "tiny.hdf5", 2)
    elsewhere = pickle.loads(pickle.dumps(simulation))
    whole = simulation.read(0, len(simulation))
    for start, stop in ((0, 1), (2, 5), (5, 6), (3, 3)):
        np.testing.assert_array_equal(elsewhere.read(start, stop), whole[start:stop])


def test_a_variable_may_be_a_field_or_a_component(fixtures: Path) -> None:
    path = fixtures / "pde" / "well" / "data" / "train" / "tiny.hdf5"
    whole = opened(path).read(0, 2)
    assert opened(path, variables=("velocity",)).channels == ("velocity_x", "velocity_y")
    np.testing.assert_array_equal(opened(path, variables=("strain_yx", "pressure")).read(0, 2), whole[:, [5, 0]])


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("t0_fields/pressure", numbered(3, 3, 4, 5), r"t0_fields/pressure: found 3 along trajectory, expected 2"),
        ("t0_fields/pressure", numbered(2, 3, 5, 4), r"t0_fields/pressure: found 5 along x, expected 4"),
        ("t0_fields/pressure", numbered(2, 4, 5), r"t0_fields/pressure: found 3 axes"),
        ("dimensions/time", np.arange(4.0), r"t0_fields/pressure: found 3 along time, expected 4"),
        ("dimensions/y", np.zeros(5), r"y: found values that are missing, repeated"),
    ],
)
def test_arrays_that_do_not_agree_are_told(tmp_path: Path, name: str, values: np.ndarray, message: str) -> None:
    path = small(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        flags = dict(file[name].attrs)
        del file[name]
        group, _, last = name.partition("/")
        put(file[group], last, values, **flags)
    with pytest.raises(BadInput, match=rf"a\.hdf5: {message}"):
        opened(path)


@pytest.mark.parametrize("count", [0, -1, 10**12, "two"])
def test_a_number_of_trajectories_that_cannot_be_is_told(tmp_path: Path, count: object) -> None:
    path = small(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        file.attrs["n_trajectories"] = count
    with pytest.raises(BadInput, match="n_trajectories"):
        opened(path)


def test_boundaries_that_cannot_be_are_told(tmp_path: Path) -> None:
    odd, half = small(tmp_path / "odd.hdf5"), small(tmp_path / "half.hdf5")
    with h5py.File(odd, "a") as file:
        boundary(file, "end", "ROBIN", ["x"], np.ones(4, bool))
    with pytest.raises(BadInput, match="boundary_conditions/end: found ROBIN along x, expected WALL, OPEN, PERIODIC"):
        opened(odd)
    with h5py.File(half, "a") as file:
        boundary(file, "end", "PERIODIC", ["x"], np.array([1, 0, 0, 0], bool))
    with pytest.raises(BadInput, match="boundary of x: found periodic and open, expected periodic at both ends"):
        opened(half)
    assert opened(half, boundary={"x": "periodic"}).axes[0].periodic
