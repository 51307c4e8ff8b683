from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import safe_name
from transect.data_adapters.pde.config import ReadConfig
from transect.data_adapters.pde.layouts import find_trajectories, layout_of, open_simulation
from transect.data_adapters.pde.simulation import Trajectory

VTU = '<?xml version="1.0"?>\n<VTKFile type="UnstructuredGrid" version="0.1"></VTKFile>\n'


def find(*inputs: Path, **settings: object) -> list[Trajectory]:
    return find_trajectories(*map(str, inputs), config=ReadConfig(**settings))


def pdebench(path: Path, count: int = 1, length: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["tensor"] = np.arange(count * 2 * length, dtype=np.float32).reshape(count, 2, length)
        file["x-coordinate"], file["t-coordinate"] = np.arange(float(length)), np.arange(2.0)
    return path


def gridded(path: Path, **how: object) -> Path:
    data = xr.Dataset({"u": (("time", "x"), np.ones((2, 3), np.float32))}, {"time": [0.0, 1.0], "x": [0.0, 1.0, 2.0]})
    if path.suffix == ".zarr":
        data.to_zarr(path, consolidated=False, **how)
    else:
        data.to_netcdf(path, **how)
    return path


def test_layouts_are_told_from_content_whatever_the_name(tmp_path: Path, fixtures: Path) -> None:
    (tmp_path / "mesh.h5").write_text(VTU)
    made = {
        "pdebench": [pdebench(tmp_path / "a.nc")],
        "well": [fixtures / "pde" / "well" / "data" / "train" / "tiny.hdf5"],
        "xarray": [
            gridded(tmp_path / "classic.h5", engine="scipy"),
            gridded(tmp_path / "four.hdf5", engine="h5netcdf"),
            gridded(tmp_path / "two.zarr", zarr_format=2),
            gridded(tmp_path / "three.zarr", zarr_format=3).rename(tmp_path / "folder"),
        ],
        "mesh": [tmp_path / "mesh.h5"],
    }
    for layout, paths in made.items():
        assert {layout_of(path, ReadConfig()) for path in paths} == {layout}


def test_netcdf_without_the_library_s_mark_is_told_by_its_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3.0)
        file["x"].make_scale("x")
        file["density"] = np.ones((2, 3), np.float32)
        file["density"].dims[1].attach_scale(file["x"])
    assert layout_of(path, ReadConfig()) == "xarray"


