"""Meshes in VTU and PVD files: comparison with meshio, all encodings, lazy reading, round trip, hostile files."""

import base64
import lzma
import random
import tracemalloc
import zlib
from pathlib import Path
from xml.etree import ElementTree

import meshio
import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.checks import validated
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.mesh_files import members, open_member, write_frames, write_mesh_rollout
from transect.data_adapters.pde.mesh_phantom import (
    DIFFUSIVITY,
    exact_states,
    random_coefficients,
    random_mesh,
    write_mesh_phantom,
)
from transect.data_adapters.pde.simulation import Mesh, Rollout, Simulation
from transect.data_adapters.pde.vtu import VtuFile

ENCODINGS = [
    {"binary": False},
    {"compression": None},
    {"compression": "zlib"},
    {"compression": "lzma"},
    {"compression": None, "header_type": "UInt64"},
    {"compression": "zlib", "header_type": "UInt64"},
]


def sample(points: int = 30, seed: int = 0) -> meshio.Mesh:
    rng = np.random.default_rng(seed)
    corners = [("triangle", 3, 12), ("wedge", 6, 5), ("quad", 4, 3), ("triangle", 3, 2)]
    return meshio.Mesh(
        rng.random((points, 3)),
        [(name, rng.integers(0, points, (count, size))) for name, size, count in corners],
        {
            "u": rng.standard_normal(points),
            "velocity": rng.standard_normal((points, 3)).astype(np.float32),
            "id": np.arange(points),
        },
    )


def trajectory(folder: Path, frames: int = 4, points: int = 30) -> tuple[Path, np.ndarray, Mesh]:
    """A collection of a scalar, a vector and a constant on a flat mesh; `(frames, channels, points)`."""
    rng = np.random.default_rng(1)
    states = rng.standard_normal((frames, 3, points)).astype(np.float32)
    mesh = random_mesh(rng, points)
    fields = (Field("u", ("u",)), Field("v", ("v_x", "v_y")))
    constants = {"k": rng.random(points).astype(np.float32)}
    write_frames(folder, 0.25 * np.arange(frames), iter(states), fields, constants, mesh, "a -- test")
    return folder / "rollout.pvd", states, mesh


def opened(path: Path, config: ReadConfig | None = None) -> Simulation:
    config = config or ReadConfig()
    (member,) = members(path, config)
    return validated(open_member(path, member.name, config), config)


def replaced(path: Path, old: str | bytes, new: str | bytes) -> Path:
    old, new = (part.encode() if isinstance(part, str) else part for part in (old, new))
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


def read_all(path: Path) -> None:
    file = VtuFile(path)
    file.points(), file.cells()
    for name in file.fields:
        file.values(name)


# ---------------------------------------------------------------- comparison with meshio


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_reads_what_meshio_writes(tmp_path, encoding):
    mesh, path = sample(), tmp_path / "a.vtu"
    meshio.vtu.write(path, mesh, **encoding)
    file, expected = VtuFile(path), meshio.vtu.read(path)
    np.testing.assert_array_equal(file.points(), expected.points)
    assert list(file.cells()) == ["triangle", "wedge", "quad"]
    for name, corners in file.cells().items():
        np.testing.assert_array_equal(corners, expected.cells_dict[name])
    assert file.fields == {"u": 1, "velocity": 3}
    np.testing.assert_array_equal(file.values("u"), expected.point_data["u"][None].astype(np.float32))
    np.testing.assert_array_equal(file.values("velocity"), expected.point_data["velocity"].T)
    np.testing.assert_array_equal(file.values("id")[0], np.arange(30))


