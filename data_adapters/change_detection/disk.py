"""What GDAL says when a file cannot be written, told as one OSError."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyogrio.errors
from rasterio.errors import RasterioError

_FAILURES = (
    OSError,
    RasterioError,
    pyogrio.errors.DataSourceError,
    pyogrio.errors.DataLayerError,
    pyogrio.errors.GeometryError,
    pyogrio.errors.FeatureError,
    pyogrio.errors.FieldError,
)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while `path` is written into one line that names it and the room on its disk.

    Raises:
        OSError: in place of every error of GDAL, OGR or the operating system.
    """
    try:
        yield
    except _FAILURES as error:
        reason = " ".join(str(error.__cause__ or error).split())
        free = shutil.disk_usage(path.parent).free
        raise OSError(f"{path}: could not be written whole: {reason} ({free:,} bytes are free there)") from error
