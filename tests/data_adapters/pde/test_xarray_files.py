"""NetCDF and Zarr as simulations: roles of dimensions, missing values, boundaries, and refused files."""

import base64
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs import Pickle
from scipy.io import netcdf_file

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde import cf
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.layouts import find_trajectories, open_simulation
from transect.data_adapters.pde.simulation import Member, Simulation
from transect.data_adapters.pde.xarray_files import members, open_member

SAMPLE = Path(__file__).resolve().parents[3] / "samples/pde/coads_sst.nc"
FORMATS = ("netcdf3", "netcdf4", "zarr2", "zarr3")
RNG = np.random.default_rng(0)
PLAIN = ReadConfig()


def save(dataset: xr.Dataset, path: Path, kind: str = "netcdf4", **encoding: dict[str, object]) -> Path:
    if kind.startswith("zarr"):
        dataset.to_zarr(path, zarr_format=int(kind[-1]), consolidated=False, encoding=encoding)
    elif kind == "netcdf3":
        dataset.to_netcdf(path, engine="scipy", encoding=encoding)
    else:
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


def flow(**coordinates: object) -> xr.Dataset:
    """A scalar and two components over 5 times and 4 x 6 cells."""
    names = {"p": "Pa", "u": "m/s", "v": "m/s"}
    values = {
        name: (("time", "y", "x"), RNG.standard_normal((5, 4, 6)).astype(np.float32), {"units": units})
        for name, units in names.items()
    }
    return xr.Dataset(values, coordinates)


def read_all(path: Path, config: ReadConfig = PLAIN, member: str = "") -> tuple[Simulation, np.ndarray]:
    simulation = open_member(path, member, config)
    return simulation, simulation.read(0, len(simulation))


@pytest.mark.parametrize("version", [2, 3])
def test_zeros_of_a_store_of_zarr_itself_are_values_and_declared_fill_values_are_not(
    tmp_path: Path, version: int
) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    field = np.arange(24, dtype=np.float32).reshape(4, 6)
    field[1, 2] = field[:, 5] = 0
    arrays = {
        "u": (field, ["time", "x"], None),
        "x": (np.arange(6.0), ["x"], None),
        "time": (np.arange(4.0), ["time"], None),
        "marked": (np.where(field == 0, np.float32(0), field + 1), ["time", "x"], 0),
        "filled": (np.where(field == 0, np.float32(-999), field), ["time", "x"], -999),
    }
    for name, (values, dims, mark) in arrays.items():
        options = {"dimension_names": dims} if version == 3 else {}
        options |= {"fill_value": -999} if (name, version) == ("filled", 2) else {}
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=values.shape, **options)
        array[...] = values
        if version == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = dims
        if mark is not None and (name, version) != ("filled", 2):
            array.attrs["_FillValue"] = base64.b64encode(np.float64(mark).tobytes()).decode() if version == 3 else mark
    simulation, values = read_all(tmp_path / "a.zarr", ReadConfig(variables=("u", "marked", "filled")))
    assert np.array_equal(simulation.time.values, np.arange(4.0))
    assert np.array_equal(values[:, 0], field)
    for channel in (1, 2):
        assert np.array_equal(np.isnan(values[:, channel]), field == 0)


def test_the_sample_has_the_values_gaps_units_and_round_globe_of_its_file() -> None:
    simulation, values = read_all(SAMPLE)
    with h5py.File(SAMPLE) as file:
        for index, name in enumerate(("SST", "UWND", "VWND")):
            stored = file[name][()]
            np.testing.assert_array_equal(values[:, index], np.where(stored == np.float32(-1e34), np.nan, stored))
        np.testing.assert_array_equal(simulation.axes[0].values, file["COADSY"][()])
        np.testing.assert_array_equal(simulation.time.values, file["TIME"][()])
    assert np.isnan(values).mean() == pytest.approx(0.2223, abs=1e-4)
    assert simulation.fields[0] == Field("SST", ("SST",), "Deg C", "SEA SURFACE TEMPERATURE")
    assert simulation.time.units == "hour since 0000-01-01 00:00:00"
    assert [(axis.name, axis.units) for axis in simulation.axes] == [
        ("COADSY", "degrees_north"),
        ("COADSX", "degrees_east"),
    ]
    assert [axis.periodic for axis in simulation.axes] == [False, True]
    assert simulation.time_step() == pytest.approx(365.2425 * 24 / 12)
    assert simulation.attributes["history"] == "FERRET V4.45 (GUI) 22-May-97"


