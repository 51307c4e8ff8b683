"""Open a raster of which nothing is trusted: neither its bytes nor the files next to it.

GDAL looks for side files next to a raster, such as masks, and opens what they are and what they name. So it looks for
none, or, for a raster that has side files, in a folder made for it: with links to the raster and to those side files
that are needed, after they were checked.
"""

import os
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError  # some of GDAL's errors are raised unconverted
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import vrt
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.folders import start_of

DRIVERS = ("GTiff", "PNG", "JPEG", "JP2OpenJPEG", "HFA", "BMP", "GIF")
"""Formats that are opened: none interprets arbitrary bytes as pixels or follows a file to the network. VRT is added
only for local files, which are rewritten."""

ALONE = ("GTiff", "PNG", "JPEG", "JP2OpenJPEG", "GIF")
"""Formats for which GDAL can be kept from looking for side files; for HFA and BMP it always looks."""

_HTTP = {
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1000,
    "GDAL_HTTP_MAX_RETRY": 2,
    "GDAL_HTTP_RETRY_DELAY": 1,
}
"""By default GDAL waits for a server without end. Seconds, and bytes per second; the user's environment wins."""

STRICT = {
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": False,
    **{name: value for name, value in _HTTP.items() if name not in os.environ},
}
"""By default GDAL silently fills the rest of a truncated JPEG with grey, and of a truncated PNG with noise."""

LARGEST_BLOCK = 512 << 20
MOST_INFLATION = 10_000
SMALL = 64 << 20
"""A block is decoded as a whole, so one above LARGEST_BLOCK bytes is refused. So is a file whose compression ratio
would exceed MOST_INFLATION (deflate reaches 1032), unless it decodes to at most SMALL bytes."""

LARGEST_SIDE = 16 << 20
"""Maximum size of an `.aux.xml` in bytes."""

_KEPT = {"gcplist": ("gcp",), "pamrasterband": ("nodatavalue", "colorinterp", "colortable"), "colortable": ("entry",)}
"""The elements of an `.aux.xml` that are kept, by the element that holds them."""

# Images without georeferencing are valid input, and a warning per file would hide important ones.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


@contextmanager
def opened(path: str, config: ReadConfig) -> Iterator[DatasetReader]:
    """Open a raster with the mask (`.msk`) and the georeference (`.aux.xml`, `.tab`, world file) next to it.

    The suffixes of side files are in lower or in upper case. Overviews and other side files are not read, nor any of a
    remote raster.

    Args:
        path: A file, a URL, or a path in one of GDAL's virtual file systems. A VRT must be a local file.
        config: Gives the largest size.

    Raises:
        BadInput: the file is missing, is no raster, declares more pixels than allowed or than its bytes can hold, or is
            a VRT of more than plain bands of files below its folder; or a side file is not what its name says, or is
            kept elsewhere.
    """
    if "://" in path or path.startswith("/vsi"):
        with _dataset(path, path, DRIVERS, None, config, side_files=False) as dataset:
            yield dataset
        return
    file = Path(path)
    head, size = _head(file)
    if not (vrt.is_vrt(head) or head.startswith((b"BM", b"EHFA")) or any(_side_files(file))):
        with _dataset(path, str(file.absolute()), ALONE, size, config, side_files=False) as dataset:
            yield dataset
        return
    with TemporaryDirectory(prefix="transect-") as folder:
        shown = _Shown(Path(folder), config).add(file)
        with _dataset(path, str(shown), _drivers(head), size, config) as dataset:
            yield dataset


def failure(path: str, error: BaseException) -> str:
    """What GDAL says about `path`, without the folders that it was shown."""
    deepest = error.__cause__ or error
    text = re.sub(r"[^\s'\"]*/transect-[^/\s]+/\d+/", "", str(deepest))
    for name in (path, os.path.abspath(path) if "\0" not in path else path, os.path.basename(path)):
        text = text.removeprefix(f"{name}: ").removeprefix(f"'{name}' ")
    return text.removesuffix(".") or type(deepest).__name__


