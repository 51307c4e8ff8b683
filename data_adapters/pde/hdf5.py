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
"""Maximum compression ratio; deflate reaches about 1030 on zeros."""

READ_LIMIT = 1 << 34
"""Maximum bytes of one read; more indicates a corrupt file."""

ATTRIBUTE_LIMIT = 1 << 20
"""Maximum bytes of one attribute."""

Index = tuple[int | slice, ...]

_FAILURES = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)
"""Exceptions that h5py raises for damaged files."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open the HDF5 file at `path` as a context manager.

    Raises:
        BadInput: it is missing, not HDF5, or damaged, including damage detected by reads inside the block.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise BadInput(path, "file", found, "an HDF5 file")
    try:
        # No lock: cluster file systems often refuse one, and nothing is written.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except BadInput:
        raise
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(path, "HDF5", reason, "a whole HDF5 file", "compare its size with the source's") from error


def names(group: h5py.Group) -> list[str]:
    """Sorted names of the members of `group`, without opening them."""
    return sorted(_text(name) for name in group)


def item(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The object at path `name` below `group`, or None if it does not exist.

    Raises:
        BadInput: the path contains a soft or external link, which might lead out of the file.
    """
    node = group
    for part in name.split("/"):
        key = part.encode("utf-8", "surrogateescape")
        # Query the link itself: h5py's `in` and `get` follow a link to check its target.
        if not isinstance(node, h5py.Group) or not node.id.links.exists(key):
            return None
        if node.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise BadInput(node.file.filename, name, "a link", "values in the file itself", "copy them into the file")
        node = node[part]
    return node


def dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """The numeric dataset `name` of `group`, without reading it.

    Raises:
        BadInput: there is none, its values are stored in other files, or they are not numeric.
    """
    source, node = group.file.filename, item(group, name)
    if not isinstance(node, h5py.Dataset):
        raise BadInput(source, name, "no dataset" if node is None else "a group", "a dataset of numbers")
    if node.is_virtual or node.external:
        raise BadInput(
            source, name, "values kept in other files", "values in the file itself", "copy them in with h5repack"
        )
    if node.shape is None or node.dtype.kind not in "fiub":
        raise BadInput(source, name, f"values of type {node.dtype}", "numbers")
    return node


def check_stored(values: h5py.Dataset) -> h5py.Dataset:
    """Return `values` if its declared size is plausible for the bytes stored in its file; reads the chunk index.

    Raises:
        BadInput: the declared size is too large, or its chunks are.
    """
    source = values.file.filename
    declared, stored = _bytes(values.shape, values.dtype), values.id.get_storage_size()
    if stored > Path(source).stat().st_size or declared > MOST_COMPRESSED * stored:
        found = f"{declared:,} bytes declared, {stored:,} stored in a file of {Path(source).stat().st_size:,}"
        raise BadInput(source, values.name, found, "as many values as are declared", "write the file again")
    if values.chunks and _bytes(values.chunks, values.dtype) > READ_LIMIT:
        raise BadInput(source, values.name, f"chunks of shape {values.chunks}", f"at most {READ_LIMIT:,} bytes each")
    return values


def read(values: h5py.Dataset, index: Index = ()) -> NDArray[Any]:
    """Read `values[index]`.

    Raises:
        BadInput: the selection is larger than `READ_LIMIT`.
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
    """The attributes of a file, group or dataset as str, list of str, or NumPy numbers; others are skipped.

    Args:
        of: May be None, which has no attributes.

    Raises:
        BadInput: an attribute is larger than `ATTRIBUTE_LIMIT`.
    """
    values: dict[str, Any] = {}
    if of is None:
        return values
    for name in of.attrs:
        stored = of.attrs.get_id(name)
        if _bytes(stored.shape or (), stored.dtype) > ATTRIBUTE_LIMIT:
            raise BadInput(of.file.filename, f"attribute {name}", f"shape {stored.shape}", "a small one")
        value = of.attrs[name]
        if isinstance(value, bytes | str):
            value = _text(value)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
            value = [_text(text) for text in value.ravel()]
        if isinstance(value, str | list) or (isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "fiub"):
            values[_text(name)] = value
    return values


def _text(stored: object) -> str:
    """Printable text: h5py decodes invalid UTF-8 to lone surrogates, which are replaced here."""
    plain = stored if isinstance(stored, bytes) else str(stored).encode("utf-8", "surrogateescape")
    return plain.decode("utf-8", "replace")


def _bytes(shape: Any, dtype: np.dtype[Any]) -> int:
    return math.prod(int(length) for length in shape) * dtype.itemsize
