"""Read VTU files array by array: points, cells and point data of an unstructured mesh.

meshio reads VTU too but is not safe for untrusted files: it decompresses a block of any size, and loops endlessly on
the counts of a damaged polyhedron. Here the size of every array follows from the mesh's declared counts, no more than
that is decompressed, and only the arrays that are requested are decoded. Writing uses meshio, and the tests compare the
two readers.
"""

import binascii
import lzma
import zlib
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.pde.vtk_encoding import TYPES, from_ascii, from_base64, from_binary, raw

LARGEST = 1 << 30
"""Maximum size of a file in bytes."""
MOST = 1 << 24
"""Maximum number of points, and of cells."""

CELLS = {
    1: ("vertex", 1),
    3: ("line", 2),
    5: ("triangle", 3),
    8: ("pixel", 4),
    9: ("quad", 4),
    10: ("tetra", 4),
    12: ("hexahedron", 8),
    13: ("wedge", 6),
    14: ("pyramid", 5),
    21: ("line3", 3),
    22: ("triangle6", 6),
    23: ("quad8", 8),
    24: ("tetra10", 10),
    25: ("hexahedron20", 20),
    28: ("quad9", 9),
    29: ("hexahedron27", 27),
}
"""meshio's name and the number of corners of each VTK cell type."""
WEDGE = [0, 2, 1, 3, 5, 4]
"""meshio orders the corners of a wedge differently from VTK; this permutation is its own inverse."""


class VtuFile:
    """The mesh and point data of a `.vtu` file in any of VTK's encodings.

    Args:
        path: A file with arrays inline or appended, ASCII, base64 or raw, uncompressed or compressed by zlib or LZMA.

    Raises:
        BadInput: here, or when an array is read: the file is damaged, not VTU, or uses an unsupported feature: several
            pieces, polygons and polyhedra, LZ4.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content, self._appended = _split(read_bytes(path), path)
        self._root = parse_xml(content, path)
        if self._root.get("type") != "UnstructuredGrid":
            raise BadInput(path, "type", self._root.get("type"), "UnstructuredGrid")
        pieces = self._root.findall("UnstructuredGrid/Piece")
        if len(pieces) != 1:
            raise BadInput(path, "Piece", f"{len(pieces)} of them", "one", "merge the blocks before writing")
        self._piece = pieces[0]
        self._points, self._cells = (self._count(f"NumberOf{name}") for name in ("Points", "Cells"))

    @property
    def fields(self) -> Mapping[str, int]:
        """Number of components of each floating-point array of the point data, in the file's order."""
        arrays = self._named("PointData").items()
        return {name: _components(array) for name, array in arrays if array.get("type", "").startswith("Float")}

    def values(self, name: str) -> NDArray[np.float32]:
        """The point data array `name`, float32 `(components, points)`."""
        arrays = self._named("PointData")
        if name not in arrays:
            raise BadInput(self.path, name, "no such point data", f"one of {', '.join(arrays) or 'none'}")
        with np.errstate(over="ignore"):
            return self._read(arrays[name], self._points).astype(np.float32).T

    def points(self) -> NDArray[np.float64]:
        """Coordinates of the points, float64 `(points, 3)`."""
        arrays = self._piece.findall("Points/DataArray")
        if len(arrays) != 1 or _components(arrays[0]) != 3:
            raise BadInput(self.path, "Points", f"{len(arrays)} arrays", "one of 3 components")
        points = self._read(arrays[0], self._points).astype(np.float64)
        if not len(points) or not np.isfinite(points).all():
            found = "coordinates that are not finite" if len(points) else "none"
            raise BadInput(self.path, "Points", found, "points with numbers for coordinates")
        return points

    def cells(self) -> dict[str, NDArray[np.int64]]:
        """Point indices of the cells' corners, int64 `(cells, corners)` by meshio's cell type."""
        if not self._cells:
            return {}
        arrays = self._named("Cells")
        missing = {"types", "offsets", "connectivity"} - set(arrays)
        if missing:
            raise BadInput(self.path, "Cells", f"no {', '.join(sorted(missing))}", "types, offsets and connectivity")
        types = self._integers(arrays["types"], self._cells)
        kinds, first, which = np.unique(types, return_index=True, return_inverse=True)
        if not set(kinds.tolist()) <= set(CELLS):
            found = f"VTK types {sorted(set(kinds.tolist()) - set(CELLS))}"
            raise BadInput(self.path, "cells", found, f"some of {sorted(CELLS)}", "triangulate them before writing")
        ends = np.cumsum(np.array([CELLS[kind][1] for kind in kinds.tolist()])[which])
        if not np.array_equal(self._integers(arrays["offsets"], self._cells), ends):
            raise BadInput(self.path, "offsets", "others", "those that follow from the cells' types")
        corners = self._integers(arrays["connectivity"], int(ends[-1]))
        if corners.min() < 0 or corners.max() >= self._points:
            found = f"points {corners.min()} to {corners.max()}"
            raise BadInput(self.path, "connectivity", found, f"0 to {self._points - 1}")
        cells = {}
        for kind in kinds[np.argsort(first)].tolist():
            name, size = CELLS[kind]
            own = corners[ends[types == kind][:, None] - size + np.arange(size)]
            cells[name] = own[:, WEDGE] if name == "wedge" else own
        return cells

    def _count(self, name: str) -> int:
        text = self._piece.get(name, "")
        count = int(text) if text.isdecimal() and len(text) < 12 else -1
        if not 0 <= count <= MOST:
            raise BadInput(self.path, name, text or "nothing", f"a number up to {MOST}")
        return count

    def _named(self, part: str) -> dict[str, ElementTree.Element]:
        return {array.get("Name", ""): array for array in self._piece.findall(f"{part}/DataArray")}

    def _integers(self, array: ElementTree.Element, count: int) -> NDArray[np.int64]:
        values = self._read(array, count)
        if values.dtype.kind not in "iu" or values.shape[1] != 1:
            found = f"{values.shape[1]} components of {values.dtype}"
            raise BadInput(self.path, array.get("Name", ""), found, "whole numbers")
        return values[:, 0].astype(np.int64)

    def _read(self, array: ElementTree.Element, count: int) -> NDArray:
        """The values `(count, components)` of an array."""
        components = _components(array)
        try:
            if not 1 <= components <= 9:
                raise ValueError(f"NumberOfComponents={array.get('NumberOfComponents')}")
            return self._decoded(array, count * components).reshape(count, components)
        except (KeyError, ValueError, OverflowError, EOFError, zlib.error, lzma.LZMAError, binascii.Error) as error:
            found = f"{type(error).__name__}: {error}"
            expected = f"{count} times 1 to 9 numbers, as VTK writes them with zlib, LZMA or unpacked"
            raise BadInput(self.path, array.get("Name", "Points"), found, expected, "write the file again") from error

    def _decoded(self, array: ElementTree.Element, count: int) -> NDArray:
        dtype, header = TYPES[array.get("type", "")], TYPES[self._root.get("header_type", "UInt32")]
        if self._root.get("byte_order") == "BigEndian":
            dtype, header = dtype.newbyteorder(">"), header.newbyteorder(">")
        form = array.get("format", "ascii")
        if form == "ascii":
            return from_ascii(array.text or "", dtype, count)
        if form == "binary":
            take = from_base64("".join((array.text or "").split()).encode())
        else:
            offset = int(array.get("offset", ""))
            if form != "appended" or offset < 0:
                raise ValueError(f"the format {form} with offset {offset}")
            is_raw = self._root.find("AppendedData[@encoding='raw']") is not None
            take = (raw if is_raw else from_base64)(self._appended, offset)
        return from_binary(take, dtype, count, header, self._root.get("compressor"))


