"""Read The Well's HDF5 files: scalar, vector and tensor fields, boundary masks, constant or time-varying parameters.

Source: Ohana et al., "The Well" (2024), and its documentation's page on the data format. Values equal those of its
`WellDataset`, with channels first. `WellDataset` is not used because it serves the training windows of a whole split
and trusts the shapes that a file declares.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.checks import check_axes, selected
from transect.data_adapters.pde.config import Boundary, Field, ReadConfig
from transect.data_adapters.pde.hdf5 import attributes, check_stored, dataset, item, names, opened, read
from transect.data_adapters.pde.simulation import Axis, Coordinate, Member, Simulation

ORDERS = {"t0_fields": 0, "t1_fields": 1, "t2_fields": 2}
"""Tensor order of the fields in each group."""

BOUNDARIES: dict[str, Boundary] = {"WALL": "wall", "OPEN": "open", "PERIODIC": "periodic"}

MOST_MEMBERS = 1_000_000
"""Maximum number of trajectories in a file; more indicate a corrupt file."""


@dataclass(frozen=True)
class _Stored:
    """The dataset of a field, and how it is broadcast to the grid.

    Args:
        name: Name of the dataset.
        field: The field stored in it.
        lead: Index of the trajectory in it; empty if all trajectories share it.
        in_time: Whether its next axis is time.
        shape: Lengths of its spatial axes, 1 where it does not vary along an axis.
    """

    name: str
    field: Field
    lead: tuple[int, ...]
    in_time: bool
    shape: tuple[int, ...]


def recognises(file: h5py.File) -> bool:
    """Whether the file has The Well's layout."""
    return "dimensions" in names(file) and bool(set(ORDERS) & set(names(file)))


def members(path: Path, config: ReadConfig) -> list[Member]:
    """The trajectories of the file.

    Raises:
        BadInput: the file cannot be opened, is not The Well's, or declares more trajectories than it can hold.
    """
    with opened(path) as file:
        count = _count(file)
    return [Member(f"{index:0{len(str(count - 1))}}") for index in range(count)]


def open_member(path: Path, member: str, config: ReadConfig) -> Simulation:
    """Open the trajectory `member` of the file, one of the names from `members`.

    Raises:
        BadInput: there is no such trajectory, or its arrays are inconsistent with the file's dimensions and flags.
    """
    with opened(path) as file:
        count = _count(file)
        if not member.isdecimal() or int(member) >= count:
            raise BadInput(path, "trajectory", member or "no name", f"a number below {count}")
        index = int(member)
        attrs = attributes(file)
        axes, time = _axes(file, index, count), _dimension(file, "time", index, count)
        stored = [part for group in ORDERS for part in _stored(file, group, index, count, axes, len(time))]
        constants = {
            component: values[0]
            for part in stored
            if not part.in_time
            for component, values in _components(file, part, axes, ()).items()
        }
        parameters = _parameters(file, attrs, index, count, len(time))
    changing = {part.field.name: part for part in stored if part.in_time}
    fields = selected(str(path), [part.field for part in changing.values()], config)
    wanted = tuple(component for field in fields for component in field.components)
    used = tuple(part for part in changing.values() if set(part.field.components) & set(wanted))
    return Simulation(
        source=str(path),
        fields=fields,
        axes=axes,
        time=time,
        read=partial(_read, path, used, axes, wanted),
        parameters=parameters,
        constants=constants,
        attributes={name: attrs[name] for name in ("dataset_name", "grid_type") if name in attrs},
    )


def _read(
    path: Path, stored: Sequence[_Stored], axes: Sequence[Axis], wanted: Sequence[str], start: int, stop: int
) -> NDArray[np.float32]:
    by_channel: dict[str, NDArray[np.float32]] = {}
    with opened(path) as file:
        for part in stored:
            by_channel |= _components(file, part, axes, (slice(start, stop),))
    return np.stack([by_channel[name] for name in wanted], axis=1)


