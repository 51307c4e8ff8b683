"""The files of a folder or of a zip, listed and read alike."""

import os
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.change_detection.folders import start_of
from transect.data_adapters.change_detection.opening import require_here
from transect.data_adapters.listing import walk

MOST_MEMBERS = 20_000
VSIZIP = "/vsizip/{"
"""GDAL's name of a member of a zip is `/vsizip/{PATH}/MEMBER`."""


@dataclass(frozen=True)
class Tree:
    """Files below a root.

    Args:
        root: The folder or the zip.
        names: Paths of the files relative to it, separated by "/".
        zipped: Whether `root` is a zip.
    """

    root: Path
    names: tuple[str, ...]
    zipped: bool = False

    def path(self, name: str) -> str:
        """The file as `opened` takes it."""
        return f"{VSIZIP}{self.root.absolute()}}}/{name}" if self.zipped else str(self.root / name)

    def read(self, name: str, largest: int) -> bytes:
        """The content of a file.

        Raises:
            BadInput: it cannot be read, or has more than `largest` bytes.
        """
        if not self.zipped:
            return read_file(self.root / name, largest)
        shown = f"{self.root}/{name}"
        try:
            with zipfile.ZipFile(self.root) as archive, archive.open(name) as member:
                content = member.read(largest + 1)
        except (OSError, RuntimeError, NotImplementedError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise BadInput(shown, "member", reason(error), "a member that can be read") from error
        if len(content) > largest:
            raise BadInput(shown, "size", "a larger file", f"at most {largest >> 10} kB")
        return content


def read_file(path: Path, largest: int) -> bytes:
    """The content of a file of at most `largest` bytes.

    Raises:
        BadInput: it cannot be read, or is larger.
    """
    content, size = start_of(path, largest + 1, "a readable file")
    if len(content) > largest:
        raise BadInput(path, "size", f"{size} bytes", f"at most {largest} bytes")
    return content


def sibling(raster: str, names: Iterable[str]) -> str:
    """The first of these files that is next to `raster`, or an empty string; nothing is looked for next to a URL.

    Raises:
        BadInput: it is a link to a file elsewhere, or no regular file.
    """
    if "://" in raster or raster.startswith("/vsi"):
        return ""
    for name in names:
        side = Path(raster).with_name(name)
        if os.path.lexists(side):
            require_here(side, Path(raster))
            return str(side)
    return ""


def on_disk(path: str) -> str:
    """The file on disk that `path`, as `opened` takes it, is in: of a member of a zip, the zip."""
    return path.removeprefix(VSIZIP).partition("}/")[0] if path.startswith(VSIZIP) else path


def folder_tree(folder: Path) -> Tree:
    """All files below `folder`.

    Raises:
        BadInput: a folder cannot be listed, or there are more than MOST_MEMBERS files.
    """
    names: list[str] = []
    for _, _, files in walk(folder):
        names += [file.relative_to(folder).as_posix() for file in files]
        if len(names) > MOST_MEMBERS:
            raise BadInput(folder, "files", f"more than {MOST_MEMBERS}", "the files of one product")
    return Tree(folder, tuple(names))


def zip_tree(path: Path) -> Tree:
    """The members of a zip.

    Raises:
        BadInput: it is no zip, is empty, has more than MOST_MEMBERS members, or one of them lies outside of it; or its
            path has braces, which mark the path of a zip for GDAL.
    """
    if {"{", "}"} & set(str(path.absolute())):
        raise BadInput(path, "path", "braces", "a zip in a folder without braces", "rename it or the folder")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise BadInput(path, "zip", reason(error), "a zip that can be read") from error
    if len(members) > MOST_MEMBERS:
        raise BadInput(path, "zip", f"{len(members)} members", f"at most {MOST_MEMBERS}")
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or set("\\:\0") & set(member.filename):
            raise BadInput(path, "member", member.filename, "a path inside the zip", "make the zip again")
    names = tuple(member.filename for member in members if not member.is_dir())
    if not names:
        raise BadInput(path, "zip", "no files", "the files of one product", "download it again")
    return Tree(path, names, zipped=True)
