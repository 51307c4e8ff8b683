import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.layouts import find_trajectories, open_simulation
from transect.data_adapters.pde.simulation import Simulation


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def write(path: Path, **contents: object) -> Path:
    """Write a file with datasets by name; names with a leading underscore become attributes."""
    with h5py.File(path, "w") as file:
        for name, value in contents.items():
            if name.startswith("_"):
                file.attrs[name[1:]] = value
            else:
                file[name.replace("__", "/").replace("_coordinate", "-coordinate")] = value
    return path


def opened(path: Path, at: int = 0, **settings: object) -> Simulation:
    config = ReadConfig(**settings)
    return open_simulation(find_trajectories(str(path), config=config)[at], config)


def one_field(path: Path, **others: object) -> Path:
    contents = {
        "tensor": numbered(20, 4, 3),
        "x_coordinate": np.array([0.5, 1.5, 2.5], np.float32),
        "t_coordinate": np.arange(5, dtype=np.float32),
    }
    return write(path, **(contents | others))


def flow(path: Path, **others: object) -> Path:
    contents = {name: numbered(2, 3, 4, 5) + 1000 * at for at, name in enumerate(("Vx", "Vy", "density", "pressure"))}
    contents |= {"x_coordinate": np.arange(4.0), "y_coordinate": np.arange(5.0), "t_coordinate": np.arange(4.0)}
    return write(path, **(contents | {"_eta": 0.01, "_zeta": 0.02, "_M": 0.1} | others))


def groups(path: Path, count: int = 3, config: str = "") -> Path:
    with h5py.File(path, "w") as file:
        for at in range(count):
            group = file.create_group(f"{at:04d}")
            group["data"] = numbered(4, 3, 5, 2) + 1000 * at
            for axis, length in {"x": 3, "y": 5, "t": 4}.items():
                group[f"grid/{axis}"] = np.arange(length) / 4
            if config:
                group.attrs["config"] = config
    return path