def appended(path: Path, mesh: meshio.Mesh, *, raw: bool, packed: bool, order: str = "<") -> None:
    """`mesh` with appended arrays as ParaView writes them, in blocks of 100 bytes if compressed."""
    data, offsets = b"", {}
    kinds = {"triangle": (5, 3)}
    ((name, corners),) = mesh.cells_dict.items()
    code, size = kinds[name]
    arrays = {
        "Points": mesh.points,
        "connectivity": corners.ravel(),
        "offsets": size * np.arange(1, len(corners) + 1),
        "types": np.full(len(corners), code, np.uint8),
        "u": mesh.point_data["u"],
    }
    for name, array in arrays.items():
        content = array.astype(array.dtype.newbyteorder(order)).tobytes()
        blocks = [zlib.compress(content[at : at + 100]) for at in range(0, len(content), 100)]
        sizes = [len(blocks), 100, len(content) % 100, *map(len, blocks)] if packed else [len(content)]
        header, body = np.array(sizes, order + "u4").tobytes(), b"".join(blocks) if packed else content
        offsets[name] = len(data)
        if raw:
            data += header + body
        else:
            data += base64.b64encode(header) + base64.b64encode(body) if packed else base64.b64encode(header + body)

    def element(name: str, kind: str, components: int = 1) -> str:
        shape = f'Name="{name}" NumberOfComponents="{components}"'
        return f'<DataArray type="{kind}" {shape} format="appended" offset="  {offsets[name]}"/>'

    compressor = 'compressor="vtkZLibDataCompressor"' if packed else ""
    byte_order = "LittleEndian" if order == "<" else "BigEndian"
    text = f"""<?xml version="1.0"?>
<VTKFile type="UnstructuredGrid" version="2.2" byte_order="{byte_order}" header_type="UInt32" {compressor}>
<UnstructuredGrid><FieldData/><Piece NumberOfPoints="{len(mesh.points)}" NumberOfCells="{len(corners)}">
<PointData>{element("u", "Float64")}</PointData><Points>{element("Points", "Float64", 3)}</Points>
<Cells>{element("connectivity", "Int64")}{element("offsets", "Int64")}{element("types", "UInt8")}</Cells>
</Piece></UnstructuredGrid><AppendedData encoding="{"raw" if raw else "base64"}">
   _"""
    path.write_bytes(text.encode() + data + b"\n  </AppendedData>\n</VTKFile>\n")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("raw", [True, False])
def test_reads_appended_data(tmp_path, raw, packed, order):
    rng = np.random.default_rng(3)
    mesh = meshio.Mesh(rng.random((41, 3)), {"triangle": rng.integers(0, 41, (50, 3))}, {"u": rng.random(41)})
    appended(tmp_path / "a.vtu", mesh, raw=raw, packed=packed, order=order)
    file = VtuFile(tmp_path / "a.vtu")
    np.testing.assert_array_equal(file.points(), mesh.points)
    np.testing.assert_array_equal(file.cells()["triangle"], mesh.cells_dict["triangle"])
    np.testing.assert_array_equal(file.values("u")[0], mesh.point_data["u"].astype(np.float32))


# ---------------------------------------------------------------- simulations


def test_reads_fields_constants_and_times(tmp_path):
    path, states, mesh = trajectory(tmp_path)
    found = opened(path)
    assert found.fields == (Field("u", ("u",)), Field("v", ("v_x", "v_y")))
    np.testing.assert_array_equal(found.read(0, 4), states)
    np.testing.assert_array_equal(found.read(1, 3), states[1:3])
    np.testing.assert_array_equal(found.time.values, [0, 0.25, 0.5, 0.75])
    assert found.mesh is not None
    np.testing.assert_array_equal(found.mesh.points, mesh.points)
    np.testing.assert_array_equal(found.mesh.cells["triangle"], mesh.cells["triangle"])
    assert list(found.constants) == ["k"]
    assert found.shape == (30,)


def test_reads_the_variables_that_are_asked_for(tmp_path):
    path, states, _ = trajectory(tmp_path)
    found = opened(path, ReadConfig(variables=("v_y", "k")))
    assert found.channels == ("v_y", "k")
    np.testing.assert_array_equal(found.read(2, 4)[:, 0], states[2:, 2])
    np.testing.assert_array_equal(found.read(2, 3)[0, 1], opened(path).constants["k"])
    with pytest.raises(BadInput, match="variables: found w, expected"):
        opened(path, ReadConfig(variables=("w",)))


def test_scalars_become_a_vector_and_keep_their_names_when_written(tmp_path):
    mesh = random_mesh(np.random.default_rng(0), 20)
    states = np.random.default_rng(1).random((2, 2, 20)).astype(np.float32)
    fields = tuple(Field(name, (name,)) for name in ("U", "V"))
    write_frames(tmp_path / "in", np.arange(2.0), iter(states), fields, {}, mesh, "")
    config = ReadConfig(vectors={"wind": ["V", "U"]})
    found = opened(tmp_path / "in" / "rollout.pvd", config)
    assert found.fields == (Field("wind", ("V", "U")),)
    np.testing.assert_array_equal(found.read(0, 2), states[:, ::-1])
    write_mesh_rollout(Rollout(found, found.time.values, iter([found.read(0, 2)]), 1), tmp_path / "out", "")
    again = opened(tmp_path / "out" / "rollout.pvd", config)
    assert again.fields == found.fields
    np.testing.assert_array_equal(again.read(0, 2), found.read(0, 2))