def read_bytes(path: Path) -> bytes:
    """The content of a file of at most `LARGEST` bytes.

    Raises:
        BadInput: it is larger, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise BadInput(path, "file", reason(error), "a file that can be read") from error
    if len(content) > LARGEST:
        raise BadInput(path, "file", "a larger one", f"at most {LARGEST >> 20} MB", "split the mesh")
    return content


def parse_xml(content: bytes, path: Path) -> ElementTree.Element:
    """The root of the XML of a VTK file.

    Raises:
        BadInput: it is not well-formed, has a document type (which may declare entities), or is not VTK's.
    """
    parser = ElementTree.XMLParser(target=_NoDocumentType())
    try:
        parser.feed(content)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadInput(path, "XML", error, "well-formed XML without a document type") from error
    if root.tag != "VTKFile":
        raise BadInput(path, "XML", f"<{root.tag}>", "<VTKFile>")
    return root


class _NoDocumentType(ElementTree.TreeBuilder):
    """Rejects a document type before any of its entities is declared."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a document type")


def _split(content: bytes, path: Path) -> tuple[bytes, bytes]:
    """Split off the appended data, which may be raw bytes and begin after a `_`, from the XML."""
    start = content.find(b"<AppendedData")
    if start < 0:
        return content, b""
    start = content.find(b">", start) + 1
    end = content.rfind(b"</AppendedData")
    mark = content.find(b"_", start, max(end, 0))
    if not 0 < start <= mark:
        raise BadInput(path, "AppendedData", "data that are cut off", "_, data and </AppendedData>")
    return content[:start] + content[end:], content[mark + 1 : end]


def _components(array: ElementTree.Element) -> int:
    """The declared number of components of an array; 0 if it is not a number."""
    text = (array.get("NumberOfComponents") or "1").strip()
    return int(text) if text.isdecimal() and len(text) < 9 else 0
