"""Read untrusted HDF5 files: nothing outside the file is read, and nothing larger than the file can hold.

HDF5 follows external links, virtual datasets and external storage to any path that a file names, and h5py allocates the
shapes that it declares. All three are refused, and declared shapes are checked against the stored size.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput

MOST_COMPRESSED = 1100
"""Deflate makes zeros about 1030 times smaller; a dataset that claims more than this holds next to nothing."""

READ_LIMIT = 1 << 34
"""Bytes that are read at once; more is a mistake in a file."""

ATTRIBUTE_LIMIT = 1 << 20
"""Bytes of one attribute."""

Index = tuple[int | slice, ...]

_FAILURES = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)
"""What the HDF5 library raises, by way of h5py, for damaged files."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The HDF5 file at `path`, closed again when the block ends.

    Raises:
        BadInput: it is missing, no HDF5 file, or damaged, be it found out while the block reads.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise BadInput(path, "file", found, "an HDF5 file")
    try:
        # Without a lock, since file systems of clusters often refuse one and nothing is written.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except BadInput:
        raise
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(path, "HDF5", reason, "a whole HDF5 file", "compare its size with the source's") from error


def names(group: h5py.Group) -> list[str]:
    """Names in `group`, sorted; opens none of them."""
    return sorted(_text(name) for name in group)


def item(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """What is stored in `group` under `name`, a path of several parts; None where there is nothing.

    Raises:
        BadInput: the path leads through a link, which might lead out of the file.
    """
    found = group
    for part in name.split("/"):
        key = part.encode("utf-8", "surrogateescape")
        # Asked of the links themselves, since h5py's `in` and `get` follow a link to see whether it leads anywhere.
        if not isinstance(found, h5py.Group) or not found.id.links.exists(key):
            return None
        if found.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise BadInput(found.file.filename, name, "a link", "values in the file itself", "copy them into the file")
        found = found[part]
    return found


def dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """The numeric dataset `name` of `group`, not yet read.

    Raises:
        BadInput: there is none, its values lie in other files, or they are no numbers.
    """
    source, found = group.file.filename, item(group, name)
    if not isinstance(found, h5py.Dataset):
        raise BadInput(source, name, "no dataset" if found is None else "a group", "a dataset of numbers")
    if found.is_virtual or found.external:
        raise BadInput(
            source, name, "values kept in other files", "values in the file itself", "copy them in with h5repack"
        )
    if found.shape is None or found.dtype.kind not in "fiub":
        raise BadInput(source, name, f"values of type {found.dtype}", "numbers")
    return found


def check_stored(values: h5py.Dataset) -> h5py.Dataset:
    """`values`, if as many as it declares can be stored in its file; visits the index of its chunks.

    Raises:
        BadInput: it declares more than that.
    """
    source = values.file.filename
    declared, stored = _bytes(values.shape, values.dtype), values.id.get_storage_size()
    if stored > Path(source).stat().st_size or declared > MOST_COMPRESSED * stored:
        found = f"{declared:,} bytes declared, {stored:,} stored in a file of {Path(source).stat().st_size:,}"
        raise BadInput(source, values.name, found, "as many values as are declared", "write the file anew")
    if values.chunks and _bytes(values.chunks, values.dtype) > READ_LIMIT:
        raise BadInput(source, values.name, f"chunks of shape {values.chunks}", f"at most {READ_LIMIT:,} bytes each")
    return values


def read(values: h5py.Dataset, index: Index = ()) -> NDArray[Any]:
    """The part of `values` at `index`.

    Raises:
        BadInput: it is larger than `READ_LIMIT`.
    """
    parts = (*index, *[slice(None)] * (values.ndim - len(index)))
    shape = [
        len(range(*part.indices(length)))
        for part, length in zip(parts, values.shape, strict=True)
        if isinstance(part, slice)
    ]
    if (size := _bytes(shape, values.dtype)) > READ_LIMIT:
        raise BadInput(values.file.filename, values.name, f"{size:,} bytes to read", f"at most {READ_LIMIT:,}")
    return np.asarray(values[index])


def attributes(of: h5py.Group | h5py.Dataset | None) -> dict[str, Any]:
    """The attributes of a file, group or dataset, if there is one, that are text (str), numbers (numpy), lists of text.

    Raises:
        BadInput: one is larger than `ATTRIBUTE_LIMIT`.
    """
    found: dict[str, Any] = {}
    if of is None:
        return found
    for name in of.attrs:
        stored = of.attrs.get_id(name)
        if _bytes(stored.shape or (), stored.dtype) > ATTRIBUTE_LIMIT:
            raise BadInput(of.file.filename, f"attribute {name}", f"shape {stored.shape}", "a small one")
        value = of.attrs[name]
        if isinstance(value, bytes | str):
            value = _text(value)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
            value = [_text(one) for one in value.ravel()]
        if isinstance(value, str | list) or (isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "fiub"):
            found[_text(name)] = value
    return found


def _text(stored: object) -> str:
    """Text that can be printed and written; h5py hands over what is no UTF-8 as lone surrogates, which cannot."""
    plain = stored if isinstance(stored, bytes) else str(stored).encode("utf-8", "surrogateescape")
    return plain.decode("utf-8", "replace")


def _bytes(shape: Any, dtype: np.dtype[Any]) -> int:
    return math.prod(int(length) for length in shape) * dtype.itemsize
