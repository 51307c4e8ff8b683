"""Read PDEBench's HDF5 files: all trajectories in one array, or one group for each trajectory.

Source: Takamoto et al., "PDEBench" (2022); the layouts are those that its generators write and its loaders read. Its
loaders are not used because they read whole files into memory and do not return the equation's parameters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.checks import check_axes, selected
from transect.data_adapters.pde.config import Boundary, Field, ReadConfig
from transect.data_adapters.pde.hdf5 import attributes, check_stored, dataset, item, names, opened, read
from transect.data_adapters.pde.simulation import Axis, Coordinate, Member, Simulation

AXES = ("x", "y", "z")

ARRAYS = ("tensor", "density", "pressure", "Vx", "Vy", "Vz")
"""Datasets `(trajectories, frames, *shape)`, in the order of the channels."""

VELOCITIES = (("Vx", "Vy", "Vz"), ("velocity_x", "velocity_y", "velocity_z"))

MOST_MEMBERS, MOST_CHANNELS = 1_000_000, 1000
"""Upper limits: more trajectories indicate a corrupt file, more channels that the last axis is not the channel."""

BOUNDARIES: tuple[tuple[str, Boundary], ...] = (
    ("periodic", "periodic"),
    ("wall", "wall"),
    ("(^|_)(trans|outflow)(_|$)", "open"),
    ("advection|burgers|reacdiff|1d_cfd", "periodic"),
    ("diff-react|(^|_)dr(_|$)|ns_incom", "wall"),
)
"""Boundary conditions by patterns in the file name; they are not in the files, but in the generators.

Walls are no-flux in 2-D diffusion-reaction and no-slip in incompressible flow; the radial dam break extrapolates: open.
"""

CHANNELS = (("diff-react|(^|_)dr(_|$)", ("activator", "inhibitor")), ("rdb|swe", ("height",)))
"""Channel names of files with one group for each trajectory, by patterns in the file name."""

NO_PARAMETERS = frozenset(
    {"seed", "n", "t", "tdim", "xdim", "ydim", "T_end", "n_time_steps", "x_left", "x_right", "y_bottom", "y_top"}
    | {"DT", "n_steps", "frame_int", "n_batch", "scale", "smoothness", "force_scale", "force_smoothness"}
    | {"latestIndex"}
)
"""Numbers in a generator's settings that are not parameters of the equation."""


@dataclass(frozen=True)
class _Stored:
    """A time-dependent dataset and its channels, which are its last axis if `channels_last`."""

    name: str
    channels: tuple[str, ...]
    channels_last: bool


@dataclass(frozen=True)
class _Parts:
    """The datasets of one trajectory.

    Args:
        stored: Time-dependent datasets.
        lead: Index of the trajectory in datasets of all trajectories; empty if it has its own datasets.
        grid: The coordinate dataset of each axis; if empty, cells have unit size.
        time: The dataset of the times.
        time_lead: Index of the trajectory in it.
        constant: The dataset that varies only in space, or empty; channels last if they are in `stored`.
        settings: Settings of the generator, and attributes.
        family: Text that identifies the family of equations.
    """

    stored: tuple[_Stored, ...]
    lead: tuple[int, ...]
    grid: tuple[str, ...]
    time: str
    time_lead: tuple[int, ...]
    constant: str
    settings: Mapping[str, Any]
    family: str


def recognises(file: h5py.File) -> bool:
    """Whether the file has a layout of PDEBench."""
    return bool(_kind(file))


