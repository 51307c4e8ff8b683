"""Read NetCDF and Zarr as simulations: variables over time and one to three spatial dimensions, by CF conventions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde import cf
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.simulation import Axis, Coordinate, Member, Simulation
from transect.data_adapters.pde.xarray_open import check_size, opened, reading

LONGEST = 1 << 24
"""Maximum number of frames, members or cells along an axis; a file that declares more is corrupt or hostile."""

STRUCTURE = {
    "boundary", "vector", "bounds", "climatology", "coordinates", "grid_mapping", "ancillary_variables",
    "cell_measures", "formula_terms", "valid_min", "valid_max", "valid_range", "actual_range",
}  # fmt: skip
"""Attributes that are not kept: `Simulation` represents them otherwise, they name variables that it does not have, or
they give a range of values that predictions may leave."""


@dataclass(frozen=True)
class _Roles:
    """The roles of the dimensions, and the index of the ensemble member."""

    time: str
    member: str
    axes: tuple[str, ...]
    index: int = 0

    def is_field(self, variable: xr.Variable) -> bool:
        """Whether it has time and every axis; other dimensions must have length one."""
        return self.time in variable.dims and self._fits(variable, {self.time, *self.axes})

    def is_constant(self, variable: xr.Variable) -> bool:
        return self._fits(variable, set(self.axes))

    def is_parameter(self, variable: xr.Variable) -> bool:
        return set(variable.dims) <= {self.member}

    def of_member(self, variable: xr.Variable) -> xr.Variable:
        """The values of the member, with dimensions in the order of time and axes."""
        single = {dim: 0 for dim in variable.dims if dim not in (self.time, self.member, *self.axes)}
        chosen = variable.isel({self.member: self.index, **single}, missing_dims="ignore")
        return chosen.transpose(*(dim for dim in (self.time, *self.axes) if dim in chosen.dims))

    def _fits(self, variable: xr.Variable, wanted: set[str]) -> bool:
        dims = {dim for dim in variable.dims if dim != self.member}
        return wanted <= dims and all(variable.sizes[dim] == 1 for dim in dims - wanted)


def members(path: Path, config: ReadConfig) -> list[Member]:
    """The trajectories of a file, named by their index along the ensemble dimension.

    Raises:
        BadInput: it is not NetCDF or Zarr, or has no dimension `config.member`.
    """
    with opened(path) as dataset:
        member = cf.member_dimension(path, dataset, config)
        count = _length(path, dataset, member) if member else 1
    return [Member(f"{index:0{len(str(count - 1))}d}") for index in range(count)] if member else [Member("")]


def open_member(path: Path, member: str, config: ReadConfig) -> Simulation:
    """Open one trajectory; its values are read lazily.

    Fields are the floating-point variables over time and all spatial dimensions, in the file's order (sorted for Zarr,
    which has none) or that of `config.variables`. Constants vary only in space. Parameters are scalar variables, and
    the attributes or variables over time that the file's attribute `parameters` lists.

    Raises:
        BadInput: a dimension or variable is missing or does not match `config`.
    """
    with opened(path) as dataset:
        roles, names = _roles(path, dataset, member, config)
        fields = _fields(path, dataset, names, config)
        channels = tuple(component for field in fields for component in field.components)
        axes = tuple(_axis(path, dataset, dim) for dim in roles.axes)
        time = _coordinate(path, dataset, roles.time)
        cells = math.prod(len(axis) for axis in axes)
        for name in channels:
            check_size(path, dataset.variables[name], name, cells * len(channels))
        parameters, constants = _parameters(path, dataset, roles), _constants(path, dataset, roles, channels, cells)
        described = (name for name in (*channels, *parameters, *constants) if name in dataset.variables)
        return Simulation(
            source=str(path),
            fields=fields,
            axes=axes,
            time=time,
            read=partial(_read, path, channels, roles, (len(time), *(len(axis) for axis in axes))),
            parameters=parameters,
            constants=constants,
            attributes={
                name: value
                for name, value in _plain(dataset.attrs).items()
                if name not in ("channels", "parameters", "coordinates", *parameters)
            },
            descriptions={name: _plain(dataset.variables[name].attrs) for name in described},
        )


def _read(
    path: Path, channels: Sequence[str], roles: _Roles, lengths: tuple[int, ...], start: int, stop: int
) -> NDArray[np.float32]:
    """Frames from start to stop of every channel, as for `Simulation.read`."""
    start, stop, _ = slice(start, stop).indices(lengths[0])
    frames = np.empty((max(stop - start, 0), len(channels), *lengths[1:]), np.float32)
    with opened(path) as dataset:
        for index, name in enumerate(channels):
            with reading(path, name):
                variable = roles.of_member(dataset.variables[name])
                frames[:, index] = variable.isel({roles.time: slice(start, stop)}).values
    return frames


def _roles(path: Path, dataset: xr.Dataset, member: str, config: ReadConfig) -> tuple[_Roles, list[str]]:
    """The roles of the dimensions, and the names of the variables that are components of fields, in order."""
    time, ensemble = cf.time_dimension(path, dataset, config), cf.member_dimension(path, dataset, config)
    requested = [part for name in config.variables for part in config.vectors.get(name, [name])]
    for name in [*requested, *(part for parts in config.vectors.values() for part in parts)]:
        _numeric(path, dataset, name)
    secondary = cf.secondary(dataset)
    candidates = requested[:1] or [
        str(name)
        for name, variable in dataset.variables.items()
        if variable.dtype.kind == "f" and time in variable.dims and name not in secondary and name not in dataset.sizes
    ]
    axes = config.axes or cf.spatial_dimensions(path, dataset, candidates, (time, ensemble))
    for dim in axes:
        if dim not in dataset.sizes:
            raise BadInput(path, "dimensions", ", ".join(map(str, dataset.sizes)), f"a dimension {dim}")
    if ensemble and int(member) >= _length(path, dataset, ensemble):
        raise BadInput(path, ensemble, f"{dataset.sizes[ensemble]} members", f"one numbered {member}")
    roles = _Roles(time, ensemble, axes, int(member or 0))
    wanted = ", ".join((time, *axes))
    for name in requested:
        if not roles.is_field(dataset.variables[name]):
            raise BadInput(path, name, f"dimensions {', '.join(map(str, dataset.variables[name].dims))}", wanted)
    if requested:
        return roles, list(dict.fromkeys(requested))
    fields = [name for name in candidates if roles.is_field(dataset.variables[name])]
    if not fields:
        raise BadInput(path, "variables", "none that vary in time and space", f"floating-point numbers over {wanted}")
    if path.is_dir():
        fields.sort()
    order = cf.words(dataset.attrs.get("channels", ""))  # written by `write`
    return roles, sorted(fields, key=lambda name: order.index(name) if name in order else len(order))


def _numeric(path: Path, dataset: xr.Dataset, name: str) -> xr.Variable:
    if name not in dataset.variables:
        raise BadInput(path, "variables", ", ".join(map(str, dataset.variables)) or "none", f"one called {name}")
    variable = dataset.variables[name]
    if variable.dtype.kind not in "fiub":
        raise BadInput(path, name, f"values of type {variable.dtype}", "numbers")
    return variable


def _fields(path: Path, dataset: xr.Dataset, names: Sequence[str], config: ReadConfig) -> tuple[Field, ...]:
    """Group the variables `names` into scalars and vectors, each vector at the position of its first component."""
    attrs = {name: dataset.variables[name].attrs for name in names}
    units = {name: str(attributes.get("units", "")) for name, attributes in attrs.items()}
    vectors = {name: list(parts) for name, parts in config.vectors.items() if set(parts) <= set(names)}
    for name, parts in vectors.items():
        if len({units[part] for part in parts}) > 1:
            found = ", ".join(units[part] or "none" for part in parts)
            raise BadInput(path, f"vectors.{name}", f"units {found}", "components of the same units")
    for by_file in (
        _declared_vectors(attrs),
        cf.vectors_of({name: str(own.get("standard_name", "")) for name, own in attrs.items()}),
    ):
        taken = {part for parts in vectors.values() for part in parts}
        vectors |= {
            name: parts
            for name, parts in by_file.items()
            if name not in vectors
            and not taken & set(parts)
            and len(parts) > 1
            and len({units[part] for part in parts}) == 1
        }
    owner = {part: name for name, parts in vectors.items() for part in parts}
    fields = {}
    for name in names:
        if name in owner:
            fields[owner[name]] = Field(owner[name], tuple(vectors[owner[name]]), units[name])
        else:
            fields[name] = Field(name, (name,), units[name], str(attrs[name].get("long_name", "")))
    return tuple(fields.values())


def _declared_vectors(attrs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Components of each vector, from the attribute `vector` that `write` adds."""
    vectors: dict[str, list[str]] = {}
    for name, attributes in attrs.items():
        if "vector" in attributes:
            vectors.setdefault(str(attributes["vector"]), []).append(name)
    return vectors