class _Shown:
    """The folder that GDAL is shown: each raster that it may open is in a folder of its own, with its side files."""

    def __init__(self, folder: Path, config: ReadConfig) -> None:
        self._folder, self._config, self._count = folder, config, 0
        self._sources: dict[Path, vrt.Source] = {}
        self._files = 1

    def add(self, file: Path, depth: int = 0) -> Path:
        """Show `file`, checked with its side files and, if it is a VRT, with its sources."""
        if depth > vrt.DEEPEST:
            raise BadInput(file, "VRT", f"more than {vrt.DEEPEST} VRTs inside each other", "fewer")
        shown = self._folder / str(self._count) / file.name
        self._count += 1
        shown.parent.mkdir()
        if vrt.is_vrt(_head(file)[0]):
            content, self._files = vrt.rewrite(file, lambda source: self._source(source, depth + 1))
            shown.write_bytes(content)
        else:
            shown.symlink_to(file.resolve())
        for side, name in _side_files(file):
            require_here(side, file)
            self._add_side_file(side, shown.with_name(name))
        return shown

    def _source(self, file: Path, depth: int) -> vrt.Source:
        if file not in self._sources:
            head, size = _head(file)
            # GDAL offers a source to all of its drivers. Those that recognise text read up to a null byte.
            if not vrt.is_vrt(head) and b"\0" not in head[:16]:
                raise BadInput(file, "file", "no signature of a raster", f"a raster ({', '.join(DRIVERS)})")
            shown, files = self.add(file, depth), self._files if vrt.is_vrt(head) else 1
            with _dataset(str(file), str(shown), _drivers(head), size, self._config) as dataset:
                rows, columns = dataset.block_shapes[0]
                properties = {
                    "RasterXSize": dataset.width,
                    "RasterYSize": dataset.height,
                    "DataType": typename_fwd[dtype_rev[dataset.dtypes[0]]],
                    "BlockXSize": columns,
                    "BlockYSize": rows,
                }
            self._sources[file] = vrt.Source(shown, {name: str(value) for name, value in properties.items()}, files)
        return self._sources[file]

    def _add_side_file(self, side: Path, shown: Path) -> None:
        if shown.name.endswith(".aux.xml"):
            shown.write_bytes(_georeference(side))
            return
        shown.symlink_to(side.resolve())
        if shown.suffix == ".msk":
            with _dataset(str(side), str(shown), ("GTiff",), _head(side)[1], self._config, side_files=False):
                pass  # checks it


def _drivers(head: bytes) -> tuple[str, ...]:
    return ("VRT",) if vrt.is_vrt(head) else DRIVERS


def _head(file: Path) -> tuple[bytes, int]:
    """The first bytes and the size of a regular file."""
    return start_of(file, 4096, "a readable raster")


def _side_files(file: Path) -> Iterator[tuple[Path, str]]:
    """The side files of `file` that are needed, each with the name under which GDAL finds it."""
    suffix = file.suffix[1:].lower()
    worlds = [f"{suffix[0]}{suffix[-1]}w", f"{suffix}w", "wld"] if suffix else ["wld"]
    georeferences = [(f"{file.stem}.{kind}", f"{file.stem}.wld") for kind in worlds]
    spilled = [(f"{file.stem}.{kind}", f"{file.stem}.{kind}") for kind in ("tab", "ige")]
    added = [(f"{file.name}.{kind}", f"{file.name}.{kind}") for kind in ("msk", "aux.xml")]
    taken = {file.name}
    for name, shown in (*added, *georeferences, *spilled):
        stem = file.name if name.startswith(f"{file.name}.") else file.stem
        for candidate in (name, stem + name[len(stem) :].upper()):
            if shown not in taken and os.path.lexists(file.with_name(candidate)):
                taken.add(shown)
                yield file.with_name(candidate), shown


