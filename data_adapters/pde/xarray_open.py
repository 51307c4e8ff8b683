"""Open untrusted NetCDF and Zarr files lazily with xarray.

xarray does the decoding; the checks before it are needed because its backends follow URLs and links, and run any codec
that a Zarr store names.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import xarray as xr
from zarr.storage import LocalStore

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde import hdf5

CODECS = {
    "blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd", "adler32", "crc32", "crc32c", "fletcher32", "bytes",
    "transpose", "sharding_indexed", "shuffle", "astype", "bitround", "delta", "fixedscaleoffset", "packbits",
    "quantize", "vlen-bytes", "vlen-utf8",
}  # fmt: skip
"""Allowed Zarr codecs: those that decode bytes to numbers or text. Others, above all pickle, may execute code."""


@contextmanager
def opened(path: Path) -> Iterator[xr.Dataset]:
    """Open a NetCDF3, NetCDF4 or Zarr (v2 or v3) file lazily, as a context manager.

    Fill values, scales and offsets are decoded; times keep their numeric values. Nothing outside `path` is ever read:
    no URL, no link out of a store's folder, no external storage of HDF5.

    Raises:
        BadInput: the file has another format, is damaged, or refers to other files.
    """
    with reading(path, "content"):
        engine, source, options = _source(path)
        decoding: dict[str, Any] = {"decode_times": False, "decode_timedelta": False, "decode_coords": False}
        dataset = xr.open_dataset(
            source, engine=engine, **decoding, create_default_indexes=False, cache=False, **options
        )
        if engine == "zarr":
            _set_fill_values(path, dataset)
            dataset = xr.decode_cf(dataset, **decoding)
    with dataset:
        yield dataset


@contextmanager
def reading(path: Path, field: str) -> Iterator[None]:
    """Convert exceptions of the libraries on damaged files, which may be of any type, to a `BadInput` for `field`.

    Raises:
        BadInput: in place of any exception.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"[:300]
        raise BadInput(path, field, found, "a whole NetCDF or Zarr file", "copy or write the file again") from error


def check_size(path: Path, variable: xr.Variable, name: str, count: int, limit: int = hdf5.READ_LIMIT) -> None:
    """Check that one read, and each chunk of a variable, does not exceed a size limit.

    Args:
        path: The file, for messages.
        variable: The variable.
        name: Its name, for messages.
        count: Number of values in one read.
        limit: Maximum size in bytes.

    Raises:
        BadInput: it does.
    """
    chunk = variable.encoding.get("chunks") or variable.encoding.get("chunksizes") or ()
    size = max(count, math.prod(chunk)) * variable.dtype.itemsize
    if size > limit:
        raise BadInput(path, f"size of {name}", f"{size:,} bytes to read at once", f"at most {limit:,}")


def _source(path: Path) -> tuple[str, Any, dict[str, Any]]:
    """Xarray's engine for the file, the object to open, and options."""
    if path.is_dir():
        _check_codecs(path)
        options = {"consolidated": False, "mask_and_scale": False}
        return "zarr", _ConfinedStore(path, read_only=True), options
    with path.open("rb") as file:
        magic = file.read(8)
    absolute = str(path.absolute())  # so that it is never interpreted as a URL
    if magic[:4] in (b"CDF\x01", b"CDF\x02"):
        return "scipy", absolute, {}
    if magic == b"\x89HDF\r\n\x1a\n":
        _check_links(path)
        return "h5netcdf", absolute, {"driver_kwds": {"locking": False}}  # as in hdf5.opened
    raise BadInput(
        path, "first bytes", magic, "NetCDF3, NetCDF4 or a folder of Zarr", "convert it, as by nccopy -k nc4"
    )


class _ConfinedStore(LocalStore):
    """A Zarr store in a folder that refuses links out of the folder."""

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        if not (self.root / key).resolve().is_relative_to(self.root.resolve()):
            raise BadInput(self.root, key, "a link that leads out of the store", "a file in it", "copy the file there")
        return await super().get(key, *args, **kwargs)


def _set_fill_values(path: Path, dataset: xr.Dataset) -> None:
    """Choose the values of a store of version 2 that stand for missing ones.

    xarray takes Zarr's fill value, which is that of chunks that were never written, and which it uses for missing
    values itself. zarr-python sets it to 0 without being asked, so 0 counts only as an attribute `_FillValue`.
    """
    for name, variable in dataset.variables.items():
        if variable.dtype.kind not in "fiu" or not (path / str(name) / ".zarray").is_file():
            continue
        attributes = path / str(name) / ".zattrs"
        declared = json.loads(attributes.read_bytes()).get("_FillValue") if attributes.is_file() else None
        if declared is not None:
            variable.attrs["_FillValue"] = variable.dtype.type(declared)
        elif variable.attrs.get("_FillValue") == 0:
            del variable.attrs["_FillValue"]


def _check_codecs(path: Path) -> None:
    metadata = [path.glob(f"*/{name}") for name in (".zarray", ".zattrs", "zarr.json")]
    for file in sorted(file for files in metadata for file in files):
        if not file.is_file() or not file.resolve().is_relative_to(path.resolve()):
            found = "a link that leads out of the store, or a pipe"
            raise BadInput(path, f"{file.parent.name}/{file.name}", found, "a file in it", "copy the file there")
        if file.name == ".zattrs":
            continue
        unknown = set(_codecs(json.loads(file.read_bytes()))) - CODECS
        if unknown:
            advice = "write the store again with one of zstd, blosc or gzip"
            raise BadInput(
                path, f"codec of {file.parent.name}", ", ".join(sorted(unknown)), "a codec of numbers", advice
            )


def _codecs(metadata: dict[str, Any]) -> Iterator[str]:
    for key in ("compressor", "filters", "codecs", "index_codecs"):
        value = metadata.get(key) or []
        for codec in [value] if isinstance(value, dict) else value:
            yield str(codec.get("id") or codec.get("name")).removeprefix("numcodecs.")
            yield from _codecs(codec.get("configuration") or {})


def _check_links(path: Path) -> None:
    with hdf5.opened(path) as file:
        for name in hdf5.names(file):
            node = hdf5.item(file, name)
            if isinstance(node, h5py.Dataset) and (node.is_virtual or node.external):
                advice = "copy them in, as by h5repack"
                raise BadInput(path, name, "values kept in other files", "values in the file itself", advice)