def test_the_whole_climatology_and_the_navy_winds_are_read_as_they_are(shared_file) -> None:
    for name, variables, periodic in (
        ("coads_climatology", ("SST", "AIRT", "SPEH", "WSPD", "UWND", "VWND", "SLP"), [False, True]),
        ("monthly_navy_winds", ("UWND", "VWND"), [False, True]),
    ):
        path = shared_file(f"data/pde/netcdf/{name}.cdf")
        simulation, values = read_all(path, ReadConfig(vectors={"wind": ["UWND", "VWND"]}))
        assert simulation.channels == variables
        assert Field("wind", ("UWND", "VWND"), "M/S") in simulation.fields
        assert [axis.periodic for axis in simulation.axes] == periodic
        with netcdf_file(path, mmap=False) as file:
            for index, variable in enumerate(variables):
                stored = file.variables[variable]
                expected = np.where(stored[:] == np.float32(stored.missing_value), np.nan, stored[:])
                np.testing.assert_array_equal(values[:, index], expected)
                if name == "coads_climatology":
                    assert 0.44 < np.isnan(values[:, index]).mean() < 0.49
    assert simulation.time.units == "hour since 1980-01-14 14:00:00"
    assert len(simulation) == 132
    assert simulation.time_step() == 730.5


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_simulation(kind: str, tmp_path: Path) -> None:
    dataset = flow(time=("time", np.arange(5.0) / 4, {"units": "s"}), x=("x", [0.0, 1, 2, 4, 8, 16], {"units": "m"}))
    dataset = dataset.assign_attrs(title="flow", nu=0.25, parameters="nu drag")
    dataset["drag"] = ("time", np.arange(5.0), {"units": "N"})
    dataset["depth"] = (("y", "x"), np.full((4, 6), 7, np.float32), {"units": "m", "standard_name": "depth"})
    dataset["label"] = ((), 3)
    simulation, values = read_all(save(dataset, tmp_path / "flow", kind), ReadConfig(vectors={"wind": ["u", "v"]}))
    assert simulation.fields == (Field("p", ("p",), "Pa"), Field("wind", ("u", "v"), "m/s"))
    np.testing.assert_array_equal(values, np.stack([dataset[name].values for name in "puv"], 1))
    np.testing.assert_array_equal(simulation.read(3, 9), values[3:])
    assert [axis.name for axis in simulation.axes] == ["y", "x"]
    np.testing.assert_array_equal(simulation.axes[1].values, [0, 1, 2, 4, 8, 16])  # uneven
    np.testing.assert_array_equal(simulation.axes[0].values, np.arange(4))  # has no coordinate
    assert (simulation.axes[0].units, simulation.axes[1].units, simulation.time.units) == ("", "m", "s")
    assert simulation.boundary == (("open", "open"),) * 2
    assert simulation.parameters.keys() == {"nu", "drag"}
    assert simulation.parameters["nu"] == 0.25
    np.testing.assert_array_equal(simulation.parameters["drag"], np.arange(5.0))
    np.testing.assert_array_equal(simulation.constants["depth"], np.full((4, 6), 7))
    assert simulation.descriptions["depth"] == {"units": "m", "standard_name": "depth"}
    assert simulation.attributes == {"title": "flow"}


@pytest.mark.parametrize("kind", ["zarr2", "zarr3", "netcdf4"])
def test_only_the_frames_that_are_asked_for_are_read(kind: str, tmp_path: Path) -> None:
    encoding = {name: {"chunksizes" if kind == "netcdf4" else "chunks": (1, 4, 6)} for name in "puv"}
    if kind == "netcdf4":
        encoding = {name: {**one, "zlib": True} for name, one in encoding.items()}
    dataset = flow()
    path = save(dataset, tmp_path / "a", kind, **encoding)
    if kind == "netcdf4":
        with h5py.File(path) as file:
            place = file["u"].id.get_chunk_info_by_coord((3, 0, 0))
        damage(path, place.byte_offset, place.size)
    else:
        chunk = path / ("u/3.0.0" if kind == "zarr2" else "u/c/3/0/0")
        damage(chunk, 0, chunk.stat().st_size)
    simulation = open_member(path, "", PLAIN)
    np.testing.assert_array_equal(simulation.read(0, 3)[:, 1], dataset["u"].values[:3])
    np.testing.assert_array_equal(simulation.read(4, 5)[:, 1], dataset["u"].values[4:])
    with pytest.raises(BadInput, match="a: u: found"):
        simulation.read(2, 4)


