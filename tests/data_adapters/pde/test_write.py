"""Rollouts as NetCDF and Zarr: round trip of values and metadata, with bounded memory."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cftime
import h5py
import numpy as np
import pytest
import xarray as xr

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import sha256
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.simulation import Axis, Coordinate, Rollout, Simulation
from transect.data_adapters.pde.write import CHUNK, write_rollout
from transect.data_adapters.pde.xarray_files import open_member

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "samples/pde/coads_sst.nc"
RNG = np.random.default_rng(0)
Format = Literal["netcdf", "zarr"]
both = pytest.mark.parametrize("kind", ["netcdf", "zarr"])


def simulation(**changes: object) -> Simulation:
    """A scalar and a vector over three non-uniform or bounded axes, with parameters, constants and attributes."""
    made = Simulation(
        source="runs/duct.hdf5",
        fields=(Field("velocity", ("Vx", "Vy"), "m/s", "flow"), Field("T", ("T",), "K")),
        axes=(
            Axis("z", np.array([0.0, 1, 4]), "m", {"positive": "up"}, ("wall", "open")),
            Axis("y", np.array([3.0, 2, 1, 0]), "m", {}, ("periodic", "periodic")),
            Axis("x", np.array([5.0]), "", {}, ("open", "open")),
        ),
        time=Coordinate("time", np.array([0.5, 1.0, 1.5]), "days since 2000-01-01", {"calendar": "standard"}),
        read=lambda start, stop: np.zeros((stop - start, 3, 3, 4, 1), np.float32),
        parameters={"nu": np.array(0.25), "power": np.array([1.0, 2.0, 4.0])},
        constants={"depth": RNG.random((3, 4, 1)).astype(np.float32)},
        attributes={"title": "duct", "history": "made", "source": "solver 3", "levels": [1, 2], "run": 7},
        descriptions={"Vx": {"standard_name": "x_velocity"}, "depth": {"units": "m"}, "nu": {"units": "m2/s"}},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def values_for(known: Simulation, steps: int) -> np.ndarray:
    values = RNG.standard_normal((steps, len(known.channels), *known.shape)).astype(np.float32)
    values[..., 0, 0] = np.nan
    return values


def cut(values: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(values), size):
        yield values[start : start + size].copy()


def written(
    known: Simulation, values: np.ndarray, folder: Path, kind: Format, size: int = 2, context: int = 2
) -> tuple[Path, dict[str, float | str]]:
    folder.mkdir(exist_ok=True)
    times = known.extend_times(len(values), context)
    facts = write_rollout(Rollout(known, times, cut(values, size), context, kind), folder, "axial 3 (0f3a)")
    (path,) = folder.iterdir()
    return path, facts


@both
def test_everything_that_the_simulation_tells_reads_back(kind: Format, tmp_path: Path) -> None:
    known = simulation()
    values = values_for(known, 5)
    path, _ = written(known, values, tmp_path / "out", kind)
    found = open_member(path, "", ReadConfig())
    np.testing.assert_array_equal(found.read(0, 5), values)
    assert found.channels == known.channels
    assert found.fields[0] == replace(known.fields[0], long_name="")
    assert found.fields[1:] == known.fields[1:]
    for axis, expected in zip(found.axes, known.axes, strict=True):
        np.testing.assert_array_equal(axis.values, expected.values)
        assert replace(axis, values=expected.values) == expected
    np.testing.assert_array_equal(found.time.values, [1.5, 2.0, 2.5, 3.0, 3.5])
    assert (found.time.units, found.time.attributes) == (known.time.units, known.time.attributes)
    assert found.parameters.keys() == known.parameters.keys()
    assert found.parameters["nu"] == 0.25
    np.testing.assert_array_equal(found.parameters["power"], [4, 4, 4, 4, 4])
    np.testing.assert_array_equal(found.constants["depth"], known.constants["depth"])
    assert found.descriptions["Vx"] == {"units": "m/s", "long_name": "flow", "standard_name": "x_velocity"}
    assert (found.descriptions["depth"], found.descriptions["nu"]) == ({"units": "m"}, {"units": "m2/s"})
    history = "made\n5 frames predicted after frame 2 of duct.hdf5 (source: solver 3) by axial 3 (0f3a)"
    assert found.attributes == {
        **known.attributes, "history": history, "source": "axial 3 (0f3a)", "Conventions": "CF-1.11",
    }  # fmt: skip


@both
def test_plain_xarray_opens_it_with_dates_units_and_gaps(kind: Format, tmp_path: Path) -> None:
    known = simulation()
    values = values_for(known, 5)
    path, _ = written(known, values, tmp_path / "out", kind)
    with xr.open_dataset(path) as dataset:
        np.testing.assert_array_equal(
            dataset["time"].values, np.arange("2000-01-02T12", "2000-01-05", 12, dtype="datetime64[h]")
        )
        np.testing.assert_array_equal(dataset["T"].values, values[:, 2])
        assert dataset["T"].dims == ("time", "z", "y", "x")
        assert dataset["Vy"].attrs == {"units": "m/s", "long_name": "flow", "vector": "velocity"}
        assert dataset["z"].attrs == {"units": "m", "positive": "up", "boundary": "wall open"}
        assert dataset["y"].attrs["boundary"] == "periodic"
        assert dataset.attrs["Conventions"] == "CF-1.11"


@both
def test_a_climatology_continues_as_dates_of_the_next_year(kind: Format, tmp_path: Path) -> None:
    known = open_member(SAMPLE, "", ReadConfig(vectors={"wind": ["UWND", "VWND"]}))
    path, facts = written(known, known.read(0, 12), tmp_path / "out", kind, context=12)
    found = open_member(path, "", ReadConfig())
    np.testing.assert_array_equal(found.read(0, 12), known.read(0, 12))
    assert found.fields == known.fields
    assert found.descriptions == known.descriptions
    assert found.axes[1].periodic
    assert found.time.values[0] == pytest.approx(known.time.values[-1] + known.time_step())
    with xr.open_dataset(path) as dataset:
        assert dataset["TIME"].values[0] == cftime.DatetimeProlepticGregorian(1, 1, 15, 11, 49, 12, has_year_zero=True)
        assert dataset["COADSX"].attrs["modulo"] == " "
    assert facts["first"] == "9131.82 hour since 0000-01-01 00:00:00"
    assert facts["steps"] == 12
    assert facts["fields"] == "SST, wind"
    least, most = np.nanmin(known.read(0, 12)[:, 0]), np.nanmax(known.read(0, 12)[:, 0])
    assert facts["SST"] == f"{least:.4g} to {most:.4g} Deg C"


@both
def test_the_same_rollout_makes_the_same_bytes_however_it_is_cut(kind: Format, tmp_path: Path) -> None:
    known = open_member(SAMPLE, "", ReadConfig())
    values = np.concatenate([known.read(0, 12)] * 5)
    first, _ = written(known, values, tmp_path / "a", kind, size=1)
    time.sleep(1.1)  # HDF5 time stamps, if any, have a resolution of seconds
    second, _ = written(known, values, tmp_path / "b", kind, size=47)
    assert sha256(first) == sha256(second)
    np.testing.assert_array_equal(open_member(second, "", ReadConfig()).read(0, 60), values)


def test_a_chunk_is_many_small_frames_or_a_part_of_a_large_one(tmp_path: Path) -> None:
    for shape, steps, expected in (((64,), 9000, (CHUNK // 256, 64)), ((3, 700, 500), 2, (1, 1, 524, 500))):
        axes = tuple(Axis(f"x{index}", np.arange(length * 1.0)) for index, length in enumerate(shape))
        known = simulation(fields=(Field("u", ("u",)),), axes=axes, constants={})
        path, _ = written(known, np.zeros((steps, 1, *shape), np.float32), tmp_path / str(len(shape)), "netcdf")
        with h5py.File(path) as file:
            assert file["u"].chunks == expected
            assert file["u"].compression == "gzip"


@both
def test_attributes_of_any_kind_are_written(kind: Format, tmp_path: Path) -> None:
    attributes = {"a": None, "b": {"c": [1]}, "d": True, "e": [], "f": "", "g": 1.5, "h": ["x", "y"], "i": "é" * 70000}
    path, _ = written(simulation(attributes=attributes), np.zeros((1, 3, 3, 4, 1), np.float32), tmp_path / "o", kind)
    found = open_member(path, "", ReadConfig()).attributes
    assert {name: found[name] for name in "abdefghi"} == {
        **attributes, "a": "None", "b": "{'c': [1]}", "d": "True", "e": "[]",
    }  # fmt: skip
    assert "history" in found


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values[:4], "found 4 frames, expected 5"),
        (lambda values: np.concatenate([values, values]), "after 4 frames"),
        (lambda values: values[..., 0], "expected"),
    ],
)
def test_frames_that_are_not_those_declared_are_an_error(
    kind: Format, change: Callable[[np.ndarray], np.ndarray], message: str, tmp_path: Path
) -> None:
    known = simulation()
    rollout = Rollout(known, known.extend_times(5, 3), cut(change(values_for(known, 5)), 2), 3, kind)
    with pytest.raises(ValueError, match=message):
        write_rollout(rollout, tmp_path, "m")


@both
@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_an_error_of_the_model_is_raised_as_it_is(kind: Format, error: BaseException, tmp_path: Path) -> None:
    known = simulation()

    def failing() -> Iterator[np.ndarray]:
        yield values_for(known, 2)
        raise error

    with pytest.raises(type(error)) as caught:
        write_rollout(Rollout(known, known.extend_times(5, 3), failing(), 3, kind), tmp_path, "m")
    assert caught.value is error


def run(code: str, folder: Path, kind: Format) -> str:
    code = f"""