def test_a_single_file_is_one_frame_of_all_its_fields(tmp_path):
    path, states, _ = trajectory(tmp_path)
    found = opened(path.parent / "frames" / "000002.vtu")
    assert len(found) == 1
    assert found.channels == ("k", "u", "v_x", "v_y")
    np.testing.assert_array_equal(found.read(0, 1)[0, 1:], states[2])


def test_a_solid_mesh_keeps_its_three_coordinates(tmp_path):
    meshio.vtu.write(tmp_path / "a.vtu", sample())
    found = opened(tmp_path / "a.vtu").mesh
    assert found is not None
    assert found.points.shape == (30, 3)


def test_opens_frames_when_they_are_asked_for(tmp_path):
    path, states, _ = trajectory(tmp_path)
    (path.parent / "frames" / "000002.vtu").unlink()
    found = opened(path)
    np.testing.assert_array_equal(found.read(0, 2), states[:2])
    with pytest.raises(BadInput, match=r"000002\.vtu: file: found No such file"):
        found.read(1, 3)


def test_names_the_frame_that_has_another_mesh(tmp_path):
    path, _, mesh = trajectory(tmp_path)
    frame = path.parent / "frames" / "000001.vtu"
    content = meshio.vtu.read(frame)
    for points, cells in (
        (content.points + 1e-9, content.cells),
        (content.points, [("triangle", mesh.cells["triangle"][::-1])]),
    ):
        meshio.vtu.write(frame, meshio.Mesh(points, cells, content.point_data))
        with pytest.raises(BadInput, match=r"000001\.vtu: mesh: found another"):
            opened(path).read(0, 2)


def test_names_the_frame_that_lacks_a_field_or_has_other_components(tmp_path):
    path, _, _ = trajectory(tmp_path)
    frame = path.parent / "frames" / "000001.vtu"
    content = meshio.vtu.read(frame)
    wider = dict(content.point_data) | {"u": np.zeros((30, 2), np.float32)}
    for data, message in (({"v": content.point_data["v"]}, "u: found no such"), (wider, "u: found 2 components")):
        meshio.vtu.write(frame, meshio.Mesh(content.points, content.cells, data))
        with pytest.raises(BadInput, match=rf"000001\.vtu: {message}"):
            opened(path).read(0, 2)


def test_a_mesh_without_point_data_is_refused(tmp_path):
    mesh = sample()
    meshio.vtu.write(tmp_path / "a.vtu", meshio.Mesh(mesh.points, mesh.cells))
    with pytest.raises(BadInput, match="point data: found none that change"):
        opened(tmp_path / "a.vtu")


# ---------------------------------------------------------------- round trip


def test_a_rollout_reads_back_as_it_was(tmp_path):
    path, states, _ = trajectory(tmp_path / "in")
    simulation = opened(path)
    times = np.array([1.0, 1.25, 5 / 3])
    predicted = np.concatenate([states[:2] + 1, states[2:3] * np.nan])
    rollout = Rollout(simulation, times, iter([predicted[:2], predicted[2:]]), context=4)
    assert write_mesh_rollout(rollout, tmp_path / "out", "demo 1.0 -- beta") == {"frames": 3, "points": 30}
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"rollout.pvd", "frames"}
    assert "demo 1.0" in (tmp_path / "out" / "rollout.pvd").read_text()
    again = opened(tmp_path / "out" / "rollout.pvd")
    np.testing.assert_array_equal(again.read(0, 3), predicted)
    np.testing.assert_array_equal(again.time.values, times)
    assert again.fields == simulation.fields
    np.testing.assert_array_equal(again.constants["k"], simulation.constants["k"])
    assert simulation.mesh is not None
    frame = meshio.vtu.read(tmp_path / "out" / "frames" / "000000.vtu")
    np.testing.assert_array_equal(frame.points[:, :2], simulation.mesh.points)
    np.testing.assert_array_equal(frame.cells_dict["triangle"], simulation.mesh.cells["triangle"])
    np.testing.assert_array_equal(frame.point_data["v"], predicted[0, 1:].T)