def _parameters(path: Path, dataset: xr.Dataset, roles: _Roles) -> dict[str, NDArray[np.float64]]:
    named, secondary = cf.words(dataset.attrs.get("parameters", "")), cf.secondary(dataset)
    found = {name: np.array(value, np.float64) for name in named if isinstance(value := dataset.attrs.get(name), Real)}
    for name, variable in dataset.variables.items():
        scalar = set(variable.dims) <= {roles.member} and variable.dtype.kind == "f" and name not in secondary
        series = set(variable.dims) <= {roles.member, roles.time} and variable.dtype.kind in "fiu" and name in named
        if name not in dataset.sizes and (scalar or series):
            with reading(path, str(name)):
                found[str(name)] = roles.of_member(variable).values.astype(np.float64)
    return found


def _constants(
    path: Path, dataset: xr.Dataset, roles: _Roles, channels: Sequence[str], cells: int
) -> dict[str, NDArray[np.float32]]:
    constants = {}
    for key, variable in dataset.variables.items():
        name = str(key)
        if variable.dtype.kind in "fiub" and roles.is_constant(variable) and name not in (*channels, *dataset.sizes):
            check_size(path, variable, name, cells)
            with reading(path, name):
                constants[name] = roles.of_member(variable).values.astype(np.float32)
    return constants