def damage(path: Path, start: int, length: int) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + length] = b"\xff" * length
    path.write_bytes(content)


def test_a_simulation_can_be_read_from_another_process(tmp_path: Path) -> None:
    simulation, values = read_all(save(flow(), tmp_path / "a.nc"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(simulation)).read(1, 2), values[1:2])


def test_packed_integers_are_unpacked_and_their_gaps_are_nan(tmp_path: Path) -> None:
    packed = np.array([[0, 100], [-32768, 7], [5, -3]], np.int16)
    attributes = {"scale_factor": 0.5, "add_offset": 20.0, "_FillValue": np.int16(-32768), "valid_min": np.int16(-99)}
    path = save(xr.Dataset({"a": (("time", "x"), packed, attributes)}), tmp_path / "a.nc")
    simulation, values = read_all(path)
    np.testing.assert_array_equal(values[:, 0], [[20, 70], [np.nan, 23.5], [22.5, 18.5]])
    assert values.dtype == np.float32
    assert simulation.descriptions["a"] == {}


def test_dimensions_in_another_order_are_put_in_the_order_of_the_axes(tmp_path: Path) -> None:
    dataset = flow()
    dataset["v"] = dataset["v"].transpose("x", "time", "y")
    _, values = read_all(save(dataset, tmp_path / "a.nc"))
    np.testing.assert_array_equal(values[:, 2], dataset["v"].transpose("time", "y", "x").values)
    simulation, values = read_all(tmp_path / "a.nc", ReadConfig(axes=("x", "y")))
    assert simulation.shape == (6, 4)
    np.testing.assert_array_equal(values[:, 0], dataset["p"].transpose("time", "x", "y").values)


@pytest.mark.parametrize(
    ("dimension", "attributes", "config"),
    [
        ("t", {}, PLAIN),
        ("TIME", {}, PLAIN),
        ("step", {"axis": "T"}, PLAIN),
        ("step", {"standard_name": "time"}, PLAIN),
        ("step", {"units": "days since 2000-02-30", "calendar": "360_day"}, PLAIN),
        ("step", {"units": "s"}, ReadConfig(time="step")),
    ],
)
def test_the_time_dimension_is_told_by_its_attributes_name_or_the_user(
    dimension: str, attributes: dict[str, str], config: ReadConfig, tmp_path: Path
) -> None:
    dataset = flow(time=("time", np.arange(5.0), attributes)).rename(time=dimension)
    simulation = open_member(save(dataset, tmp_path / "a.nc"), "", config)
    assert (simulation.time.name, simulation.time.units) == (dimension, attributes.get("units", ""))
    np.testing.assert_array_equal(simulation.time.values, np.arange(5))
    assert simulation.time.attributes.get("calendar") == attributes.get("calendar")


def test_members_are_trajectories_of_their_own(tmp_path: Path) -> None:
    dataset = xr.concat([flow() for _ in range(11)], "sample")
    dataset["nu"] = ("sample", np.arange(11.0))
    dataset["wall"] = (("x", "sample", "y"), RNG.random((6, 11, 4)))
    dataset["forcing"] = dataset["p"].isel(sample=3)
    path = save(dataset, tmp_path / "a.nc")
    assert members(path, PLAIN) == [Member(f"{index:02d}") for index in range(11)]
    simulation, values = read_all(path, member="07")
    np.testing.assert_array_equal(values[:, 0], dataset["p"].values[7])
    np.testing.assert_array_equal(values[:, 3], dataset["forcing"].values)  # common to all members
    assert simulation.parameters["nu"] == 7
    np.testing.assert_array_equal(simulation.constants["wall"], dataset["wall"].values[:, 7].T.astype(np.float32))
    with pytest.raises(BadInput, match="11 members"):
        open_member(path, "11", PLAIN)
    cases = find_trajectories(str(path), config=PLAIN)
    np.testing.assert_array_equal(open_simulation(cases[7], PLAIN).read(0, 5), values)


