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
from transect.data_adapters.pde.checks import check_axes, chosen
from transect.data_adapters.pde.config import Boundary, Field, ReadConfig
from transect.data_adapters.pde.hdf5 import attributes, check_stored, dataset, item, names, opened, read
from transect.data_adapters.pde.simulation import Axis, Coordinate, Member, Simulation

ORDERS = {"t0_fields": 0, "t1_fields": 1, "t2_fields": 2}
"""Groups of fields, with how many indices their components have."""

BOUNDARIES: dict[str, Boundary] = {"WALL": "wall", "OPEN": "open", "PERIODIC": "periodic"}

MOST_MEMBERS = 1_000_000
"""More trajectories than this in one file are a mistake in it."""


@dataclass(frozen=True)
class _Stored:
    """A field's dataset, and how it is laid over the grid.

    Args:
        name: of the dataset.
        field: what it holds.
        lead: the trajectory's place in it; empty where all share it.
        in_time: whether its next axis is time.
        shape: lengths of its spatial axes, 1 where it does not vary along one.
    """

    name: str
    field: Field
    lead: tuple[int, ...]
    in_time: bool
    shape: tuple[int, ...]


def recognises(file: h5py.File) -> bool:
    """Whether the file is one of The Well."""
    return "dimensions" in names(file) and bool(set(ORDERS) & set(names(file)))


def members(path: Path, config: ReadConfig) -> list[Member]:
    """The trajectories of the file.

    Raises:
        BadInput: the file cannot be opened, is none of The Well, or says that it holds more than it can.
    """
    with opened(path) as file:
        count = _count(file)
    return [Member(f"{at:0{len(str(count - 1))}}") for at in range(count)]


def open_member(path: Path, member: str, config: ReadConfig) -> Simulation:
    """The trajectory `member` of the file, as `members` names it.

    Raises:
        BadInput: there is no such trajectory, or its arrays do not agree with the dimensions and flags of the file.
    """
    with opened(path) as file:
        count = _count(file)
        if not member.isdecimal() or int(member) >= count:
            raise BadInput(path, "trajectory", member or "no name", f"a number below {count}")
        at = int(member)
        about = attributes(file)
        axes, time = _axes(file, at, count), _dimension(file, "time", at, count)
        stored = [one for group in ORDERS for one in _stored(file, group, at, count, axes, len(time))]
        constants = {
            component: values[0]
            for one in stored
            if not one.in_time
            for component, values in _components(file, one, axes, ()).items()
        }
        parameters = _parameters(file, about, at, count, len(time))
    changing = {one.field.name: one for one in stored if one.in_time}
    fields = chosen(str(path), [one.field for one in changing.values()], config)
    wanted = tuple(component for one in fields for component in one.components)
    used = tuple(one for one in changing.values() if set(one.field.components) & set(wanted))
    return Simulation(
        source=str(path),
        fields=fields,
        axes=axes,
        time=time,
        read=partial(_read, path, used, axes, wanted),
        parameters=parameters,
        constants=constants,
        attributes={name: about[name] for name in ("dataset_name", "grid_type") if name in about},
    )


def _read(
    path: Path, stored: Sequence[_Stored], axes: Sequence[Axis], wanted: Sequence[str], start: int, stop: int
) -> NDArray[np.float32]:
    by_channel: dict[str, NDArray[np.float32]] = {}
    with opened(path) as file:
        for one in stored:
            by_channel |= _components(file, one, axes, (slice(start, stop),))
    return np.stack([by_channel[name] for name in wanted], axis=1)


def _components(
    file: h5py.File, stored: _Stored, axes: Sequence[Axis], frames: tuple[slice, ...]
) -> dict[str, NDArray[np.float32]]:
    """Each component `(frames, *shape)` of the field, a single frame if it does not change in time."""
    values = read(dataset(file, stored.name), (*stored.lead, *frames)).astype(np.float32, copy=False)
    count = len(stored.field.components)
    frame_count = values.shape[0] if frames else 1
    values = values.reshape(frame_count, *stored.shape, count)
    values = np.broadcast_to(values, (frame_count, *(len(axis) for axis in axes), count))
    return dict(zip(stored.field.components, np.moveaxis(values, -1, 0), strict=True))


def _count(file: h5py.File) -> int:
    """The number of trajectories, as the attribute says; every array that varies by trajectory is held against it."""
    if not recognises(file):
        there = ", ".join(names(file)[:8]) or "nothing in it"
        raise BadInput(file.filename, "layout", there, "dimensions and t0_fields, t1_fields or t2_fields")
    told = attributes(file).get("n_trajectories")
    if not isinstance(told, np.generic | np.ndarray) or np.size(told) != 1:
        raise BadInput(file.filename, "attribute n_trajectories", told, "a number")
    count = int(np.ravel(told)[0])
    if not 1 <= count <= MOST_MEMBERS:
        raise BadInput(file.filename, "attribute n_trajectories", f"{count:,}", f"1 to {MOST_MEMBERS:,}")
    return count


def _flag(of: h5py.Dataset | h5py.Group | None, name: str) -> bool:
    return bool(np.any(attributes(of).get(name, False)))


def _listed(told: Any) -> list[str]:
    """Names in an attribute, which may be one of them alone or, where there is none, an empty array of numbers."""
    return [told] if isinstance(told, str) else [str(name) for name in told]


