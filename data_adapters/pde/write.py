"""Write a rollout on a grid as NetCDF4 or Zarr by the CF conventions, block by block.

h5netcdf and zarr are used directly: xarray's writers need the whole rollout as an array, in memory or in dask.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray
from zarr.storage import LocalStore

from transect.data_adapters.blocks import regroup
from transect.data_adapters.files import writing
from transect.data_adapters.overlap import consume_in_thread
from transect.data_adapters.pde.simulation import Axis, Coordinate, Rollout

CHUNK = 1 << 20
"""Maximum bytes of a chunk: as many frames as fit, or part of a frame."""

Fill = Callable[[int, NDArray[np.float32]], None]
"""Writes frames of a channel from a frame index on."""

Create = Callable[[str, tuple[str, ...], NDArray[Any] | None, Mapping[str, Any]], Fill]
"""Creates a variable from name, dimensions, values and attributes; without values, a channel to be filled later."""


def write_rollout(rollout: Rollout, folder: Path, source: str) -> dict[str, float | str]:
    """Write `rollout.nc` or `rollout.zarr` into `folder`, depending on `rollout.format`.

    Every component is a float32 variable over time and space, NaN for missing values, with the names, units and
    attributes of the input; components of a vector name it in their attribute `vector`. Boundary conditions are
    attributes of the coordinates. Time-dependent parameters keep their last value after the end of the simulation. The
    blocks are computed in this thread and written in another; memory holds a chunk of every channel and a few blocks.
    The same rollout gives the same bytes.

    Args:
        rollout: A rollout on a grid; its blocks are consumed here, once.
        folder: An empty folder.
        source: Model, version and hash, for the attributes `source` and `history`.

    Returns:
        `steps`, `fields`, the times `first` and `last` with their units, the range of every channel, and the facts
        of the rollout.

    Raises:
        OSError: the file could not be written completely; discard the contents of `folder`.
        ValueError: the blocks are not the frames that the rollout declares.
    """
    simulation, steps = rollout.simulation, len(rollout.times)
    path = folder / ("rollout.zarr" if rollout.format == "zarr" else "rollout.nc")
    sizes = {simulation.time.name: steps, **{axis.name: len(axis) for axis in simulation.axes}}
    chunk = _chunk(tuple(sizes.values()))
    limits = np.full((2, len(list(_channels(rollout, ())))), [[np.inf], [-np.inf]])

    def write(blocks: Iterator[NDArray[np.float32]]) -> None:
        create_file = _zarr if rollout.format == "zarr" else _netcdf
        with writing(path), create_file(path, sizes, chunk, _attributes(rollout, source)) as create:
            _create_auxiliary(create, rollout)
            channels = [create(*channel) for channel in _channels(rollout, tuple(sizes))]
            shape = (steps, len(channels), *simulation.shape)
            for start, frames in regroup(blocks, shape, chunk[0], np.float32, "blocks of a rollout", "frames"):
                for index, fill in enumerate(channels):
                    fill(start, frames[:, index])
                    limits[0, index] = np.fmin.reduce(frames[:, index], axis=None, initial=limits[0, index])
                    limits[1, index] = np.fmax.reduce(frames[:, index], axis=None, initial=limits[1, index])

    consume_in_thread(rollout.blocks, write)
    units = simulation.time.units
    facts: dict[str, float | str] = {
        "steps": steps,
        "fields": ", ".join(field.name for field in rollout.fields),
        "first": f"{rollout.times[0]:.10g} {units}".rstrip(),
        "last": f"{rollout.times[-1]:.10g} {units}".rstrip(),
    }
    channels = ((component, field.units) for field in rollout.fields for component in field.components)
    for (name, unit), (smallest, largest) in zip(channels, limits.T, strict=True):
        if smallest <= largest:
            facts[name] = f"{smallest:.4g} to {largest:.4g} {unit}".rstrip()
    return facts | rollout.facts


def _chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The largest chunk of a float32 array that fits into `CHUNK` bytes, complete along its last axes."""
    room, lengths = CHUNK // 4, []
    for length in reversed(shape):
        lengths.append(max(min(length, room), 1))
        room //= lengths[-1]
    return tuple(reversed(lengths))


def _create_auxiliary(create: Create, rollout: Rollout) -> None:
    """Create coordinates, parameters and constants."""
    simulation, time = rollout.simulation, rollout.simulation.time
    create(time.name, (time.name,), rollout.times, {"axis": "T", **_attrs_of(time), **_calendar(time)})
    for axis in simulation.axes:
        create(axis.name, (axis.name,), axis.values, {**_attrs_of(axis), "boundary": _boundary(axis)})
    known = np.minimum(rollout.context + np.arange(len(rollout.times)), len(simulation) - 1)
    for name, parameter in simulation.parameters.items():
        dims, values = ((time.name,), parameter[known]) if parameter.ndim else ((), parameter)
        create(name, dims, np.asarray(values, np.float64), simulation.descriptions.get(name, {}))
    for name, constant in simulation.constants.items():
        create(name, tuple(axis.name for axis in simulation.axes), constant, simulation.descriptions.get(name, {}))


