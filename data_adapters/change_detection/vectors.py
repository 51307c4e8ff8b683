"""Read polygons from a GeoPackage, a GeoJSON file or a shapefile of which nothing is trusted.

GDAL picks a driver by what a file looks like, and opens files next to it. So the file must be what its suffix says, and
GDAL is shown a folder with links to it and to the checked parts of a shapefile alone.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyogrio
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.folders import start_of
from transect.data_adapters.change_detection.opening import failure, require_here

LARGEST_JSON = 256 << 20
"""Maximum size of a GeoJSON file in bytes: GDAL holds it in memory."""

FORMATS = {".gpkg": "a GeoPackage", ".geojson": "GeoJSON", ".shp": "a shapefile"}
_PARTS = (".shx", ".dbf", ".prj", ".cpg")
"""The other files of a shapefile that are read; indexes are not."""

Bounds = tuple[float, float, float, float]
"""Least x and y, greatest x and y."""


@dataclass(frozen=True)
class Layer:
    """The layer of polygons of a vector file.

    Args:
        path: The file.
        name: Name of the layer in it.
        crs: Of the coordinates.
        bounds: Of all features; None if there are none.
    """

    path: str
    name: str
    crs: CRS
    bounds: Bounds | None

    def polygons(self, bounds: Bounds) -> np.ndarray:
        """The polygons whose bounds touch `bounds`, valid, as an array of shapely geometries.

        Raises:
            BadInput: the file cannot be read.
        """
        if self.path.lower().endswith(".geojson"):
            geometries, tree = _whole(self.path, self.name, os.stat(self.path).st_mtime_ns)
            return geometries[np.sort(tree.query(shapely.box(*bounds)))]
        return _read(self.path, self.name, bounds)


def polygon_layer(path: str) -> Layer:
    """The only layer of polygons in the file at `path`.

    Raises:
        BadInput: the file is missing, is not of the format of its suffix, names no CRS, or has no or several layers of
            polygons.
    """
    with _shown(path) as (shown, options), _reading(path):
        listed = _tables(Path(path)) if options else pyogrio.list_layers(shown)
        layers = [str(name) for name, kind in listed if re.search("polygon|surface|unknown|^geometry", str(kind), re.I)]
        if len(layers) != 1:
            found = ", ".join(layers) or "none"
            raise BadInput(path, "layers of polygons", found, "one", "write one layer of polygons to a file of its own")
        info = pyogrio.read_info(shown, layers[0], force_total_bounds=True, **options)
    try:
        crs = CRS.from_user_input(info["crs"]) if info["crs"] else None
    except CRSError as error:
        raise BadInput(path, "CRS", info["crs"], "a CRS that PROJ knows") from error
    if crs is None:
        raise BadInput(path, "CRS", "none", "one", "assign it in a GIS: a shapefile has it in a .prj file")
    west, south, east, north = info["total_bounds"] or (np.nan,) * 4
    usable = bool(np.isfinite([west, south, east, north]).all())
    return Layer(path, layers[0], crs, (float(west), float(south), float(east), float(north)) if usable else None)


@lru_cache(maxsize=8)
def _whole(path: str, layer: str, changed: int) -> tuple[np.ndarray, shapely.STRtree]:
    """All features of a file and their index; `changed` is its time of modification."""
    geometries = _read(path, layer, None)
    return geometries, shapely.STRtree(geometries)


def _read(path: str, layer: str, bounds: Bounds | None) -> np.ndarray:
    with _shown(path) as (shown, options), _reading(path):
        _, _, wkb, _ = pyogrio.raw.read(shown, layer, columns=[], bbox=bounds, force_2d=True, **options)
        geometries = shapely.from_wkb(wkb)
        return polygons_among(shapely.make_valid(geometries[~shapely.is_missing(geometries)]))


def polygons_among(geometries: np.ndarray) -> np.ndarray:
    """The polygons and multipolygons among geometries and, one level deep, collections; empty ones are left out."""
    parts = shapely.get_parts(geometries)
    return np.asarray(parts[np.isin(shapely.get_type_id(parts), (3, 6)) & ~shapely.is_empty(parts)])


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except (RuntimeError, ValueError, OSError, shapely.GEOSException) as error:
        raise BadInput(path, "features", failure(path, error), "polygons that can be read") from error


@contextmanager
def _shown(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """What GDAL is shown of the file at `path`, after it was checked, and the options for opening it."""
    if "://" in path or path.startswith("/vsi"):
        raise BadInput(path, "polygons", "a remote file", "a local one", "download it")
    file = Path(path)
    suffix = file.suffix.lower()
    head, size = start_of(file, 4096, f"{FORMATS[suffix]} that can be read")
    if not _is_of_format(head, suffix):
        raise BadInput(path, "file", "another format", FORMATS[suffix])
    if suffix == ".geojson" and size > LARGEST_JSON:
        advice = "convert it to a GeoPackage"
        raise BadInput(path, "size", f"{size} bytes", f"at most {LARGEST_JSON >> 20} MB of GeoJSON", advice)
    with TemporaryDirectory(prefix="transect-") as folder:
        shown = Path(folder) / "0" / f"polygons{suffix}"  # `failure` leaves out a folder of this name
        shown.parent.mkdir()
        shown.symlink_to(file.resolve())
        for kind in _PARTS if suffix == ".shp" else ():
            for part in (file.with_suffix(kind), file.with_suffix(kind.upper())):
                if os.path.lexists(part) and not shown.with_suffix(kind).is_symlink():
                    require_here(part, file)
                    shown.with_suffix(kind).symlink_to(part.resolve())
        if suffix == ".shp" and not shown.with_suffix(".shx").is_symlink():
            raise BadInput(path, "shapefile", "no .shx file", "its index next to it", "copy all files of the shapefile")
        # SQLite would otherwise open, and replay, a journal next to the file.
        yield str(shown), {"IMMUTABLE": "YES"} if suffix == ".gpkg" else {}


def _is_of_format(head: bytes, suffix: str) -> bool:
    if suffix == ".gpkg":
        return head.startswith(b"SQLite format 3\0") and head[68:70] == b"GP"
    if suffix == ".shp":
        return head.startswith(b"\x00\x00\x27\x0a")
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and b"<OGRVRT" not in head


def _tables(file: Path) -> list[tuple[str, str]]:
    """The layers of a GeoPackage and their types of geometry.

    Raises:
        BadInput: a layer is a view or a virtual table, which may compute anything.
    """
    query = (
        "SELECT g.table_name, geometry_type_name, type, sql FROM gpkg_geometry_columns g"
        " LEFT JOIN sqlite_master s ON s.name = g.table_name LIMIT 1000"
    )
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            layers = connection.execute(query).fetchall()
    except (sqlite3.Error, ValueError) as error:
        raise BadInput(file, "GeoPackage", error, "tables that can be read") from error
    for name, _, kind, sql in layers:
        if kind != "table" or str(sql).upper().lstrip().startswith("CREATE VIRTUAL"):
            raise BadInput(file, f"layer {name}", kind or "nothing", "a table", "save the layer to a new file")
    return [(str(name), str(geometry)) for name, geometry, _, _ in layers]