def _stored(file: h5py.File, group: str, at: int, count: int, axes: Sequence[Axis], frames: int) -> list[_Stored]:
    """The fields of one group, each held against the dimensions.

    Axes along which a field does not vary (`dim_varying`) may be missing, as in the documentation, or have length 1.
    """
    order, source = ORDERS[group], file.filename
    found = []
    for name in _listed(attributes(item(file, group)).get("field_names", [])):
        path = f"{group}/{name}"
        values = check_stored(dataset(file, path))
        varying = np.ravel(attributes(values).get("dim_varying", np.ones(len(axes), bool))).astype(bool)
        if len(varying) != len(axes):
            raise BadInput(source, f"dim_varying of {path}", f"{len(varying)} flags", f"{len(axes)}, one a dimension")
        by_sample, in_time = _flag(values, "sample_varying"), _flag(values, "time_varying")
        lead = [("trajectory", count)] * by_sample + [("time", frames)] * in_time
        behind = [("component", len(axes))] * order
        kept = [(axis.name, len(axis) if vary else 1) for axis, vary in zip(axes, varying, strict=True)]
        squeezed = [one for one, vary in zip(kept, varying, strict=True) if vary]
        spatial = squeezed if values.ndim == len(lead) + len(squeezed) + order else kept
        check_axes(source, path, values.shape, values.dtype, [*lead, *spatial, *behind])
        indices = itertools.product([axis.name for axis in axes], repeat=order)
        components = tuple(f"{name}_{''.join(index)}" if index else name for index in indices)
        shape = tuple(length for _, length in kept)
        found.append(_Stored(path, Field(name, components), (at,) * by_sample, in_time, shape))
    return found


def _dimension(file: h5py.File, name: str, at: int, count: int) -> Coordinate:
    values = check_stored(dataset(file, f"dimensions/{name}"))
    if name != "time" and _flag(values, "time_varying"):
        raise BadInput(file.filename, f"dimensions/{name}", "time_varying", "a grid that stays where it is")
    by_sample = _flag(values, "sample_varying")
    if values.ndim != 1 + by_sample or (by_sample and values.shape[0] != count):
        expected = f"shape ({count}, length)" if by_sample else "shape (length,)"
        raise BadInput(file.filename, f"dimensions/{name}", f"shape {values.shape}", expected)
    return Coordinate(name, read(values, (at,) * by_sample).astype(np.float64))


def _axes(file: h5py.File, at: int, count: int) -> tuple[Axis, ...]:
    dims = _listed(attributes(item(file, "dimensions")).get("spatial_dims", []))
    along = [_dimension(file, name, at, count) for name in dims]
    ends = _boundaries(file, {name: len(one) for name, one in zip(dims, along, strict=True)}, at)
    return tuple(Axis(one.name, one.values, boundary=ends[one.name]) for one in along)


def _boundaries(file: h5py.File, lengths: Mapping[str, int], at: int) -> dict[str, tuple[Boundary, Boundary]]:
    """Conditions at both ends of each axis: open unless a mask says otherwise.

    Where a boundary is only partly of a kind, it is a wall if all of it is, and open or periodic if any of it is.
    """
    ends: dict[str, list[Boundary]] = {name: ["open", "open"] for name in lengths}
    group = item(file, "boundary_conditions")
    for name in names(group) if isinstance(group, h5py.Group) else []:
        about = attributes(item(file, f"boundary_conditions/{name}"))
        kind, dims = str(about.get("bc_type", "")).upper(), _listed(about.get("associated_dims", []))
        if kind not in BOUNDARIES or not set(dims) <= set(lengths):
            found = f"{kind or 'no bc_type'} along {', '.join(dims) or 'no dimension'}"
            expected = f"{', '.join(BOUNDARIES)} along {', '.join(lengths)}"
            raise BadInput(file.filename, f"boundary_conditions/{name}", found, expected)
        if not dims:
            continue
        marked = _mask(file, f"boundary_conditions/{name}/mask", [lengths[dim] for dim in dims], at)
        whole = np.all if kind == "WALL" else np.any
        for axis, dim in enumerate(dims):
            for side, place in enumerate((0, -1)):
                if whole(np.take(marked, place, axis)):
                    ends[dim][side] = BOUNDARIES[kind]
    return {name: (lower, upper) for name, (lower, upper) in ends.items()}


def _mask(file: h5py.File, name: str, lengths: Sequence[int], at: int) -> NDArray[np.bool_]:
    values = check_stored(dataset(file, name))
    by_sample = _flag(item(file, name.rpartition("/")[0]), "sample_varying") and values.ndim > len(lengths)
    if by_sample and at >= values.shape[0]:
        raise BadInput(file.filename, name, f"{values.shape[0]} along trajectory", f"more than {at}")
    marked = np.asarray(read(values, (at,) * by_sample), bool)
    if marked.shape != tuple(lengths):
        raise BadInput(file.filename, name, f"shape {marked.shape}", f"shape {tuple(lengths)}")
    return marked


def _parameters(
    file: h5py.File, about: Mapping[str, Any], at: int, count: int, frames: int
) -> dict[str, NDArray[np.float64]]:
    """The scalars, one number or one a frame, and those of the file's parameters that are no scalars."""
    found: dict[str, NDArray[np.float64]] = {}
    for name in _listed(attributes(item(file, "scalars")).get("field_names", [])):
        values = check_stored(dataset(file, f"scalars/{name}"))
        by_sample, in_time = _flag(values, "sample_varying"), _flag(values, "time_varying")
        expected = (count,) * by_sample + (frames,) * in_time
        if values.shape not in (expected, (*expected, 1)):
            raise BadInput(file.filename, f"scalars/{name}", f"shape {values.shape}", f"shape {expected}")
        found[name] = read(values, (at,) * by_sample).astype(np.float64).reshape((frames,) * in_time)
    for name in _listed(about.get("simulation_parameters", [])):
        if name not in found and isinstance(about.get(name), np.generic | np.ndarray) and np.size(about[name]) == 1:
            found[name] = np.asarray(about[name], np.float64).reshape(())
    return found