@pytest.mark.parametrize("given", [2, 4])
def test_a_rollout_of_other_length_leaves_nothing(tmp_path, given):
    path, states, _ = trajectory(tmp_path / "in")
    rollout = Rollout(opened(path), np.arange(3.0), iter([states[:given]]), context=1)
    with pytest.raises(ValueError, match="zip"):
        write_mesh_rollout(rollout, tmp_path / "out", "")
    assert list((tmp_path / "out").iterdir()) == []


# ---------------------------------------------------------------- damaged and hostile


@pytest.mark.parametrize("name", ["../elsewhere.vtu", "/etc/passwd", "frames/000000.txt", "\0.vtu", ""])
def test_frames_elsewhere_are_refused(tmp_path, name):
    path, _, _ = trajectory(tmp_path / "in")
    (tmp_path / "elsewhere.vtu").write_bytes((tmp_path / "in" / "frames" / "000000.vtu").read_bytes())
    replaced(path, "frames/000001.vtu", name.replace("\0", "&#0;"))
    with pytest.raises(BadInput):
        opened(path)


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path):
    path, _, _ = trajectory(tmp_path / "in")
    frame = path.parent / "frames" / "000001.vtu"
    frame.rename(tmp_path / "elsewhere.vtu")
    frame.symlink_to(tmp_path / "elsewhere.vtu")
    with pytest.raises(BadInput, match="frame 1"):
        opened(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"0.25"', '"soon"', "frame 1: found could not convert"),
        ('"0.25"', '"0.0"', "timestep: found one that occurs twice"),
        ("Collection", "Selection", "type: found Selection"),
        ("</VTKFile>", "", "XML: found no element found"),
    ],
)
def test_damaged_collections_are_refused(tmp_path, old, new, message):
    path, _, _ = trajectory(tmp_path)
    with pytest.raises(BadInput, match=rf"rollout\.pvd: {message}"):
        opened(replaced(path, old, new))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(tmp_path, encoding):
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY b "{"c" * 99}"><!ENTITY d "{"&b;" * 99}">]>'
    )
    for name in ("a.vtu", "a.pvd"):
        (tmp_path / name).write_bytes((text + "<VTKFile>&d;</VTKFile>").encode(encoding))
        with pytest.raises(BadInput, match="a document type"):
            opened(tmp_path / name)


@pytest.mark.parametrize("compression", [zlib, lzma])
def test_a_block_that_unpacks_to_more_than_its_array_is_refused_before_it_does(tmp_path, compression):
    path = tmp_path / "a.vtu"
    meshio.vtu.write(path, sample(), compression=compression.__name__)
    array = ElementTree.parse(path).findtext(".//PointData/DataArray")
    assert array is not None
    block = compression.compress(bytes(1 << 24))
    header = np.array([1, 240, 240, len(block)], "<u4").tobytes()
    file = VtuFile(replaced(path, array, base64.b64encode(header) + base64.b64encode(block)))
    tracemalloc.start()
    with pytest.raises(BadInput, match="u: found ValueError: a block that is cut off, or larger than its array"):
        file.values("u")
    assert tracemalloc.get_traced_memory()[1] < 10 << 20  # 8 of which are the dictionary of LZMA
    tracemalloc.stop()


@pytest.mark.parametrize("count", ["99999999999", "16777217", "-1", "1e3", ""])
def test_counts_that_no_mesh_has_are_refused(tmp_path, count):
    path = tmp_path / "a.vtu"
    meshio.vtu.write(path, sample())
    with pytest.raises(BadInput, match="NumberOfPoints: found"):
        VtuFile(replaced(path, 'NumberOfPoints="30"', f'NumberOfPoints="{count}"'))


@pytest.mark.parametrize("count", ["31", "29"])
def test_counts_that_do_not_fit_the_arrays_are_refused(tmp_path, count):
    path = tmp_path / "a.vtu"
    meshio.vtu.write(path, sample())
    with pytest.raises(BadInput, match="Points: found ValueError"):
        VtuFile(replaced(path, 'NumberOfPoints="30"', f'NumberOfPoints="{count}"')).points()


def test_corners_that_are_no_points_and_unknown_cells_are_refused(tmp_path):
    path, mesh = tmp_path / "a.vtu", sample()
    meshio.vtu.write(path, meshio.Mesh(mesh.points, {"triangle": np.array([[0, 1, 30]])}))
    with pytest.raises(BadInput, match="connectivity: found points 0 to 30"):
        VtuFile(path).cells()
    faces = [[[np.array(face) for face in ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))]]]
    meshio.vtu.write(path, meshio.Mesh(mesh.points, [("polyhedron4", faces[0])]))
    with pytest.raises(BadInput, match=r"VTK types \[42\]"):
        VtuFile(path).cells()