def test_one_equation_gives_its_array_its_time_and_its_parameter(tmp_path: Path) -> None:
    simulation = opened(one_field(tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5", _Nu=0.01), 7)
    np.testing.assert_array_equal(simulation.read(0, 4), numbered(20, 4, 3)[7][:, None])
    np.testing.assert_array_equal(simulation.time.values, [0, 1, 2, 3])
    np.testing.assert_array_equal(simulation.axes[0].values, [0.5, 1.5, 2.5])
    assert simulation.channels == ("tensor",)
    assert {name: value.item() for name, value in simulation.parameters.items()} == {"Nu": 0.01}
    assert simulation.read(0, 4).dtype == np.float32


def test_the_first_tenth_of_one_array_is_for_testing(tmp_path: Path) -> None:
    cases = find_trajectories(str(one_field(tmp_path / "a.hdf5")), config=ReadConfig())
    assert [case.split for case in cases] == ["test"] * 2 + ["train"] * 18
    assert [case.member for case in cases] == [f"{at:02d}" for at in range(20)]


def test_the_last_tenth_of_the_groups_is_for_testing(tmp_path: Path) -> None:
    cases = find_trajectories(str(groups(tmp_path / "a.h5", 21)), config=ReadConfig())
    assert [case.split for case in cases] == ["train"] * 18 + ["test"] * 3


def test_what_cannot_be_split_is_not(tmp_path: Path) -> None:
    few = one_field(tmp_path / "a.hdf5", tensor=numbered(9, 4, 3))
    single = groups(tmp_path / "b.h5", 1)
    assert {case.split for path in (few, single) for case in find_trajectories(str(path), config=ReadConfig())} == {""}


def test_compressible_flow_has_scalars_and_one_velocity(tmp_path: Path) -> None:
    simulation = opened(flow(tmp_path / "2D_CFD_Rand_periodic_Train.hdf5"), 1)
    fields = (Field("density", ("density",)), Field("pressure", ("pressure",)), Field("velocity", ("Vx", "Vy")))
    assert simulation.fields == fields
    for at, offset in enumerate((2000, 3000, 0, 1000)):
        np.testing.assert_array_equal(simulation.read(1, 3)[:, at], numbered(2, 3, 4, 5)[1, 1:3] + offset)
    assert {name: value.item() for name, value in simulation.parameters.items()} == {
        "eta": 0.01,
        "zeta": 0.02,
        "M": 0.1,
    }


def test_variables_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    path = flow(tmp_path / "a.hdf5")
    some = opened(path, variables=("Vy", "density"))
    assert some.fields == (Field("Vy", ("Vy",)), Field("density", ("density",)))
    np.testing.assert_array_equal(some.read(0, 3), opened(path).read(0, 3)[:, [3, 0]])
    assert opened(path, variables=("velocity",)).channels == ("Vx", "Vy")
    with pytest.raises(BadInput, match="variables: found vorticity, expected density, pressure, velocity"):
        opened(path, variables=("vorticity",))


def test_vectors_are_those_asked_for(tmp_path: Path) -> None:
    path = flow(tmp_path / "a.hdf5")
    assert opened(path, vectors={"wind": ["Vx", "Vy"]}).fields[2] == Field("wind", ("Vx", "Vy"))
    with pytest.raises(BadInput, match=r"vectors\.wind: found .*expected a vector of Vx, Vq"):
        opened(path, vectors={"wind": ["Vx", "Vq"]})


def test_groups_keep_their_channels_last_and_are_transposed(tmp_path: Path) -> None:
    simulation = opened(groups(tmp_path / "2D_diff-react_NA_NA.h5"), 2)
    stored = numbered(4, 3, 5, 2) + 2000
    assert simulation.channels == ("activator", "inhibitor")
    for time, x, y, channel in np.ndindex(2, 3, 5, 2):
        assert simulation.read(1, 3)[time, channel, x, y] == stored[1 + time, x, y, channel]
    assert simulation.shape == (3, 5)
    np.testing.assert_array_equal(simulation.axes[1].values, np.arange(5) / 4)


def test_parameters_of_groups_are_the_generators_physics(tmp_path: Path) -> None:
    config = "name: 2d_diff-react\nsim:\n  Du: 1E-3\n  k: 0.005\n  seed: 3\n  xdim: 128\nplot: {dim: 2}\n"
    parameters = opened(groups(tmp_path / "a.h5", config=config)).parameters
    assert {name: value.item() for name, value in parameters.items()} == {"Du": 1e-3, "k": 0.005}


def test_settings_that_are_no_yaml_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a\.h5: config: .*expected settings in YAML"):
        opened(groups(tmp_path / "a.h5", config="sim: [1, 2"))
    with pytest.raises(BadInput, match="config"):
        opened(groups(tmp_path / "b.h5", config="!!python/object/apply:os.getcwd []"))


def test_incompressible_flow_has_a_force_and_times_of_its_own(tmp_path: Path) -> None:
    contents = {"velocity": numbered(2, 3, 4, 5, 2), "particles": -numbered(2, 3, 4, 5, 1)}
    contents |= {"force": numbered(2, 4, 5, 2), "t": np.array([[0, 1, 2], [0, 2, 4.0]])}
    path = write(tmp_path / "ns.h5", **contents, _config="NU: 0.01\nn_steps: 9\n")
    simulation = opened(path, 1)
    assert simulation.channels == ("velocity_x", "velocity_y", "particles")
    np.testing.assert_array_equal(simulation.read(0, 3)[:, 1], contents["velocity"][1, ..., 1])
    np.testing.assert_array_equal(simulation.read(0, 3)[:, 2], contents["particles"][1, ..., 0])
    np.testing.assert_array_equal(simulation.constants["force_y"], contents["force"][1, ..., 1])
    np.testing.assert_array_equal(simulation.time.values, [0, 2, 4])
    np.testing.assert_array_equal(simulation.axes[0].values, [0.5, 1.5, 2.5, 3.5])
    assert simulation.boundary == (("wall", "wall"),) * 2
    assert {name: value.item() for name, value in simulation.parameters.items()} == {"NU": 0.01}


def test_darcy_is_one_frame_with_its_permeability(tmp_path: Path) -> None:
    contents = {"tensor": numbered(2, 1, 3, 4), "nu": -numbered(2, 3, 4), "_beta": 0.1}
    path = write(tmp_path / "2D_DarcyFlow.hdf5", **contents, x_coordinate=np.arange(3.0), y_coordinate=np.arange(4.0))
    simulation = opened(path, 1)
    assert len(simulation) == 1
    assert np.isnan(simulation.time_step())
    np.testing.assert_array_equal(simulation.read(0, 1)[0, 0], contents["tensor"][1, 0])
    np.testing.assert_array_equal(simulation.constants["nu"], contents["nu"][1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1D_Advection_Sols_beta0.1", "periodic"),
        ("1D_Burgers_Sols_Nu1.0", "periodic"),
        ("ReacDiff_Nu0.5_Rho1.0", "periodic"),
        ("1D_CFD_Rand_Eta0.1_Zeta0.1_periodic_Train", "periodic"),
        ("1D_CFD_Shock_Eta1.e-8_Zeta1.e-8_trans_Train", "open"),
        ("diffusion_2d_wall_0000", "wall"),
        ("1D_CFD_outflow", "open"),
        ("1D_Burgers_translated", "periodic"),
        ("Sod1", "open"),
    ],
)
def test_boundaries_are_told_by_the_family(tmp_path: Path, name: str, expected: str) -> None:
    path = one_field(tmp_path / f"{name}.hdf5")
    assert opened(path).boundary == ((expected, expected),)
    assert opened(path, boundary={"x": "wall"}).boundary == (("wall", "wall"),)


def test_a_real_file_is_read_as_it_is_stored(shared_file) -> None:
    path = shared_file("data/pde/pdebench_dr_16px.h5")
    simulation = opened(path, 1)
    with h5py.File(path) as file:
        stored = file["0001/data"][:]
        times = file["0001/grid/t"][:]
    np.testing.assert_array_equal(simulation.read(0, 101), stored.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(simulation.time.values, times.astype(np.float64))
    assert simulation.channels == ("activator", "inhibitor")
    assert simulation.boundary == (("wall", "wall"),) * 2
    assert simulation.time_step() == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("make", [one_field, flow, groups])
def test_windows_are_slices_of_the_whole_in_any_process(tmp_path: Path, make: object) -> None:
    simulation = opened(make(tmp_path / "a.h5"), 1)
    elsewhere = pickle.loads(pickle.dumps(simulation))
    whole = simulation.read(0, len(simulation))
    for start in range(len(simulation)):
        for stop in range(start, len(simulation) + 1):
            np.testing.assert_array_equal(elsewhere.read(start, stop), whole[start:stop])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_coordinate": np.arange(4.0)}, r"tensor: found 3 along x, expected 4"),
        ({"t_coordinate": np.arange(3.0)}, r"t-coordinate: found 3 times, expected 4"),
        ({"t_coordinate": np.arange(8.0).reshape(2, 4)}, r"t-coordinate: found shape \(2, 4\)"),
        ({"tensor": np.ones((20, 4, 3), int)}, r"tensor: found values of type int64, expected floating-point"),
        ({"tensor": np.ones((20, 4))}, r"/tensor: found shape \(20, 4\)"),
        ({"x_coordinate": np.array([0, 2, 1.0])}, r"x: found values that are .*out of order"),
        ({"x_coordinate": np.array([0, 1, np.nan])}, r"x: found values that are missing"),
        ({"t_coordinate": np.arange(5.0)[::-1]}, r"time: found times that decrease"),
        ({"tensor": np.ones((2, 0, 3), np.float32), "t_coordinate": np.zeros(0)}, r"time: found no frames"),
        ({"nu": np.ones((20, 2), np.float32)}, r"nu: found 2 along x, expected 3"),
    ],
)
def test_arrays_that_do_not_agree_are_told(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(BadInput, match=rf"a\.hdf5: {message}"):
        opened(one_field(tmp_path / "a.hdf5", **change))


def test_flow_fields_of_different_shapes_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"Vy: found 4 along y, expected 5"):
        opened(flow(tmp_path / "a.hdf5", Vy=numbered(2, 3, 4, 4)))


def test_a_group_without_its_grid_is_told(tmp_path: Path) -> None:
    path = groups(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["0001/grid/y"]
    opened(path, 0)
    with pytest.raises(BadInput, match=r"0001/grid/y: found no dataset"):
        opened(path, 1)


def test_channels_that_are_another_axis_are_told(tmp_path: Path) -> None:
    path = groups(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["0000/data"]
        file["0000/data"] = numbered(2, 3, 5000)
    with pytest.raises(BadInput, match=r"0000/data: found 5000 channels, expected 1 to 1000, as the last axis"):
        opened(path)


def test_the_family_may_be_told_by_the_generators_name_for_the_run(tmp_path: Path) -> None:
    simulation = opened(groups(tmp_path / "a.h5", config="name: 2d_diff-react\n"))
    assert simulation.boundary == (("wall", "wall"),) * 2
    assert simulation.channels == ("activator", "inhibitor")
    assert opened(groups(tmp_path / "b.h5")).channels == ("u0", "u1")
