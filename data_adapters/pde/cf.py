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
"""Names of dimensions that count trajectories."""

BOUNDARIES: tuple[Boundary, ...] = ("periodic", "wall", "open")

_EAST = re.compile(r"degrees?_?e(ast)?", re.IGNORECASE)
_DIRECTIONS = (("eastward_", "northward_", "upward_"), ("x_", "y_", "z_"))


def time_dimension(source: object, dataset: xr.Dataset, config: ReadConfig) -> str:
    """The dimension of time: `config.time`, or by its axis, standard name, units or name, in this order.

    Raises:
        BadInput: there is none.
    """
    dims = [str(dim) for dim in dataset.sizes]
    told = {dim: dataset.variables[dim].attrs if dim in dataset.variables else {} for dim in dims}
    criteria = (
        [dim for dim in dims if dim == config.time]
        if config.time
        else [dim for dim in dims if told[dim].get("axis") == "T"]
        + [dim for dim in dims if told[dim].get("standard_name") == "time"]
        + [dim for dim in dims if " since " in str(told[dim].get("units", ""))]
        + [dim for dim in dims if dim.lower() in ("t", "time")]
    )
    if not criteria:
        expected = f"a dimension {config.time}" if config.time else "one of time"
        raise BadInput(source, "dimensions", ", ".join(dims) or "none", expected, "say time, the name of the dimension")
    return criteria[0]


def member_dimension(source: object, dataset: xr.Dataset, config: ReadConfig) -> str:
    """The dimension that counts trajectories: `config.member`, or by its name; empty if there is none.

    Raises:
        BadInput: `config.member` is not in the file.
    """
    if config.member:
        if config.member not in dataset.sizes:
            raise BadInput(source, "dimensions", ", ".join(map(str, dataset.sizes)), f"a dimension {config.member}")
        return config.member
    counted = (dim for dim in dataset.sizes if str(dim).lower() in MEMBERS)
    plain = (dim for dim in counted if dim not in dataset.variables or dataset.variables[dim].dtype.kind != "f")
    return str(next(plain, ""))


def spatial_dimensions(
    source: object, dataset: xr.Dataset, names: Iterable[str], other: tuple[str, ...]
) -> tuple[str, ...]:
    """The dimensions that most of the variables `names` share, `other` aside.

    Those of length one count only if they have a boundary condition.

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
        advice = "say axes, the names of the spatial dimensions, and variables"
        raise BadInput(source, "spatial dimensions", ", ".join(found) or "none", "one to three beside time", advice)
    return found


def secondary(dataset: xr.Dataset) -> set[str]:
    """Names of the variables that describe others: bounds, auxiliary coordinates, grid mappings, flags."""
    keys = ("bounds", "climatology", "coordinates", "grid_mapping", "ancillary_variables")
    attributes = [dataset.attrs, *(variable.attrs for variable in dataset.variables.values())]
    return {word for told in attributes for key in keys for word in words(told.get(key, ""))}


def words(value: Any) -> list[str]:
    """Names in an attribute, which is a text with blanks between them or a list of texts."""
    return value.split() if isinstance(value, str) else [str(item) for item in np.ravel(value)]


def boundary_of(
    source: object, name: str, values: NDArray[np.float64], attributes: Mapping[str, Any]
) -> tuple[Boundary, Boundary]:
    """Boundary conditions of an axis: as an attribute `boundary` tells them, else periodic around the globe, else open.

    `boundary` is one condition, or those of the lower and the upper end. A longitude, or an axis with a `modulo`, is
    periodic if its values span the circle within one spacing.

    Raises:
        BadInput: the attribute names none of periodic, wall and open.
    """
    if "boundary" in attributes:
        told = words(attributes["boundary"]) * 2
        ends = [one for end in told for one in BOUNDARIES if one == end.lower()]
        if len(ends) != len(told) or len(told) not in (2, 4):
            raise BadInput(source, f"boundary of {name}", attributes["boundary"], f"one or two of {BOUNDARIES}")
        return ends[0], ends[1]
    modulo = str(attributes.get("modulo", "no")).strip().lower()
    try:
        period = float(modulo)
    except ValueError:
        period = 360.0 if _is_longitude(attributes) else 0.0
    if period and len(values) > 2:
        spacing = np.abs(np.diff(values)).max()
        around = abs(np.ptp(values) - period) <= 1.001 * spacing
    else:
        around = modulo not in ("no", "false", "0")
    return ("periodic", "periodic") if around else ("open", "open")


def vectors_of(standard_names: Mapping[str, str]) -> dict[str, list[str]]:
    """Components of vectors by the vector's name, from the CF standard name of each variable.

    eastward_wind and northward_wind make wind; sea_water_x_velocity and sea_water_y_velocity make sea_water_velocity.
    """
    by_standard_name = {standard: name for name, standard in standard_names.items()}
    found = {}
    for standard in by_standard_name:
        for directions in _DIRECTIONS:
            before, first, after = standard.rpartition(directions[0])
            if first and (not before or before.endswith("_")):
                wanted = [f"{before}{direction}{after}" for direction in directions]
                components = [by_standard_name[one] for one in wanted if one in by_standard_name]
                if wanted[1] in by_standard_name:
                    found[before + after] = components
    return found


def _is_longitude(attributes: Mapping[str, Any]) -> bool:
    units = str(attributes.get("units", ""))
    by_axis = attributes.get("axis") == "X" and units.lower().startswith("degree")
    return bool(_EAST.fullmatch(units)) or attributes.get("standard_name") == "longitude" or by_axis
