import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde import hdf5
from transect.data_adapters.pde.config import ReadConfig
from transect.data_adapters.pde.layouts import find_trajectories, open_simulation

SECRET = 42.0


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file next to the hostile one that must not be read."""
    path = tmp_path / "elsewhere" / "secret.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["tensor"] = np.full((2, 3, 4), SECRET, np.float32)
        file["coordinates"] = np.arange(4.0)
    return path


def write(path: Path, tensor: bool = True) -> Path:
    with h5py.File(path, "w") as file:
        file["x-coordinate"] = np.arange(4.0)
        file["t-coordinate"] = np.arange(3.0)
        if tensor:
            file["tensor"] = np.ones((2, 3, 4), np.float32)
    return path


def read_all(path: Path) -> list[np.ndarray]:
    """Read every trajectory of a file as the application does."""
    config = ReadConfig()
    simulations = [open_simulation(case, config) for case in find_trajectories(str(path), config=config)]
    for one in simulations:
        frames = one.read(0, len(one))
        assert frames.dtype == np.float32
        assert frames.shape == (len(one), len(one.channels), *one.shape)
    return [one.read(0, len(one)) for one in simulations]


def external_link(file: h5py.File, secret: Path) -> None:
    file["tensor"] = h5py.ExternalLink(str(secret), "tensor")


def link_to_a_text(file: h5py.File, secret: Path) -> None:
    file["tensor"] = h5py.ExternalLink("/etc/passwd", "tensor")


def soft_link_through_an_external_one(file: h5py.File, secret: Path) -> None:
    file["away"] = h5py.ExternalLink(str(secret), "/")
    file["tensor"] = h5py.SoftLink("/away/tensor")


def linked_coordinates(file: h5py.File, secret: Path) -> None:
    file["tensor"] = np.ones((2, 3, 4), np.float32)
    del file["x-coordinate"]
    file["x-coordinate"] = h5py.ExternalLink(str(secret), "coordinates")


def virtual_dataset(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((2, 3, 4), np.float32)
    layout[:] = h5py.VirtualSource(str(secret), "tensor", (2, 3, 4))
    file.create_virtual_dataset("tensor", layout)


def external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", (2, 3, 4), np.float32, external=[(str(secret), 0, 96)])


def storage_in_a_text(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", (1, 1, 4), np.float32, external=[("/etc/passwd", 0, 16)])


def terabytes_in_chunks(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", (2, 1 << 40, 4), np.float32, chunks=(1, 1, 4))


def terabytes_in_one_piece(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", (1 << 20, 1 << 20, 4), np.float32)


def a_billion_trajectories(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", (1 << 30, 1, 1), np.float32, chunks=(1 << 20, 1, 1))


def texts(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", data=np.full((2, 3, 4), "text", object), dtype=h5py.string_dtype())


def references(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", (2, 3, 4), h5py.ref_dtype)


def lists(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", (2, 3, 4), h5py.vlen_dtype(np.float32))


def records(file: h5py.File, secret: Path) -> None:
    file.create_dataset("tensor", (2, 3, 4), np.dtype([("a", np.float32), ("b", np.int8)]))


def no_values(file: h5py.File, secret: Path) -> None:
    file["tensor"] = h5py.Empty("f4")


def a_group(file: h5py.File, secret: Path) -> None:
    file.create_group("tensor")


HOSTILE = [
    (external_link, "a link"),
    (link_to_a_text, "a link"),
    (soft_link_through_an_external_one, "a link"),
    (linked_coordinates, "a link"),
    (virtual_dataset, "values kept in other files"),
    (external_storage, "values kept in other files"),
    (storage_in_a_text, "values kept in other files"),
    (terabytes_in_chunks, "bytes declared, 0 stored"),
    (terabytes_in_one_piece, "bytes declared, 0 stored"),
    (a_billion_trajectories, "bytes declared, 0 stored"),
    (texts, "values of type object"),
    (references, "values of type object"),
    (lists, "values of type object"),
    (records, "values of type"),
    (no_values, "values of type"),
    (a_group, "a group"),
]


@pytest.mark.parametrize(("make", "message"), HOSTILE, ids=[make.__name__ for make, _ in HOSTILE])
def test_nothing_but_numbers_in_the_file_itself_is_read(
    tmp_path: Path, secret: Path, make: Callable[[h5py.File, Path], None], message: str
) -> None:
    path = write(tmp_path / "hostile.h5", tensor=False)
    with h5py.File(path, "a") as file:
        make(file, secret)
    with pytest.raises(BadInput, match=rf"hostile\.h5: .*found .*{message}"):
        read_all(path)


def test_links_are_refused_without_following_them(tmp_path: Path) -> None:
    path, gone = write(tmp_path / "hostile.h5", tensor=False), tmp_path / "gone.h5"
    with h5py.File(path, "a") as file:
        file["tensor"] = h5py.ExternalLink(str(gone), "tensor")
    # If followed, a dangling link would look like a missing object.
    with pytest.raises(BadInput, match="found a link"):
        read_all(path)


def test_a_swapped_dataset_is_refused_at_reading_too(tmp_path: Path, secret: Path) -> None:
    path = write(tmp_path / "a.h5")
    simulation = open_simulation(find_trajectories(str(path), config=ReadConfig())[0], ReadConfig())
    with h5py.File(path, "a") as file:
        del file["tensor"]
        external_link(file, secret)
    with pytest.raises(BadInput, match="found a link"):
        simulation.read(0, 3)


def test_what_compresses_well_is_no_bomb(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", tensor=False)
    with h5py.File(path, "a") as file:
        file.create_dataset("tensor", data=np.zeros((2, 3, 100_000), np.float32), chunks=(2, 3, 100_000), compression=9)
        del file["x-coordinate"]
        file["x-coordinate"] = np.arange(100_000.0)
        assert file["tensor"].nbytes > 900 * file["tensor"].id.get_storage_size()
    assert len(read_all(path)) == 2


def test_a_read_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5")
    simulation = open_simulation(find_trajectories(str(path), config=ReadConfig())[0], ReadConfig())
    monkeypatch.setattr(hdf5, "READ_LIMIT", 40)
    assert simulation.read(0, 2).shape == (2, 1, 4)
    with pytest.raises(BadInput, match="/tensor: found 48 bytes to read, expected at most 40"):
        simulation.read(0, 3)


def test_a_large_attribute_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["tensor"] = np.ones((2, 3, 4), np.float32)
        file.attrs["large"] = np.zeros(1 << 18)
    with pytest.raises(BadInput, match="attribute large"):
        read_all(path)


def test_attributes_are_text_numbers_and_lists_of_text(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"text": "ü", "bytes": b"\xff", "number": 3, "list": ["a", "b"], "none": h5py.Empty("f4")})
        file.attrs["numbers"] = [1.5, 2.5]
        file.attrs["reference"] = file.ref
    with hdf5.opened(path) as file:
        found = hdf5.attributes(file)
    assert found.pop("numbers").tolist() == [1.5, 2.5]
    assert found == {"text": "ü", "bytes": "\ufffd", "number": 3, "list": ["a", "b"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "found no such file"),
        (b"", "HDF5: found"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5: found"),
        (b"not HDF5 at all" * 100, "HDF5: found"),
    ],
)
def test_what_is_no_hdf5_file_is_told(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"a\.h5: .*{message}"), hdf5.opened(path):
        pass


def in_groups(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        for at in range(2):
            values = np.arange(24, dtype=np.float32).reshape(3, 4, 2) + at
            group = file.create_group(f"{at:04d}")
            group.create_dataset("data", data=values, chunks=(1, 4, 2), compression="gzip")
            group["grid/x"], group["grid/t"] = np.arange(4.0), np.arange(3.0)
            group.attrs["config"] = "sim: {D: 1E-3}"
    return path


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("intact")
    with h5py.File(write(folder / "arrays.h5"), "a") as file:
        file.attrs["Nu"] = 0.1
    with h5py.File(folder / "well.h5", "w") as file:
        file.attrs["n_trajectories"] = 1
        for group, name, values in (
            ("dimensions", "time", np.arange(3.0)),
            ("dimensions", "x", np.arange(4.0)),
            ("t0_fields", "p", np.ones((1, 3, 4), np.float32)),
        ):
            file[f"{group}/{name}"] = values
            many = group == "t0_fields"
            file[f"{group}/{name}"].attrs.update({"sample_varying": many, "time_varying": many, "dim_varying": [True]})
        file["dimensions"].attrs["spatial_dims"] = ["x"]
        file["t0_fields"].attrs["field_names"] = ["p"]
    in_groups(folder / "groups.h5")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", ["arrays.h5", "groups.h5", "well.h5"])
def test_the_intact_files_are_read(tmp_path: Path, intact: dict[str, bytes], name: str) -> None:
    (tmp_path / name).write_bytes(intact[name])
    assert all(np.isfinite(frames).all() for frames in read_all(tmp_path / name))


@pytest.mark.parametrize("name", ["arrays.h5", "groups.h5", "well.h5"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_bad_input_or_a_valid_simulation(
    tmp_path: Path, intact: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    content = bytearray(intact[name])
    if data.draw(st.booleans(), label="truncated"):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / name
    path.write_bytes(content)
    message = str(path)
    try:
        read_all(path)
    except BadInput as error:
        message = str(error)
    assert str(path) in message
    assert message.encode()


def test_a_damaged_file_fails_alone(tmp_path: Path, intact: dict[str, bytes]) -> None:
    (tmp_path / "good.h5").write_bytes(intact["arrays.h5"])
    (tmp_path / "short.h5").write_bytes(intact["arrays.h5"][:-100])
    shutil.copyfile("/etc/passwd", tmp_path / "text.h5")
    cases = {case.id: case for case in find_trajectories(str(tmp_path), config=ReadConfig())}
    assert set(cases) == {"good-0", "good-1", "short", "text"}
    open_simulation(cases["good-1"], ReadConfig())
    for name, message in (
        ("short", r"short\.h5: HDF5: found .*truncated"),
        ("text", r"text\.h5: layout: found a file"),
    ):
        with pytest.raises(BadInput, match=message):
            open_simulation(cases[name], ReadConfig())