def _channels(rollout: Rollout, dims: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], None, dict[str, Any]]]:
    for field in rollout.fields:
        attrs = {
            "units": field.units,
            "long_name": field.long_name,
            "vector": field.name if len(field.components) > 1 else "",
            "cell_methods": "realization: standard_deviation" if field in rollout.spread else "",
        }
        nonempty = {name: text for name, text in attrs.items() if text}
        for component in field.components:
            yield component, dims, None, {**nonempty, **rollout.simulation.descriptions.get(component, {})}


def _attributes(rollout: Rollout, source: str) -> dict[str, Any]:
    """Global attributes: the simulation's, with provenance."""
    simulation, known = rollout.simulation, dict(rollout.simulation.attributes)
    made = f" (source: {known['source']})" if "source" in known else ""
    entry = (
        f"{len(rollout.times)} frames predicted after frame {rollout.context} of {Path(simulation.source).name}{made}"
    )
    return {
        **known,
        "Conventions": "CF-1.11",
        "history": "\n".join([*([str(known["history"])] if "history" in known else []), f"{entry} by {source}"]),
        "source": source,
        "channels": " ".join(name for name, *_ in _channels(rollout, ())),
        **({"parameters": " ".join(simulation.parameters)} if simulation.parameters else {}),
    }


def _attrs_of(coordinate: Coordinate) -> dict[str, Any]:
    return {**({"units": coordinate.units} if coordinate.units else {}), **coordinate.attributes}


def _boundary(axis: Axis) -> str:
    return " ".join(dict.fromkeys(axis.boundary))


def _calendar(time: Coordinate) -> dict[str, str]:
    """A calendar with a year 0, for climatologies whose units refer to it although the standard calendar has none."""
    standard = str(time.attributes.get("calendar", "standard")).lower() in ("standard", "gregorian")
    return {"calendar": "proleptic_gregorian"} if standard and re.search(r" since 0+-", time.units) else {}


@contextmanager
def _netcdf(
    path: Path, sizes: Mapping[str, int], chunk: tuple[int, ...], attributes: Mapping[str, Any]
) -> Iterator[Create]:
    with _DeferredErrorFile(path, "w+") as disk:
        with h5netcdf.File(disk, "w") as file:
            file.dimensions = sizes
            file.attrs.update(_plain(attributes))

            def create(name: str, dims: tuple[str, ...], values: NDArray[Any] | None, attrs: Mapping[str, Any]) -> Fill:
                if values is None:
                    missing, filters = (
                        np.float32(np.nan),
                        {"compression": "gzip", "compression_opts": 1, "shuffle": True},
                    )
                    variable = file.create_variable(name, dims, np.float32, fillvalue=missing, chunks=chunk, **filters)
                else:
                    variable = file.create_variable(name, dims, values.dtype, data=values)
                variable.attrs.update(_plain(attrs))

                def fill(start: int, frames: NDArray[np.float32]) -> None:
                    variable[start : start + len(frames)] = frames
                    disk.check()

                return fill

            yield create
        disk.check()


class _DeferredErrorFile(FileIO):
    """A file object that hides write errors from HDF5, which would otherwise abort the process when closing.

    After the first error nothing is written, HDF5 can close its objects, and `check` raises the error.
    """

    error: OSError | None = None

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        try:
            while self.error is None and left:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None, /) -> int:
        try:
            if self.error is None:
                return super().truncate(size)
        except OSError as error:
            self.error = error
        return size or 0


@contextmanager
def _zarr(
    path: Path, sizes: Mapping[str, int], chunk: tuple[int, ...], attributes: Mapping[str, Any]
) -> Iterator[Create]:
    # Version 2 with consolidated metadata, which every reader supports.
    group = zarr.create_group(LocalStore(path), zarr_format=2, attributes=_plain(attributes))

    def create(name: str, dims: tuple[str, ...], values: NDArray[Any] | None, attrs: Mapping[str, Any]) -> Fill:
        shape = tuple(sizes[dim] for dim in dims)
        array = group.create_array(
            name, shape=shape, chunks=chunk if values is None else shape, fill_value=np.nan,
            dtype=np.float32 if values is None else values.dtype, compressors=Blosc(cname="zstd", clevel=1),
            attributes={**_plain(attrs), "_ARRAY_DIMENSIONS": list(dims)},
        )  # fmt: skip
        if values is not None:
            array[...] = values

        def fill(start: int, frames: NDArray[np.float32]) -> None:
            array[start : start + len(frames)] = frames

        return fill

    yield create
    zarr.consolidate_metadata(group.store)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that both formats support: strings, numbers and lists of them; other values as strings."""
    kept = {}
    for name, value in attributes.items():
        items = np.ravel(np.asarray(value))
        plain = value is not None and items.size and items.dtype.kind in "iufU"
        kept[name] = value if plain and not isinstance(value, dict) else str(value)
    return kept