def members(path: Path, config: ReadConfig) -> list[Member]:
    """The trajectories of the file, with the split of PDEBench's loaders.

    The test split is the first tenth of an array of trajectories, or the last tenth of the sorted groups.

    Raises:
        BadInput: the file cannot be opened or does not have a layout of PDEBench.
    """
    with opened(path) as file:
        if _known_kind(file) == "groups":
            member_names = names(file)
            test = range(len(member_names) * 9 // 10, len(member_names))
        else:
            count = _count(file)
            member_names = [f"{index:0{len(str(count - 1))}}" for index in range(count)]
            test = range(count // 10)
    if not 0 < len(test) < len(member_names):
        return [Member(name) for name in member_names]
    return [Member(name, "test" if index in test else "train") for index, name in enumerate(member_names)]


def open_member(path: Path, member: str, config: ReadConfig) -> Simulation:
    """Open the trajectory `member` of the file, one of the names from `members`.

    Raises:
        BadInput: there is no such trajectory, or the shapes of its arrays are inconsistent.
    """
    with opened(path) as file:
        kind = _known_kind(file)
        parts = _in_group(file, member) if kind == "groups" else _in_arrays(file, member, kind)
        arrays = [check_stored(dataset(file, stored.name)) for stored in parts.stored]
        last = parts.stored[0].channels_last
        frames, *shape = _inner(arrays[0], len(parts.lead), last)
        axes = _axes(file, parts, shape)
        lead = [("trajectory", arrays[0].shape[0])] if parts.lead else []
        lengths = [(axis.name, len(axis)) for axis in axes]
        for stored, array in zip(parts.stored, arrays, strict=True):
            trailing = [("channel", len(stored.channels))] if stored.channels_last else []
            check_axes(str(path), stored.name, array.shape, array.dtype, [*lead, ("time", frames), *lengths, *trailing])
        constants = {}
        if parts.constant:
            array = check_stored(dataset(file, parts.constant))
            trailing = [("component", len(shape))] if last else []
            check_axes(str(path), parts.constant, array.shape, array.dtype, [*lead, *lengths, *trailing])
            constants = _constants(parts.constant, read(array, parts.lead).astype(np.float32), last)
        time = _time(file, parts, frames)
    channels = [channel for stored in parts.stored for channel in stored.channels]
    fields = selected(str(path), _fields(channels, config), config)
    wanted = tuple(component for field in fields for component in field.components)
    used = tuple(stored for stored in parts.stored if set(stored.channels) & set(wanted))
    return Simulation(
        source=str(path),
        fields=fields,
        axes=axes,
        time=time,
        read=partial(_read, path, used, parts.lead, wanted),
        parameters=_parameters(parts.settings),
        constants=constants,
    )


def _read(
    path: Path, stored: Sequence[_Stored], lead: tuple[int, ...], wanted: Sequence[str], start: int, stop: int
) -> NDArray[np.float32]:
    by_channel: dict[str, NDArray[Any]] = {}
    with opened(path) as file:
        for part in stored:
            block = read(dataset(file, part.name), (*lead, slice(start, stop)))
            values = np.moveaxis(block, -1, 0) if part.channels_last else block[None]
            by_channel |= dict(zip(part.channels, values, strict=True))
    return np.stack([by_channel[name] for name in wanted], axis=1).astype(np.float32, copy=False)


def _kind(file: h5py.File) -> str:
    """The layout of the file: "arrays", "flow" or "groups"; empty if it is not PDEBench's."""
    if item(file, "velocity") and item(file, "particles"):
        return "flow"
    if any(item(file, name) for name in ARRAYS):
        return "arrays"
    first = next(iter(file), "")
    return "groups" if item(file, f"{first}/data") and item(file, f"{first}/grid") else ""


def _known_kind(file: h5py.File) -> str:
    if kind := _kind(file):
        return kind
    raise BadInput(file.filename, "layout", ", ".join(names(file)[:8]) or "nothing in it", "a file of PDEBench")


def _count(file: h5py.File) -> int:
    name = next(name for name in (*ARRAYS, "velocity") if item(file, name))
    values = check_stored(dataset(file, name))
    count = values.shape[0] if values.shape else 0
    if count > MOST_MEMBERS:
        raise BadInput(file.filename, "trajectories", f"{count:,}", f"at most {MOST_MEMBERS:,}")
    return count


def _in_group(file: h5py.File, member: str) -> _Parts:
    group = item(file, member) if member else None
    if not isinstance(group, h5py.Group):
        raise BadInput(file.filename, "trajectory", member or "no name", f"one of the {len(file)} groups of the file")
    settings = _settings(file, attributes(group))
    family = f"{Path(file.filename).stem}_{settings.get('name', '')}".lower()
    count = ([0, *dataset(group, "data").shape])[-1]
    if not 1 <= count <= MOST_CHANNELS:
        raise BadInput(file.filename, f"{member}/data", f"{count} channels", f"1 to {MOST_CHANNELS}, as the last axis")
    channels: tuple[str, ...] = next((known for text, known in CHANNELS if re.search(text, family)), ())
    if len(channels) != count:
        channels = ("u",) if count == 1 else tuple(f"u{index}" for index in range(count))
    stored = _Stored(f"{member}/data", channels, channels_last=True)
    grid = tuple(f"{member}/grid/{axis}" for axis in AXES)
    return _Parts((stored,), (), grid, f"{member}/grid/t", (), "", settings, family)


def _in_arrays(file: h5py.File, member: str, kind: str) -> _Parts:
    count = _count(file)
    if not member.isdecimal() or int(member) >= count:
        raise BadInput(file.filename, "trajectory", member or "no name", f"a number below {count}")
    settings, lead, family = _settings(file, attributes(file)), (int(member),), Path(file.filename).stem.lower()
    if kind == "flow":
        velocity = VELOCITIES[1][: max(0, dataset(file, "velocity").ndim - 3)]
        flow = (_Stored("velocity", velocity, True), _Stored("particles", ("particles",), True))
        constant = "force" if item(file, "force") else ""
        return _Parts(flow, lead, (), "t", lead, constant, settings, f"{family} ns_incom")
    stored = tuple(_Stored(name, (name,), False) for name in ARRAYS if item(file, name))
    grid = tuple(f"{axis}-coordinate" for axis in AXES)
    constant = "nu" if item(file, "nu") else ""
    return _Parts(stored, lead, grid, "t-coordinate", (), constant, settings, family)


def _inner(array: h5py.Dataset, lead: int, channels_last: bool) -> tuple[int, ...]:
    """Lengths of the time axis and the spatial axes."""
    inner = array.shape[lead : array.ndim - 1 if channels_last else array.ndim]
    if not 2 <= len(inner) <= 1 + len(AXES):
        raise BadInput(array.file.filename, array.name, f"shape {array.shape}", "axes of time and of x (, y (, z))")
    return tuple(int(length) for length in inner)


def _axes(file: h5py.File, parts: _Parts, shape: Sequence[int]) -> tuple[Axis, ...]:
    end: Boundary = next((known for text, known in BOUNDARIES if re.search(text, parts.family)), "open")
    if parts.grid:
        values = [_coordinate(file, name) for name in parts.grid[: len(shape)]]
    else:
        values = [np.arange(length, dtype=np.float64) + 0.5 for length in shape]
    return tuple(Axis(name, coordinates, boundary=(end, end)) for name, coordinates in zip(AXES, values, strict=False))


def _time(file: h5py.File, parts: _Parts, frames: int) -> Coordinate:
    if frames == 1 and item(file, parts.time) is None:
        return Coordinate("time", np.zeros(1))
    values = _coordinate(file, parts.time, parts.time_lead)
    # The generators of compressible flow write one more time than frames.
    if len(values) not in (frames, frames + 1):
        raise BadInput(file.filename, parts.time, f"{len(values)} times", f"{frames}, one per frame")
    return Coordinate("time", values[:frames])


def _coordinate(file: h5py.File, name: str, lead: tuple[int, ...] = ()) -> NDArray[np.float64]:
    array = check_stored(dataset(file, name))
    if array.ndim != len(lead) + 1 or any(index >= length for index, length in zip(lead, array.shape, strict=False)):
        raise BadInput(file.filename, name, f"shape {array.shape}", "one coordinate per cell, or one time per frame")
    return read(array, lead).astype(np.float64)


def _fields(channels: Sequence[str], config: ReadConfig) -> list[Field]:
    """Group the channels into fields: the vectors of `config`, or else a velocity; the others are scalars."""
    velocity = [name for along in VELOCITIES for name in along if name in channels]
    vectors = config.vectors or ({"velocity": velocity} if len(velocity) > 1 else {})
    owners = {part: (name, parts) for name, parts in vectors.items() if set(parts) <= set(channels) for part in parts}
    fields = dict(owners.get(channel, (channel, [channel])) for channel in channels)
    return [Field(name, tuple(parts)) for name, parts in fields.items()]


def _constants(name: str, values: NDArray[np.float32], last: bool) -> dict[str, NDArray[np.float32]]:
    if not last:
        return {name: values}
    return {f"{name}_{axis}": part for axis, part in zip(AXES, np.moveaxis(values, -1, 0), strict=False)}


def _settings(file: h5py.File, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes, merged with the generator's settings of the run (YAML, in the attribute `config`)."""
    try:
        settings = yaml.safe_load(str(attrs.get("config", "")))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(file.filename, "config", " ".join(str(error).split()), "settings in YAML") from error
    settings = settings if isinstance(settings, dict) else {}
    run = settings.get("sim")
    return {**attrs, **settings, **(run if isinstance(run, dict) else {})}


def _parameters(settings: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    parameters = {}
    for name, value in settings.items():
        if isinstance(name, str) and name not in NO_PARAMETERS and not isinstance(value, bool):
            try:
                # YAML 1.1 parses 1E-3, as the generators write it, as a string.
                number = np.asarray(value, dtype=np.float64)
            except (ValueError, TypeError):
                continue
            if number.size == 1 and np.isfinite(number).all():
                parameters[name] = number.reshape(())
    return parameters