def require_here(side: Path, raster: Path) -> None:
    """Refuse a side file that is not a regular file in the folder of `raster` or of the file that it links to."""
    try:
        target = side.resolve(strict=True)
        if target.is_file() and target.parent in (raster.parent.resolve(), raster.resolve().parent):
            return
    except (OSError, RuntimeError):  # a link to itself or to nothing
        pass
    raise BadInput(
        side, "side file", "a link or a pipe", f"a file next to {raster.name}", "copy it there, or remove it"
    )


def _georeference(side: Path) -> bytes:
    """An `.aux.xml` reduced to what matters for pixels and their places; statistics and metadata may name files."""
    given, plain = vrt.parse(side, LARGEST_SIDE), ElementTree.Element("PAMDataset")
    if any("geodataxform" in element.tag.lower() for element in given.iter()):
        raise BadInput(side, "georeference", "GeodataXform", "SRS and GeoTransform", "convert the raster to a GeoTIFF")

    def copy(element: ElementTree.Element, parent: ElementTree.Element, names: tuple[str, ...]) -> None:
        for child in element:
            if child.tag.lower() in names:
                copied = ElementTree.SubElement(parent, child.tag, child.attrib)
                copied.text = child.text
                copy(child, copied, _KEPT.get(child.tag.lower(), ()))

    copy(given, plain, ("srs", "geotransform", "gcplist", "pamrasterband"))
    return ElementTree.tostring(plain)


@contextmanager
def _dataset(
    path: str, shown: str, drivers: tuple[str, ...], size: int | None, config: ReadConfig, side_files: bool = True
) -> Iterator[DatasetReader]:
    """Open what GDAL is shown of `path`; `size` is that of the file in bytes."""
    options = {} if side_files else {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    try:
        # rasterio.open takes a single driver's name.
        with rasterio.Env(**STRICT, **options):
            dataset = DatasetReader(shown, driver=list(drivers))
    except (RasterioError, CPLE_BaseError, OSError) as error:
        expected = f"a raster ({', '.join(DRIVERS if drivers == ALONE else drivers)})"
        raise BadInput(path, "file", failure(path, error), expected) from error
    with dataset:
        _check_size(path, dataset, None if "VRT" in drivers else size, config)
        _check_references(path, dataset, Path(shown))
        yield dataset


def _check_size(path: str, dataset: DatasetReader, size: int | None, config: ReadConfig) -> None:
    pixels = dataset.width * dataset.height
    if pixels > config.max_pixels:
        shape = f"{dataset.width} x {dataset.height} pixels"
        raise BadInput(path, "size", shape, f"at most {config.max_pixels} pixels", "raise read.max_pixels")
    if dataset.count == 0:
        raise BadInput(path, "bands", 0, "at least 1")
    pixel_bytes = sum(np.dtype(name).itemsize for name in dataset.dtypes if name != "complex_int16")
    if size is not None and pixels * pixel_bytes > max(SMALL, MOST_INFLATION * size):
        claim = f"{pixels * pixel_bytes} bytes of pixels in a file of {size} bytes"
        expected = f"at most {MOST_INFLATION} times the file"
        raise BadInput(path, "size", claim, expected, "the file is damaged or hostile")
    if dataset.colorinterp[0] == ColorInterp.palette:
        pixel_bytes += 4  # its colours
    block = dataset.block_shapes[0]
    if block[0] * block[1] * pixel_bytes > LARGEST_BLOCK:
        advice = "rewrite it in tiles: gdal_translate -co TILED=YES"
        raise BadInput(path, "block", f"{block[1]} x {block[0]} pixels", f"at most {LARGEST_BLOCK >> 20} MB", advice)


def _check_references(path: str, dataset: DatasetReader, shown: Path) -> None:
    """Refuse a raster whose own content names other files: overviews, or an HFA's pixels in a folder above."""
    if overviews := dataset.tags(ns="OVERVIEWS"):
        raise BadInput(path, "OVERVIEWS", next(iter(overviews.values())), "no names of files", "convert it again")
    if dataset.driver == "HFA":
        for file in dataset.files:
            if Path(os.path.normpath(file)).parent != shown.parent:
                raise BadInput(path, "external file", file, "a file next to it", "convert it to a GeoTIFF")
