"""Read and write simulations on unstructured meshes: VTU files, and ParaView's `.pvd` collections of them over time.

meshio does not read `.pvd`, so the collection is parsed here. XDMF is not supported: its files refer to others by any
path, and meshio follows them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import meshio
import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import whole_folder, write_whole
from transect.data_adapters.pde.checks import selected
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.simulation import Coordinate, Member, Mesh, Rollout, Simulation
from transect.data_adapters.pde.vtu import VtuFile, parse_xml, read_bytes

Locations = Mapping[str, tuple[str, int]]
"""The point data array of each component, and its index in it."""


def members(path: Path, config: ReadConfig) -> list[Member]:
    """The single trajectory of a `.pvd` or `.vtu` file, without opening it."""
    return [Member("")]


def open_member(path: Path, member: str, config: ReadConfig) -> Simulation:
    """Open the trajectory of a `.pvd` collection, or the single frame, at time 0, of a `.vtu` file.

    Floating-point point data that differ between the first and the last frame become fields, with vector components
    named by `_x`, `_y` and `_z`; the others become constants. If `config` names variables, they are the fields; in a
    single frame all are. Trailing coordinates that are zero everywhere are dropped, so that a flat mesh has two. Cell
    data and integers are not read. VTK has no units.

    Raises:
        BadInput: the collection, its first or its last frame is damaged or outside the collection's folder. `read` of
            the result raises it for any frame, also if a field is missing or the mesh differs from the first.
    """
    times, files = _frames(path)
    first, last = VtuFile(files[0]), VtuFile(files[-1])
    points = first.points()
    mesh = Mesh(points[:, : max(np.flatnonzero(points.any(0)), default=0) + 1], first.cells())
    arrays = [Field(name, _components(name, size)) for name, size in first.fields.items()]
    locations = {part: (field.name, index) for field in arrays for index, part in enumerate(field.components)}
    changing = {
        field.name
        for field in arrays
        if len(files) > 1 and not np.array_equal(first.values(field.name), last.values(field.name), equal_nan=True)
    }
    every = config.variables or len(files) == 1
    fields = selected(
        str(path),
        _merged_vectors([field for field in arrays if every or field.name in changing], config.vectors),
        config,
    )
    if not fields:
        found = f"none that change ({', '.join(first.fields) or 'no real numbers'})"
        advice = "name variables, or turn cell data into point data"
        raise BadInput(path, "point data", found, "the fields of a simulation", advice)
    channels = [part for field in fields for part in field.components]
    unchanged = [part for part, (name, _) in locations.items() if name not in changing and part not in channels]

    def read(start: int, stop: int) -> NDArray[np.float32]:
        frames = np.empty((len(files[start:stop]), len(channels), len(points)), np.float32)
        for frame, file in zip(frames, files[start:stop], strict=True):
            frame[:] = _values(_on_mesh(VtuFile(file), mesh), channels, locations)
        return frames

    constants = dict(zip(unchanged, _values(first, unchanged, locations), strict=True))
    return Simulation(str(path), fields, (), Coordinate("time", times), read, constants=constants, mesh=mesh)


def write_mesh_rollout(rollout: Rollout, folder: Path, source: str) -> dict[str, float | str]:
    """Write a rollout on a mesh with the names, points, cells and constants of its simulation; see `write_frames`.

    Returns:
        The number of `frames` and of `points`.

    Raises:
        OSError: a file could not be written.
        ValueError: the blocks are not as many frames as there are times.
    """
    simulation = rollout.simulation
    assert simulation.mesh is not None
    frames = (frame for block in rollout.blocks for frame in block)
    write_frames(folder, rollout.times, frames, rollout.fields, simulation.constants, simulation.mesh, source)
    return {"frames": len(rollout.times), "points": simulation.shape[0]}


def write_frames(
    folder: Path,
    times: NDArray[np.float64],
    frames: Iterator[NDArray[np.float32]],
    fields: Sequence[Field],
    constants: Mapping[str, NDArray[np.float32]],
    mesh: Mesh,
    source: str,
) -> None:
    """Write `frames/*.vtu` (binary, zlib) and then `rollout.pvd` into `folder`.

    Args:
        folder: The frames appear in it atomically, and the collection after them.
        times: Times of the frames.
        frames: `(channels, points)` each; memory holds one of them.
        fields: The fields whose components are the channels.
        constants: `(points,)` by name, repeated in every frame.
        mesh: The mesh of the values.
        source: A comment in the collection.

    Raises:
        OSError: a file could not be written.
        ValueError: the number of frames differs from that of the times, or a frame has another shape.
    """
    root = ElementTree.Element("VTKFile", type="Collection", version="0.1", byte_order="LittleEndian")
    root.append(ElementTree.Comment(" " + source.replace("--", "- -") + " "))
    collection = ElementTree.SubElement(root, "Collection")
    with whole_folder(folder / "frames") as partial:
        for index, (time, frame) in enumerate(zip(times.tolist(), frames, strict=True)):
            name = f"{index:06d}.vtu"
            meshio.vtu.write(partial / name, _to_meshio(frame, fields, constants, mesh), compression="zlib")
            ElementTree.SubElement(collection, "DataSet", timestep=repr(time), part="0", file=f"frames/{name}")
    ElementTree.indent(root)
    write_whole(folder / "rollout.pvd", ElementTree.tostring(root, encoding="unicode") + "\n")


def _frames(path: Path) -> tuple[NDArray[np.float64], list[Path]]:
    """Times and files of the frames of a collection, or of the single frame of a `.vtu`."""
    if path.suffix.lower() == ".vtu":
        return np.zeros(1), [path]
    if path.suffix.lower() != ".pvd":
        raise BadInput(path, "file", path.suffix or "no suffix", ".pvd or .vtu", "save it from ParaView as one of them")
    root = parse_xml(read_bytes(path), path)
    entries, folder = root.findall("Collection/DataSet"), path.parent.resolve()
    if root.get("type") != "Collection" or not entries:
        raise BadInput(path, "type", f"{root.get('type')} of {len(entries)} frames", "a Collection of frames")
    times: list[float] = []
    files: list[Path] = []
    for entry in entries:
        name = entry.get("file", "")
        try:
            times.append(float(entry.get("timestep", "")))
            files.append((folder / name).resolve())
        except (OSError, ValueError) as error:
            raise BadInput(path, f"frame {len(files)}", error, "a time and a file") from error
        if not files[-1].is_relative_to(folder) or files[-1].suffix.lower() != ".vtu":
            raise BadInput(path, f"frame {len(files) - 1}", name, "a .vtu file below the folder of the collection")
    if len(set(times)) < len(times):
        raise BadInput(path, "timestep", "one that occurs twice", "one part per time", "merge the parts of each frame")
    return np.array(times), files


def _components(name: str, size: int) -> tuple[str, ...]:
    """Names of the components of an array."""
    return (name,) if size == 1 else tuple(f"{name}_{part}" for part in ("xyz" if size <= 3 else range(size))[:size])


def _merged_vectors(fields: Sequence[Field], vectors: Mapping[str, list[str]]) -> list[Field]:
    """The fields with the scalars of each vector merged into one field, at the position of its first component."""
    owner = {part: vector for vector, parts in vectors.items() for part in parts}
    merged = (
        Field(owner[field.name], tuple(vectors[owner[field.name]])) if field.name in owner else field
        for field in fields
    )
    return list(dict.fromkeys(merged))


def _values(frame: VtuFile, components: Sequence[str], locations: Locations) -> NDArray[np.float32]:
    """The values `(components, points)` of a frame."""
    arrays = {name: frame.values(name) for name in dict.fromkeys(locations[component][0] for component in components)}
    for name, values in arrays.items():
        size = sum(owner == name for owner, _ in locations.values())
        if len(values) != size:
            raise BadInput(frame.path, name, f"{len(values)} components", f"{size}, as in the first frame")
    return np.array([arrays[name][index] for name, index in map(locations.__getitem__, components)], np.float32)


def _on_mesh(frame: VtuFile, mesh: Mesh) -> VtuFile:
    """Return the frame if its mesh is `mesh`.

    Raises:
        BadInput: it has another mesh.
    """
    points, cells = frame.points(), frame.cells()
    same_points = points.shape == (len(mesh.points), 3) and np.array_equal(points, _spatial(mesh))
    if not same_points or cells.keys() != mesh.cells.keys() or any(np.any(cells[k] != mesh.cells[k]) for k in cells):
        found = f"another, of {len(points)} points and {sum(map(len, cells.values()))} cells"
        expected = f"the first frame's, of {len(mesh.points)} and {sum(map(len, mesh.cells.values()))}"
        raise BadInput(frame.path, "mesh", found, expected, "interpolate all frames to one mesh")
    return frame


def _spatial(mesh: Mesh) -> NDArray[np.float64]:
    """Points `(points, 3)`, padded with zeros to VTK's three coordinates."""
    return np.pad(mesh.points, ((0, 0), (0, 3 - mesh.points.shape[1])))


def _to_meshio(
    frame: NDArray[np.float32], fields: Sequence[Field], constants: Mapping[str, NDArray[np.float32]], mesh: Mesh
) -> meshio.Mesh:
    """A frame with its constants, under their names in the input."""
    data = dict(constants)
    values = dict(zip((component for field in fields for component in field.components), frame, strict=True))
    for field in fields:
        size = len(field.components)
        if size > 1 and field.components == _components(field.name, size):
            data[field.name] = np.stack([values[component] for component in field.components], -1)
        else:
            data |= {component: values[component] for component in field.components}
    return meshio.Mesh(_spatial(mesh), list(mesh.cells.items()), point_data=data)