def test_no_points_and_coordinates_that_are_not_finite_are_refused(tmp_path):
    mesh = sample()
    mesh.points[3, 1] = np.inf
    meshio.vtu.write(tmp_path / "a.vtu", mesh)
    with pytest.raises(BadInput, match="not finite"):
        VtuFile(tmp_path / "a.vtu").points()
    meshio.vtu.write(tmp_path / "a.vtu", meshio.Mesh(np.empty((0, 3)), [], {"u": np.empty(0)}))
    with pytest.raises(BadInput, match="Points: found none"):
        VtuFile(tmp_path / "a.vtu").points()


def test_other_files_are_refused(tmp_path):
    for name, content in (("a.vtu", b""), ("b.vtu", b"<html/>"), ("c.vtu", b"\x89HDF"), ("d.xdmf", b"<Xdmf/>")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput):
            opened(tmp_path / name)
    with pytest.raises(BadInput, match="file"):
        opened(tmp_path / "missing.vtu")
    (tmp_path / "folder.vtu").mkdir()
    with pytest.raises(BadInput, match="file"):
        opened(tmp_path / "folder.vtu")


@pytest.mark.parametrize("kind", ["inline", "ascii", "raw", "base64"])
def test_damage_is_told_as_bad_input_or_harmless(tmp_path, kind):
    rng, path = random.Random(0), tmp_path / "a.vtu"
    if kind in ("inline", "ascii"):
        meshio.vtu.write(path, sample(), binary=kind == "inline")
    else:
        numbers = np.random.default_rng(3)
        mesh = meshio.Mesh(
            numbers.random((41, 3)), {"triangle": numbers.integers(0, 41, (50, 3))}, {"u": numbers.random(41)}
        )
        appended(path, mesh, raw=kind == "raw", packed=True)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        content = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.2 else whole)
        for _ in range(rng.randrange(1, 4)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read_all(path)
        except BadInput:
            refused += 1
    assert refused > 50


# ---------------------------------------------------------------- the phantom


def test_the_phantom_solves_the_heat_equation_without_flux_through_the_walls():
    rng, h = np.random.default_rng(0), 1e-4
    coefficients, inside = random_coefficients(rng), rng.uniform(0.1, 0.9, (20, 2))
    times = np.array([0.1])

    def u(dx: float = 0, dy: float = 0, dt: float = 0) -> np.ndarray:
        return exact_states(coefficients, inside + np.array([dx, dy]), times + dt)[0]

    laplacian = (u(h) + u(-h) + u(0, h) + u(0, -h) - 4 * u()) / h**2
    np.testing.assert_allclose((u(dt=h) - u(dt=-h)) / (2 * h), DIFFUSIVITY * laplacian, rtol=1e-4, atol=1e-4)
    inside[:10, 0], inside[10:, 1] = 0, 1
    np.testing.assert_allclose((u(h) - u(-h))[:10], 0, atol=1e-12)
    np.testing.assert_allclose((u(0, h) - u(0, -h))[10:], 0, atol=1e-12)


def test_the_phantom_is_read_back_exactly_each_on_its_own_mesh(tmp_path):
    write_mesh_phantom(tmp_path, {"train": 2, "test": 1}, seed=5, points=60)
    files = sorted(tmp_path.glob("*/*/rollout.pvd"))
    assert [file.parent.parent.name for file in files] == ["test", "train", "train"]
    found = [opened(file) for file in files]
    meshes = [one.mesh.points for one in found if one.mesh is not None]
    assert [len(points) for points in meshes] == [60] * 3
    assert not np.array_equal(meshes[1], meshes[2])
    rng = np.random.default_rng((5, 1))
    mesh, coefficients = random_mesh(rng, 60), random_coefficients(rng)
    np.testing.assert_array_equal(meshes[2], mesh.points)
    expected = exact_states(coefficients, mesh.points, found[2].time.values).astype(np.float32)
    np.testing.assert_array_equal(found[2].read(0, 21)[:, 0], expected)
    for points, one in zip(meshes, found, strict=True):
        assert points.min() == 0
        assert points.max() == 1
        assert one.mesh is not None
        a, b, c = (points[corner] for corner in one.mesh.cells["triangle"].T)
        area = np.abs(np.linalg.det(np.stack([b - a, c - a], -1))) / 2
        np.testing.assert_allclose(area.sum(), 1)