def _components(
    file: h5py.File, stored: _Stored, axes: Sequence[Axis], frames: tuple[slice, ...]
) -> dict[str, NDArray[np.float32]]:
    """Each component of the field, float32 `(frames, *shape)`; a single frame if it does not depend on time."""
    values = read(dataset(file, stored.name), (*stored.lead, *frames)).astype(np.float32, copy=False)
    count = len(stored.field.components)
    frame_count = values.shape[0] if frames else 1
    values = values.reshape(frame_count, *stored.shape, count)
    values = np.broadcast_to(values, (frame_count, *(len(axis) for axis in axes), count))
    return dict(zip(stored.field.components, np.moveaxis(values, -1, 0), strict=True))


def _count(file: h5py.File) -> int:
    """The attribute `n_trajectories`; arrays that vary by trajectory are checked against it."""
    if not recognises(file):
        content = ", ".join(names(file)[:8]) or "nothing in it"
        raise BadInput(file.filename, "layout", content, "dimensions and t0_fields, t1_fields or t2_fields")
    declared = attributes(file).get("n_trajectories")
    if not isinstance(declared, np.generic | np.ndarray) or np.size(declared) != 1:
        raise BadInput(file.filename, "attribute n_trajectories", declared, "a number")
    count = int(np.ravel(declared)[0])
    if not 1 <= count <= MOST_MEMBERS:
        raise BadInput(file.filename, "attribute n_trajectories", f"{count:,}", f"1 to {MOST_MEMBERS:,}")
    return count


def _flag(of: h5py.Dataset | h5py.Group | None, name: str) -> bool:
    return bool(np.any(attributes(of).get(name, False)))


def _listed(value: Any) -> list[str]:
    """The names in an attribute: a list, a single string, or for no names an empty numeric array."""
    return [value] if isinstance(value, str) else [str(name) for name in value]


def _stored(file: h5py.File, group: str, index: int, count: int, axes: Sequence[Axis], frames: int) -> list[_Stored]:
    """The fields of one group, with their shapes checked against the dimensions.

    Axes along which a field does not vary (`dim_varying`) may be missing, as in the documentation, or have length 1.
    """
    order, source = ORDERS[group], file.filename
    fields = []
    for name in _listed(attributes(item(file, group)).get("field_names", [])):
        path = f"{group}/{name}"
        values = check_stored(dataset(file, path))
        varying = np.ravel(attributes(values).get("dim_varying", np.ones(len(axes), bool))).astype(bool)
        if len(varying) != len(axes):
            raise BadInput(source, f"dim_varying of {path}", f"{len(varying)} flags", f"{len(axes)}, one per dimension")
        by_sample, in_time = _flag(values, "sample_varying"), _flag(values, "time_varying")
        lead = [("trajectory", count)] * by_sample + [("time", frames)] * in_time
        trailing = [("component", len(axes))] * order
        unsqueezed = [(axis.name, len(axis) if vary else 1) for axis, vary in zip(axes, varying, strict=True)]
        squeezed = [axis for axis, vary in zip(unsqueezed, varying, strict=True) if vary]
        spatial = squeezed if values.ndim == len(lead) + len(squeezed) + order else unsqueezed
        check_axes(source, path, values.shape, values.dtype, [*lead, *spatial, *trailing])
        indices = itertools.product([axis.name for axis in axes], repeat=order)
        components = tuple(f"{name}_{''.join(letters)}" if letters else name for letters in indices)
        shape = tuple(length for _, length in unsqueezed)
        fields.append(_Stored(path, Field(name, components), (index,) * by_sample, in_time, shape))
    return fields


def _dimension(file: h5py.File, name: str, index: int, count: int) -> Coordinate:
    values = check_stored(dataset(file, f"dimensions/{name}"))
    if name != "time" and _flag(values, "time_varying"):
        raise BadInput(file.filename, f"dimensions/{name}", "time_varying", "a grid that does not move")
    by_sample = _flag(values, "sample_varying")
    if values.ndim != 1 + by_sample or (by_sample and values.shape[0] != count):
        expected = f"shape ({count}, length)" if by_sample else "shape (length,)"
        raise BadInput(file.filename, f"dimensions/{name}", f"shape {values.shape}", expected)
    return Coordinate(name, read(values, (index,) * by_sample).astype(np.float64))