import resource, signal, sys
from pathlib import Path
import numpy as np
from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.simulation import Axis, Coordinate, Rollout, Simulation
from transect.data_adapters.pde.write import write_rollout

axes = (Axis("y", np.arange(256.0)), Axis("x", np.arange(256.0)))
simulation = Simulation("a.nc", (Field("u", ("u",)),), axes, Coordinate("t", np.arange(2.0)), None)
rng = np.random.default_rng(0)

def write(folder, frames, make):
    folder.mkdir()
    blocks = (make(index) for index in range(frames // 4))
    write_rollout(Rollout(simulation, np.arange(frames * 1.0), blocks, 2, "{kind}"), folder, "m")

folder = Path({str(folder)!r})
{code}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout


@both
def test_memory_does_not_grow_with_the_number_of_frames(kind: Format, tmp_path: Path) -> None:
    code = """
import psutil
peak = 0
def make(index):
    global peak
    peak = max(peak, psutil.Process().memory_info().rss >> 20)
    return np.full((4, 1, 256, 256), index, np.float32)
for frames in (40, 360):
    write(folder / str(frames), frames, make)
    print(peak)
"""
    few, many = map(int, run(code, tmp_path, kind).split())
    assert many - few < 20  # MiB, of 80 more


@both
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(kind: Format, tmp_path: Path) -> None:
    code = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
make = lambda index: rng.standard_normal((4, 1, 256, 256)).astype(np.float32)
write(folder / "whole", 8, make)
whole = max(file.stat().st_size for file in folder.rglob("*") if file.is_file())
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in (100, 3000, whole // 2, whole - 1000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        write(folder / str(limit), 8, make)
    except OSError as error:
        print("could not be written whole" in str(error) and "rollout" in str(error))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
"""
    assert run(code, tmp_path, kind).split() == ["True"] * 4


def test_times_are_those_of_the_simulation_and_then_go_on() -> None:
    known = simulation()
    np.testing.assert_array_equal(known.extend_times(4, 1), [1.0, 1.5, 2.0, 2.5])
    np.testing.assert_array_equal(known.extend_times(2, 3), [2.0, 2.5])
    rounded = np.linspace(0, 1, 101).astype(np.float32).astype(float)
    found = simulation(time=Coordinate("t", rounded)).extend_times(100, 101)
    np.testing.assert_allclose(found, np.linspace(1.01, 2, 100), rtol=1e-12)
    single = simulation(time=Coordinate("t", np.array([4.0]), "s"))
    np.testing.assert_array_equal(single.extend_times(2, 1, step=0.5), [4.5, 5.0])
    with pytest.raises(BadInput, match="t: found a single frame, expected two or more"):
        single.extend_times(2, 1)
    with pytest.raises(BadInput, match="a step of 2 after frame 1"):
        simulation(time=Coordinate("t", np.array([0.0, 1, 3]))).extend_times(2, 1)