def test_a_layout_that_is_given_is_not_told_again(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["other"] = np.ones(3)
    [case] = find(tmp_path / "a.h5", layout="pdebench")
    with pytest.raises(BadInput, match="layout: found other, expected a file of PDEBench"):
        open_simulation(case, ReadConfig(layout="pdebench"))


def test_an_unknown_layout_is_told_at_reading_with_what_is_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        for at in range(10):
            file[f"field{at}"] = np.ones(3)
    pdebench(tmp_path / "good.h5")
    good, odd = find(tmp_path)
    assert (odd.id, odd.layout) == ("odd", "")
    with pytest.raises(
        BadInput, match=r"odd\.h5: layout: found HDF5 with field0, .*field7 and 2 more, expected HDF5 of"
    ):
        open_simulation(odd, ReadConfig())
    assert len(open_simulation(good, ReadConfig())) == 2


def test_folders_give_split_and_data_set(tmp_path: Path) -> None:
    places = ("Train", "VALIDATION", "val", "valid", "test", "other", "data", "data/train", "train/run_0001")
    for at, place in enumerate(places):
        pdebench(tmp_path / "set" / place / f"f{at}.h5")
    found = {case.id: (case.split, case.dataset) for case in find(tmp_path)}
    assert found == {
        "f0": ("train", "set"),
        "f1": ("val", "set"),
        "f2": ("val", "set"),
        "f3": ("val", "set"),
        "f4": ("test", "set"),
        "f5": ("", ""),
        "f6": ("", ""),
        "f7": ("train", "set"),
        "f8": ("train", "set"),
    }
    assert {case.dataset for case in find(tmp_path / "set" / "test")} == {""}


def test_folders_that_divide_overrule_the_files(tmp_path: Path) -> None:
    pdebench(tmp_path / "train" / "a.h5", 10)
    pdebench(tmp_path / "test" / "b.h5", 10)
    assert {(case.id[0], case.split) for case in find(tmp_path)} == {("a", "train"), ("b", "test")}


def test_a_lone_train_folder_leaves_the_split_to_the_file(tmp_path: Path) -> None:
    pdebench(tmp_path / "1D" / "Burgers" / "Train" / "a.hdf5", 10)
    pdebench(tmp_path / "1D" / "CFD" / "Test" / "b.hdf5", 10)
    splits = [case.split for case in find(tmp_path)]
    assert splits == ["test", *["train"] * 9, *["test"] * 10]


def test_identifiers_are_unique_and_safe(tmp_path: Path) -> None:
    for place in (
        "same.h5",
        "one/same.h5",
        "two/same.h5",
        "odd name.h5",
        "odd_name.h5",
        "a.h5",
        "a.nc",
        "x" * 200 + ".h5",
    ):
        pdebench(tmp_path / place)
    pdebench(tmp_path / "many.h5", 11)
    cases = find(tmp_path)
    ids = [case.id for case in cases]
    assert {"same", "one-same", "two-same", "many-00", "many-10"} <= set(ids)
    assert len({one.casefold() for one in ids}) == len(ids) == 19
    assert all(one == safe_name(one) and len(one) < 140 for one in ids)
    assert all(case.group == case.id for case in cases)
    assert cases == find(tmp_path)


def test_files_may_be_given_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (pdebench(tmp_path / name / "test" / "a.h5", count) for name, count in (("p", 1), ("q", 2)))
    assert [case.id for case in find(first)] == ["a"]
    assert [case.id for case in find(second, first)] == ["q_test-a-0", "q_test-a-1", "p_test-a"]
    monkeypatch.chdir(tmp_path)
    assert find(Path("p/test/a.h5"), second)[0].files == ("p/test/a.h5",)
    assert [case.dataset for case in find(Path("p/test/a.h5"), second)] == ["p", "q", "q"]
    gone = find(tmp_path / "gone.h5", second)
    assert [(case.id, case.layout) for case in gone][:1] == [("gone", "")]
    with pytest.raises(BadInput, match=r"gone\.h5: file: found no such file"):
        open_simulation(gone[0], ReadConfig())


def test_a_zarr_store_is_one_file(tmp_path: Path) -> None:
    gridded(tmp_path / "in" / "a.zarr")
    (tmp_path / "in" / "broken.zarr").mkdir()
    alone, broken = find(tmp_path)
    assert (alone.id, alone.layout, alone.files) == ("a", "xarray", (str(tmp_path / "in" / "a.zarr"),))
    assert find(tmp_path / "in" / "a.zarr")[0].id == "a"
    with pytest.raises(BadInput, match=r"broken\.zarr: layout: found a folder that is no Zarr store"):
        open_simulation(broken, ReadConfig())
    with pytest.raises(BadInput, match=r"broken\.zarr: simulations: found no file"):
        find(tmp_path / "in" / "broken.zarr")


def test_frames_of_a_collection_and_what_is_hidden_are_no_cases(tmp_path: Path) -> None:
    for name in ("run.pvd", "frames/a.vtu", ".hidden.vtu", ".partial/b.vtu", "notes.txt"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_text(VTU)
    (tmp_path / "alone.vtu").write_text(VTU)
    assert [case.id for case in find(tmp_path)] == ["alone", "run"]


def test_a_link_back_to_its_folder_is_not_followed_for_ever(tmp_path: Path) -> None:
    pdebench(tmp_path / "data" / "a.h5")
    (tmp_path / "data" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "data")
    assert [case.id for case in find(tmp_path / "elsewhere")] == ["a"]


def test_nothing_to_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="simulations: found no file that may hold any"):
        find(tmp_path)
    with pytest.raises(BadInput, match="gone: input: found nothing there"):
        find(tmp_path / "gone")
    with pytest.raises(BadInput, match="inputs: number: found 0"):
        find()


def test_a_file_replaced_after_listing_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"")
    [case] = find(tmp_path)
    pdebench(tmp_path / "a.h5")
    with pytest.raises(BadInput, match="another one than when it was listed"):
        open_simulation(case, ReadConfig())
    [case] = find(tmp_path)
    (tmp_path / "a.h5").unlink()
    with pytest.raises(BadInput, match="no such file"):
        open_simulation(case, ReadConfig())


def test_boundaries_given_by_hand_are_those_of_an_axis(tmp_path: Path) -> None:
    path = pdebench(tmp_path / "a.h5")
    config = ReadConfig(boundary={"x": "periodic"})
    assert open_simulation(find(path)[0], config).axes[0].periodic
    with pytest.raises(BadInput, match="boundary: found axis lat, expected an axis of the simulation: x"):
        open_simulation(find(path)[0], ReadConfig(boundary={"lat": "wall"}))


def test_ten_thousand_trajectories_are_listed(tmp_path: Path) -> None:
    path = pdebench(tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5", 10_000, 8)
    cases = find(path)
    assert len(cases) == 10_000
    assert [case.split for case in cases].count("test") == 1000
    assert cases[4321].id == "1D_Burgers_Sols_Nu0.01-4321"
    np.testing.assert_array_equal(open_simulation(cases[4321], ReadConfig()).read(0, 1)[0, 0], 4321 * 16 + np.arange(8))