def _axes(file: h5py.File, index: int, count: int) -> tuple[Axis, ...]:
    dims = _listed(attributes(item(file, "dimensions")).get("spatial_dims", []))
    coordinates = [_dimension(file, name, index, count) for name in dims]
    ends = _boundaries(file, {name: len(coordinate) for name, coordinate in zip(dims, coordinates, strict=True)}, index)
    return tuple(Axis(coordinate.name, coordinate.values, boundary=ends[coordinate.name]) for coordinate in coordinates)


def _boundaries(file: h5py.File, lengths: Mapping[str, int], index: int) -> dict[str, tuple[Boundary, Boundary]]:
    """Boundary conditions at both ends of each axis: open unless a mask marks another.

    A boundary counts as a wall if all of it is marked, and as open or periodic if any of it is marked.
    """
    ends: dict[str, list[Boundary]] = {name: ["open", "open"] for name in lengths}
    group = item(file, "boundary_conditions")
    for name in names(group) if isinstance(group, h5py.Group) else []:
        attrs = attributes(item(file, f"boundary_conditions/{name}"))
        kind, dims = str(attrs.get("bc_type", "")).upper(), _listed(attrs.get("associated_dims", []))
        if kind not in BOUNDARIES or not set(dims) <= set(lengths):
            found = f"{kind or 'no bc_type'} along {', '.join(dims) or 'no dimension'}"
            expected = f"{', '.join(BOUNDARIES)} along {', '.join(lengths)}"
            raise BadInput(file.filename, f"boundary_conditions/{name}", found, expected)
        if not dims:
            continue
        marked = _mask(file, f"boundary_conditions/{name}/mask", [lengths[dim] for dim in dims], index)
        whole = np.all if kind == "WALL" else np.any
        for axis, dim in enumerate(dims):
            for side, end in enumerate((0, -1)):
                if whole(np.take(marked, end, axis)):
                    ends[dim][side] = BOUNDARIES[kind]
    return {name: (lower, upper) for name, (lower, upper) in ends.items()}


def _mask(file: h5py.File, name: str, lengths: Sequence[int], index: int) -> NDArray[np.bool_]:
    values = check_stored(dataset(file, name))
    by_sample = _flag(item(file, name.rpartition("/")[0]), "sample_varying") and values.ndim > len(lengths)
    if by_sample and index >= values.shape[0]:
        raise BadInput(file.filename, name, f"{values.shape[0]} along trajectory", f"more than {index}")
    marked = np.asarray(read(values, (index,) * by_sample), bool)
    if marked.shape != tuple(lengths):
        raise BadInput(file.filename, name, f"shape {marked.shape}", f"shape {tuple(lengths)}")
    return marked


def _parameters(
    file: h5py.File, attrs: Mapping[str, Any], index: int, count: int, frames: int
) -> dict[str, NDArray[np.float64]]:
    """The file's scalars, constant or one value per frame, and its other numeric parameters."""
    found: dict[str, NDArray[np.float64]] = {}
    for name in _listed(attributes(item(file, "scalars")).get("field_names", [])):
        values = check_stored(dataset(file, f"scalars/{name}"))
        by_sample, in_time = _flag(values, "sample_varying"), _flag(values, "time_varying")
        expected = (count,) * by_sample + (frames,) * in_time
        if values.shape not in (expected, (*expected, 1)):
            raise BadInput(file.filename, f"scalars/{name}", f"shape {values.shape}", f"shape {expected}")
        found[name] = read(values, (index,) * by_sample).astype(np.float64).reshape((frames,) * in_time)
    for name in _listed(attrs.get("simulation_parameters", [])):
        if name not in found and isinstance(attrs.get(name), np.generic | np.ndarray) and np.size(attrs[name]) == 1:
            found[name] = np.asarray(attrs[name], np.float64).reshape(())
    return found
