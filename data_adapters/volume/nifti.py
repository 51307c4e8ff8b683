"""NIfTI files: a volume with its geometry, and a mask on exactly the grid of its image.

nibabel does the parsing. What it leaves to its callers is here: units other than millimetres, gzip by content rather
than by name, sizes that a header claims and its file cannot hold, and refusing what is no volume.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import nibabel
import numpy as np
import psutil
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Header, Nifti2Image
from nibabel.spatialimages import HeaderDataError, ImageDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.files import writing
from transect.data_adapters.regular import require_regular
from transect.data_adapters.volume.volume import Grid, Volume, valid_affine

MILLIMETRES = {"mm": 1.0, "meter": 1e3, "micron": 1e-3, "unknown": 1.0}

LARGEST = 1 << 31
"""The most voxels of a volume: 1290 x 1290 x 1290."""

MOST_INFLATION = 1032
"""Deflate never makes more bytes out of one."""

FAILURES = (OSError, EOFError, zlib.error, HeaderDataError, ImageDataError, WrapStructError, ValueError, MemoryError)


def read_nifti(
    path: str | Path, index: int | None = None, several: str = "read.index chooses one of its volumes"
) -> Volume:
    """Read a NIfTI-1 or NIfTI-2 file, compressed or not, whatever its name says.

    The geometry is that of the sform where its code is positive, else that of the qform, else the voxel sizes alone,
    with a warning. Axes of length 1 after the third are dropped.

    Args:
        path: A single file (`.nii`, `.nii.gz`).
        index: Which volume of a file with four axes, from 0.
        several: What to do about a file with four axes.

    Raises:
        BadInput: the file is missing, damaged or shorter than its header says; it is no volume of numbers, too large,
            or has NaN or infinite voxels; or its affine is not one of an image.
    """
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        shape = _shape(path, header, index, several)
        _require_size(path, header, file)
        grid, warnings = _grid(path, header, shape[:3])
        try:
            file.seek(0)
            kind = Nifti2Image if isinstance(header, Nifti2Header) else Nifti1Image
            with LoggingOutputSuppressor():
                image = kind.from_stream(file)  # type: ignore[arg-type]
            values = _values(image, (*shape[:3], -1), index)
        except FAILURES as error:
            raise BadInput(path, "voxels", reason(error), "as many values as the header says") from error
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        advice = "replace them, for example by 0"
        raise BadInput(path, "voxels", f"{bad:,} that are NaN or infinite", "finite values", advice)
    return Volume(values, grid, str(path), facts={}, warnings=warnings, header=header)


def read_grid(path: str | Path) -> Grid:
    """The grid of a NIfTI file, from its header alone.

    Raises:
        BadInput: as `read_nifti`.
    """
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        return _grid(path, header, _shape(path, header, 0)[:3])[0]


def read_slice(path: str | Path) -> NDArray[Any]:
    """The stored values of the middle slice along the third axis, `(X, Y)`: only a part of the file is read.

    Raises:
        BadInput: as `read_nifti`.
    """
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file)
        shape = _shape(path, header, None)
        _require_size(path, header, file)
        dtype, count = header.get_data_dtype(), shape[0] * shape[1]
        place = int(header["vox_offset"]) + shape[2] // 2 * count * dtype.itemsize
        try:
            file.seek(place)
            values = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        except FAILURES as error:
            raise BadInput(path, "voxels", reason(error), "as many values as the header says") from error
    if values.size != count:
        raise BadInput(path, "voxels", f"{values.size:,} in a slice", f"{count:,}")
    return values.reshape(shape[:2], order="F")


def write_nifti(path: Path, values: NDArray[Any], volume: Volume | Grid) -> None:
    """Write `values`, uint8 for a mask, on the grid of `volume`.

    A volume read from NIfTI passes on its header: sform and qform, each with its code, and its units, so that every
    program puts the mask where it puts the image. Descriptions and extensions are left out, since they may name the
    patient. For other volumes both affines are the grid's; the qform has code 0 where it cannot express it.

    Args:
        path: A `.nii.gz`.
        values: `(X, Y, Z)`.
        volume: What the values belong to, or a grid alone.

    Raises:
        ValueError: `values` have another shape than the grid.
        OSError: the file cannot be written.
    """
    grid = volume if isinstance(volume, Grid) else volume.grid
    if values.shape != grid.shape:
        raise ValueError(f"values: found shape {values.shape}, expected {grid.shape}")
    values = values.astype(np.uint8) if values.dtype == bool else values
    given = None if isinstance(volume, Grid) else volume.header
    if given is None:
        image = Nifti1Image(values, grid.affine, dtype=values.dtype)
        image.header.set_xyzt_units("mm")
        image.set_sform(grid.affine, 1)
        image.set_qform(grid.affine, 1, strip_shears=True)
        straight = np.allclose(image.get_qform(), grid.affine, atol=1e-3)
        image.header["qform_code"] = 1 if straight else 0
    else:
        header = given.copy()
        header.extensions.clear()
        header.set_data_dtype(values.dtype)
        header.set_slope_inter(1, 0)
        header.set_intent("none")
        header.set_xyzt_units(header.get_xyzt_units()[0], "unknown")
        for name in ("descrip", "aux_file", "db_name", "data_type"):
            if name in header:
                header[name] = b""
        header["cal_min"], header["cal_max"] = 0, 0
        kind = Nifti2Image if isinstance(given, Nifti2Header) else Nifti1Image
        image = kind(values, None, header, dtype=values.dtype)
    with writing(path):
        nibabel.save(image, path)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    require_regular(path)
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not compressed:
                yield raw
                return
            with gzip.open(raw) as file:
                yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(path, "file", reason(error), "a whole NIfTI file that can be read") from error


def _header(path: Path, file: IO[bytes]) -> Nifti1Header:
    head = file.read(540)
    first, second = head[344:348], head[4:8]
    if first in (b"ni1\0", b"ni2\0") or second == b"ni2\0":
        advice = "join .hdr and .img, for example by nibabel.save"
        raise BadInput(path, "format", "a header of two files", "a single NIfTI file", advice)
    if first != b"n+1\0" and second != b"n+2\0":
        raise BadInput(path, "format", "no NIfTI signature", "a NIfTI file (.nii or .nii.gz)")
    try:
        with LoggingOutputSuppressor():
            return Nifti1Header(head[:348]) if first == b"n+1\0" else Nifti2Header(head)
    except FAILURES as error:
        raise BadInput(path, "header", reason(error), "a NIfTI-1 or NIfTI-2 header") from error


def _shape(path: Path, header: Nifti1Header, index: int | None, several: str = "") -> tuple[int, ...]:
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    text = " x ".join(map(str, shape))
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise BadInput(path, "datatype", dtype, "one number a voxel")
    if len(shape) == 4 and index is None:
        raise BadInput(path, "axes", text, "three", several)
    if len(shape) == 4 and not 0 <= (index or 0) < shape[3]:
        raise BadInput(path, "index", index, f"0 to {shape[3] - 1}")
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise BadInput(path, "axes", text or "none", "three, each of 1 voxel or more")
    if np.prod([float(n) for n in shape[:3]]) > LARGEST:
        raise BadInput(path, "size", f"{text} voxels", f"at most {LARGEST:,}")
    return shape


def _require_size(path: Path, header: Nifti1Header, file: IO[bytes]) -> None:
    """Refuse a header that claims more than its file can hold, or than this machine has memory for."""
    needed = header.get_data_dtype().itemsize * int(np.prod([int(n) for n in header.get_data_shape()], dtype=object))
    size = path.stat().st_size
    most = size * MOST_INFLATION if isinstance(file, gzip.GzipFile) else size - int(header["vox_offset"])
    if needed > most:
        raise BadInput(path, "size", f"{size:,} bytes", f"{needed:,} bytes of voxels, as its header says")
    free = psutil.virtual_memory().available
    if needed > free:
        raise BadInput(path, "size", f"{needed:,} bytes", f"at most {free:,}, the memory that is free")


def _grid(path: Path, header: Nifti1Header, shape: tuple[int, ...]) -> tuple[Grid, tuple[str, ...]]:
    warnings = []
    try:
        unit = header.get_xyzt_units()[0]
        affine = np.array(header.get_best_affine(), float)
        codes = int(header["sform_code"]), int(header["qform_code"])
    except (*FAILURES, KeyError) as error:
        raise BadInput(path, "qform", reason(error), "the affine of an image") from error
    if max(codes) <= 0:
        warnings.append("position and orientation: found no sform and no qform, only voxel sizes")
    affine[:3] *= MILLIMETRES.get(unit, 1.0)
    if wrong := valid_affine(affine):
        raise BadInput(path, "sform" if codes[0] > 0 else "qform", wrong, "the affine of an image in mm")
    return Grid((shape[0], shape[1], shape[2]), affine), tuple(warnings)


def _values(image: Nifti1Image, shape: tuple[int, ...], index: int | None) -> NDArray[Any]:
    """`(X, Y, Z)`, as stored where the header does not scale, else float32."""
    proxy: Any = image.dataobj
    whole = int(np.prod(proxy.shape)) == int(np.prod(shape[:3]))
    part = ... if whole else (..., index)
    if proxy.is_proxy and (proxy.slope, proxy.inter) == (1, 0):
        values = proxy.get_unscaled() if whole else np.asanyarray(proxy[part])
    else:
        values = np.asanyarray(proxy, dtype=np.float32) if whole else proxy[part]
    values = np.asarray(values).reshape(shape[:3], order="F")
    native = values.dtype.newbyteorder("=")
    return values.astype(np.float32 if values.dtype.itemsize > 4 and native.kind == "f" else native, copy=False)