@pytest.mark.parametrize(
    ("coordinate", "config", "count"),
    [(["a", "b"], PLAIN, 2), ([4, 9], PLAIN, 2), ([0.5, 1.0], PLAIN, 1), ([0.5, 1.0], ReadConfig(member="batch"), 2)],
)
def test_a_dimension_with_places_is_an_axis_unless_the_user_says_otherwise(
    coordinate: list[object], config: ReadConfig, count: int, tmp_path: Path
) -> None:
    dataset = xr.concat([flow(), flow()], "batch").assign_coords(batch=coordinate)
    path = save(dataset, tmp_path / "a.nc")
    found = members(path, config)
    assert len(found) == count
    assert len(open_member(path, found[-1].name, config).axes) == 4 - count


def test_components_group_by_standard_names_of_the_same_units(tmp_path: Path) -> None:
    dataset = flow()
    for name, standard in (("u", "eastward_wind"), ("v", "northward_wind"), ("p", "upward_air_velocity")):
        dataset[name].attrs["standard_name"] = standard
    wind = Field("wind", ("u", "v"), "m/s")
    assert open_member(save(dataset, tmp_path / "a.nc"), "", PLAIN).fields == (Field("p", ("p",), "Pa"), wind)
    assert open_member(tmp_path / "a.nc", "", ReadConfig(variables=("v",))).fields == (Field("v", ("v",), "m/s"),)
    config = ReadConfig(variables=("flow", "p"), vectors={"flow": ["v", "u"]})
    assert [one.components for one in open_member(tmp_path / "a.nc", "", config).fields] == [("v", "u"), ("p",)]
    dataset["v"].attrs["units"] = "km/h"
    assert len(open_member(save(dataset, tmp_path / "b.nc"), "", PLAIN).fields) == 3
    with pytest.raises(BadInput, match=r"vectors.flow: found units km/h, m/s"):
        open_member(tmp_path / "b.nc", "", config)


def test_standard_names_make_vectors_of_two_and_three_components() -> None:
    names = ("sea_water_y_velocity", "sea_water_x_velocity", "x_wind", "z_wind", "y_wind", "eastward_sea_ice_velocity")
    found = cf.vectors_of({name: name for name in names})
    assert found == {
        "sea_water_velocity": ["sea_water_x_velocity", "sea_water_y_velocity"],
        "wind": ["x_wind", "y_wind", "z_wind"],
    }
    assert not cf.vectors_of({"a": "max_wind", "b": "may_wind", "c": ""})


@pytest.mark.parametrize(
    ("values", "attributes", "periodic"),
    [
        (np.arange(0, 360, 2.5), {"units": "degrees_east"}, True),
        (np.arange(-180, 181, 2.5), {"units": "degree_E"}, True),
        (np.arange(0, 350, 2.5), {"units": "degrees_east"}, False),
        (np.arange(0, 360, 2.5), {"units": "degrees_north"}, False),
        (np.arange(0, 360, 2.5), {"units": "km", "axis": "X"}, False),
        (np.arange(0, 360, 2.5), {"units": "degrees", "axis": "X"}, True),
        (np.arange(0, 350, 2.5), {"units": "degrees_east", "modulo": " "}, False),
        (np.arange(0, 10, 1.0), {"modulo": " "}, True),
        (np.arange(0, 10, 1.0), {"modulo": 10.0}, True),
        (np.arange(0, 10, 1.0), {"modulo": "20"}, False),
        (np.arange(0, 10, 1.0), {"modulo": "no"}, False),
        (np.arange(0, 10, 1.0), {"boundary": "periodic"}, True),
        (np.arange(0, 360, 2.5), {"units": "degrees_east", "boundary": "wall"}, False),
    ],
)
def test_an_axis_is_periodic_where_it_closes_on_itself(
    values: np.ndarray, attributes: dict[str, object], periodic: bool
) -> None:
    found = cf.boundary_of("a.nc", "x", values, attributes)
    assert (found == ("periodic", "periodic")) is periodic
    assert periodic or found == (("wall", "wall") if "boundary" in attributes else ("open", "open"))


