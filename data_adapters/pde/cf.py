"""Identify dimensions and variables by the CF conventions, and by their names where attributes are missing.

cf-xarray recognises axes by the same attributes, but only for dimensions that have a coordinate variable; ensemble
members, boundary conditions and vector components would remain to be written.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Boundary, ReadConfig

MEMBERS = ("member", "ensemble", "sample", "trajectory", "realization", "batch")
"""Names of ensemble dimensions, whose members are separate trajectories."""

BOUNDARIES: tuple[Boundary, ...] = ("periodic", "wall", "open")

_EAST = re.compile(r"degrees?_?e(ast)?", re.IGNORECASE)
_DIRECTIONS = (("eastward_", "northward_", "upward_"), ("x_", "y_", "z_"))


def time_dimension(source: object, dataset: xr.Dataset, config: ReadConfig) -> str:
    """The time dimension: `config.time`, or else by `axis`, `standard_name`, `units` or name, in this order.

    Raises:
        BadInput: there is no time dimension.
    """
    dims = [str(dim) for dim in dataset.sizes]
    attributes = {dim: dataset.variables[dim].attrs if dim in dataset.variables else {} for dim in dims}
    candidates = (
        [dim for dim in dims if dim == config.time]
        if config.time
        else [dim for dim in dims if attributes[dim].get("axis") == "T"]
        + [dim for dim in dims if attributes[dim].get("standard_name") == "time"]
        + [dim for dim in dims if " since " in str(attributes[dim].get("units", ""))]
        + [dim for dim in dims if dim.lower() in ("t", "time")]
    )
    if not candidates:
        expected = f"a dimension {config.time}" if config.time else "a time dimension"
        raise BadInput(source, "dimensions", ", ".join(dims) or "none", expected, "set time to its name")
    return candidates[0]


def member_dimension(source: object, dataset: xr.Dataset, config: ReadConfig) -> str:
    """The ensemble dimension: `config.member`, or else by its name; empty if there is none.

    Raises:
        BadInput: `config.member` is not in the file.
    """
    if config.member:
        if config.member not in dataset.sizes:
            raise BadInput(source, "dimensions", ", ".join(map(str, dataset.sizes)), f"a dimension {config.member}")
        return config.member
    named = (dim for dim in dataset.sizes if str(dim).lower() in MEMBERS)
    indices = (dim for dim in named if dim not in dataset.variables or dataset.variables[dim].dtype.kind != "f")
    return str(next(indices, ""))


def spatial_dimensions(
    source: object, dataset: xr.Dataset, names: Iterable[str], other: tuple[str, ...]
) -> tuple[str, ...]:
    """The spatial dimensions: those shared by most of the variables `names`, except `other`.

    Dimensions of length one count only if they have a boundary condition.

    Args:
        source: The file, for messages.
        dataset: The opened file.
        names: Variables that may be fields.
        other: Dimensions to exclude: time and ensemble.

    Raises:
        BadInput: there are none, or more than three.
    """
    boundary = {dim for dim in dataset.sizes if dim in dataset.variables and "boundary" in dataset.variables[dim].attrs}
    shared = Counter(
        tuple(str(dim) for dim in variable.dims if dim not in other and (dataset.sizes[dim] > 1 or dim in boundary))
        for variable in (dataset.variables[name] for name in names)
    )
    found = max(shared, key=lambda dims: (bool(dims), shared[dims], len(dims)), default=())
    if not 1 <= len(found) <= 3:
        advice = "set axes to the names of the spatial dimensions, and variables"
        raise BadInput(source, "spatial dimensions", ", ".join(found) or "none", "one to three besides time", advice)
    return found


def secondary(dataset: xr.Dataset) -> set[str]:
    """Names of variables that other variables refer to: bounds, auxiliary coordinates, grid mappings, flags."""
    keys = ("bounds", "climatology", "coordinates", "grid_mapping", "ancillary_variables")
    attributes = [dataset.attrs, *(variable.attrs for variable in dataset.variables.values())]
    return {word for attrs in attributes for key in keys for word in words(attrs.get(key, ""))}


def words(value: Any) -> list[str]:
    """The names in an attribute: a string separated by blanks, or a list of strings."""
    return value.split() if isinstance(value, str) else [str(item) for item in np.ravel(value)]


def boundary_of(
    source: object, name: str, values: NDArray[np.float64], attributes: Mapping[str, Any]
) -> tuple[Boundary, Boundary]:
    """Boundary conditions of an axis: from its attribute `boundary`, else periodic around the globe, else open.

    Args:
        source: The file, for messages.
        name: The axis.
        values: `(length,)`, its coordinates.
        attributes: Its attributes. `boundary` is one condition, or those of the lower and the upper end. A longitude,
            or an axis with a `modulo`, is periodic if its values span the full circle to within one spacing.

    Returns:
        The conditions at the lower and the upper end.

    Raises:
        BadInput: `boundary` is not one or two of periodic, wall and open.
    """
    if "boundary" in attributes:
        conditions = words(attributes["boundary"]) * 2
        ends = [known for end in conditions for known in BOUNDARIES if known == end.lower()]
        if len(ends) != len(conditions) or len(conditions) not in (2, 4):
            raise BadInput(source, f"boundary of {name}", attributes["boundary"], f"one or two of {BOUNDARIES}")
        return ends[0], ends[1]
    modulo = str(attributes.get("modulo", "no")).strip().lower()
    try:
        period = float(modulo)
    except ValueError:
        period = 360.0 if _is_longitude(attributes) else 0.0
    if period and len(values) > 2:
        spacing = np.abs(np.diff(values)).max()
        periodic = abs(np.ptp(values) - period) <= 1.001 * spacing
    else:
        periodic = modulo not in ("no", "false", "0")
    return ("periodic", "periodic") if periodic else ("open", "open")


def vectors_of(standard_names: Mapping[str, str]) -> dict[str, list[str]]:
    """Group variables into vectors by their CF standard names.

    eastward_wind and northward_wind form wind; sea_water_x_velocity and sea_water_y_velocity form sea_water_velocity.

    Args:
        standard_names: Standard name of each variable.

    Returns:
        The components of each vector by its name.
    """
    by_standard_name = {standard: name for name, standard in standard_names.items()}
    vectors = {}
    for standard in by_standard_name:
        for directions in _DIRECTIONS:
            before, first, after = standard.rpartition(directions[0])
            if first and (not before or before.endswith("_")):
                wanted = [f"{before}{direction}{after}" for direction in directions]
                components = [by_standard_name[component] for component in wanted if component in by_standard_name]
                if wanted[1] in by_standard_name:
                    vectors[before + after] = components
    return vectors


def _is_longitude(attributes: Mapping[str, Any]) -> bool:
    units = str(attributes.get("units", ""))
    by_axis = attributes.get("axis") == "X" and units.lower().startswith("degree")
    return bool(_EAST.fullmatch(units)) or attributes.get("standard_name") == "longitude" or by_axis