def _axis(path: Path, dataset: xr.Dataset, dim: str) -> Axis:
    coordinate = _coordinate(path, dataset, dim)
    attributes = dataset.variables[dim].attrs if dim in dataset.variables else {}
    boundary = cf.boundary_of(path, dim, coordinate.values, attributes)
    return Axis(dim, coordinate.values, coordinate.units, coordinate.attributes, boundary)


def _coordinate(path: Path, dataset: xr.Dataset, dim: str) -> Coordinate:
    """The coordinate of a dimension; without a coordinate variable, indices without units."""
    length = _length(path, dataset, dim)
    if dim not in dataset.variables:
        return Coordinate(dim, np.arange(length, dtype=np.float64))
    variable = _numeric(path, dataset, dim)
    check_size(path, variable, dim, length)
    with reading(path, dim):
        values = variable.values.astype(np.float64)
    attributes = {name: value for name, value in _plain(variable.attrs).items() if (name, value) != ("axis", "T")}
    return Coordinate(dim, values, str(attributes.pop("units", "")), attributes)


def _length(path: Path, dataset: xr.Dataset, dim: str) -> int:
    length = dataset.sizes[dim]
    if length > LONGEST:
        raise BadInput(path, f"length of {dim}", f"{length:,}", f"at most {LONGEST:,}")
    return int(length)


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """The attributes to keep for output, as built-in Python types."""
    return {
        str(name): value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        for name, value in attributes.items()
        if name not in STRUCTURE
    }