def test_boundary_conditions_are_the_files_or_the_users(tmp_path: Path) -> None:
    path = save(flow(x=("x", np.arange(6.0), {"boundary": "wall open"})), tmp_path / "a.nc")
    case = find_trajectories(str(path), config=PLAIN)[0]
    assert open_simulation(case, PLAIN).boundary == (("open", "open"), ("wall", "open"))
    config = ReadConfig(boundary={"x": "periodic"})
    assert open_simulation(case, config).boundary == (("open", "open"), ("periodic", "periodic"))
    with pytest.raises(BadInput, match="boundary of x: found sticky"):
        cf.boundary_of(path, "x", np.arange(3.0), {"boundary": "sticky"})


def test_variables_of_other_dimensions_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    dataset = flow(time=("time", np.arange(5.0), {"bounds": "time_bnds", "units": "s"}))
    dataset["profile"] = (("time", "z", "x"), RNG.random((5, 3, 6)))
    dataset["mean"] = ("time", RNG.random(5))
    dataset["time_bnds"] = (("time", "nv"), RNG.random((5, 2)))
    dataset["count"] = (("time", "y", "x"), np.ones((5, 4, 6), np.int32))
    dataset["near"] = (("time", "height", "y", "x"), RNG.random((5, 1, 4, 6)))
    dataset["above"] = 2.0
    path = save(dataset.set_coords("above"), tmp_path / "a.nc")
    simulation = open_member(path, "", PLAIN)
    assert simulation.channels == ("p", "u", "v", "near")
    assert not simulation.parameters
    assert "bounds" not in simulation.time.attributes
    assert open_member(path, "", ReadConfig(variables=("count",))).read(0, 1).mean() == 1
    assert open_member(path, "", ReadConfig(axes=("z", "x"))).channels == ("profile",)
    with pytest.raises(BadInput, match="profile: found dimensions time, z, x, expected time, y, x"):
        open_member(path, "", ReadConfig(variables=("p", "profile")))


@pytest.mark.parametrize(
    ("change", "config", "message"),
    [
        (lambda d: d.rename(time="n"), PLAIN, "dimensions: found n, y, x, expected a time dimension; set time"),
        (lambda d: d, ReadConfig(time="n"), "expected a dimension n"),
        (lambda d: d, ReadConfig(member="n"), "expected a dimension n"),
        (lambda d: d, ReadConfig(axes=("y", "n")), "expected a dimension n"),
        (lambda d: d, ReadConfig(variables=("w",)), "variables: found p, u, v, expected one called w"),
        (lambda d: d, ReadConfig(vectors={"a": ["u", "w"]}), "expected one called w"),
        (lambda d: d.astype(int), PLAIN, "spatial dimensions: found none"),
        (lambda d: d.expand_dims(a=2, b=2), PLAIN, "spatial dimensions: found a, b, y, x, expected one to three"),
        (lambda d: d.isel(x=0, y=0), PLAIN, "spatial dimensions: found none"),
        (lambda d: d.assign_coords(x=list("abcdef")), PLAIN, "x: found values of type .*, expected numbers"),
        (lambda d: d.assign(s=("x", list("abcdef"))), ReadConfig(variables=("s",)), "s: found values of type"),
    ],
)
def test_what_does_not_fit_is_named(
    change: Callable[[xr.Dataset], xr.Dataset], config: ReadConfig, message: str, tmp_path: Path
) -> None:
    path = save(change(flow()), tmp_path / "a.nc")
    with pytest.raises(BadInput, match=f"a.nc: .*{message}"):
        list_and_open(path, config)


def list_and_open(path: Path, config: ReadConfig) -> None:
    for member in members(path, config):
        read_all(path, config, member.name)


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_truncated_files_are_refused(kind: str, kept: float, tmp_path: Path) -> None:
    path = save(flow(), tmp_path / "a.nc", kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadInput, match=r"a\.nc: "):
        read_all(path)


def test_other_files_and_urls_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_text("<html>not found</html>")
    (tmp_path / "b.nc").write_bytes(b"CDF\x05" + bytes(100))
    (tmp_path / "c.zarr").mkdir()
    for name in ("a.nc", "b.nc", "c.zarr", "d.nc", "https://example.org/a.nc", "file::a.nc"):
        with pytest.raises(BadInput):
            members(Path(name) if ":" in name else tmp_path / name, PLAIN)


def test_a_store_is_never_unpickled(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    path = save(flow(), tmp_path / "a.zarr", "zarr2")
    (path / "x").mkdir()
    array = {"zarr_format": 2, "shape": [6], "chunks": [6], "dtype": "|O", "order": "C", "fill_value": ""}
    # zarr-python inspects only one of the codecs, and takes this array for strings.
    codecs = {"filters": [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}], "compressor": None}
    (path / "x/.zarray").write_text(json.dumps({**array, **codecs}))
    (path / "x/.zattrs").write_text('{"_ARRAY_DIMENSIONS": ["x"]}')
    (path / "x/0").write_bytes(Pickle().encode(np.array([Payload()], object)))
    with pytest.raises(BadInput, match="codec of x: found pickle"):
        read_all(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", ["zarr2", "zarr3"])
def test_the_parts_of_a_store_lie_in_its_folder(kind: str, tmp_path: Path) -> None:
    path = save(flow(), tmp_path / "a.zarr", kind)
    chunk = path / ("p/0.0.0" if kind == "zarr2" else "p/c/0/0/0")
    chunk.rename(tmp_path / "secret")
    chunk.symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match="a link that leads out of the store"):
        read_all(path)
    shutil.move(path / "u", tmp_path / "u")
    (path / "u").symlink_to(tmp_path / "u")
    with pytest.raises(BadInput, match="a link that leads out of the store"):
        members(path, PLAIN)


def test_values_in_other_files_are_refused(tmp_path: Path) -> None:
    save(flow(), tmp_path / "other.nc")
    (tmp_path / "secret").write_bytes(bytes(480))
    kinds = {
        "link": lambda file: file.__setitem__("w", h5py.ExternalLink(str(tmp_path / "other.nc"), "u")),
        "raw": lambda file: file.create_dataset("w", (5, 4, 6), "f4", external=[(str(tmp_path / "secret"), 0, 480)]),
        "virtual": lambda file: file.create_virtual_dataset("w", layout),
    }
    layout = h5py.VirtualLayout((5, 4, 6), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.nc"), "u", (5, 4, 6))
    for name, add in kinds.items():
        path = save(flow(), tmp_path / f"{name}.nc")
        with h5py.File(path, "r+") as file:
            add(file)
        with pytest.raises(BadInput, match="values in the file itself"):
            members(path, PLAIN)


@pytest.mark.parametrize(
    ("shape", "chunks", "message"),
    [
        ((2, 1 << 23, 1 << 23), (1, 1024, 1024), "size of a"),
        ((2, 1 << 22, 1 << 22, 1 << 22), (1, 64, 64, 64), "size of a"),
        ((2, 1 << 25, 4), (1, 1024, 4), "length of y"),
        ((1 << 40, 4, 4), (1, 4, 4), "length of time"),
        ((1 << 21, 64, 64), (1 << 21, 64, 64), "size of a"),
    ],
)
def test_sizes_that_are_only_declared_are_not_believed(
    shape: tuple[int, ...], chunks: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    names = ("time", "y", "x", "z")[: len(shape)]
    group.create_array("a", shape=shape, chunks=chunks, dtype="f4", dimension_names=names)
    with pytest.raises(BadInput, match=message):
        read_all(tmp_path / "a.zarr")


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4", "zarr3"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_gives_a_simulation_or_a_named_error(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "whole"
    if not path.exists():
        save(flow(x=("x", np.arange(6.0), {"units": "m"})), path, kind)
    files = sorted(file for file in [path, *path.rglob("*")] if file.is_file())
    flipped = tmp_path / "flipped"
    shutil.rmtree(flipped, ignore_errors=True)
    flipped.unlink(missing_ok=True)
    (shutil.copytree if path.is_dir() else shutil.copy)(path, flipped)
    file = flipped / data.draw(st.sampled_from(files)).relative_to(path)
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    failure = None
    try:
        list_and_open(flipped, PLAIN)
    except BadInput as error:
        failure = error
    assert failure is None or failure.file.startswith(str(flipped))
