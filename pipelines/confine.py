"""Confine what a request names to the folders that a server may access, before anything opens it."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from transect.data_adapters.base import BadInput

ROOTS = "TRANSECT_ROOTS"
_MLFLOW_SERVER = "__pyfunc_model_path__"  # the variable is set in the processes of `mlflow models serve`
_SCHEME = re.compile(r"[a-z][\w+.-]*:|/vsi|<", re.IGNORECASE)
"""URLs, GDAL's names such as `NETCDF:"x.nc"` and `/vsicurl/...`, and XML in place of a file."""

Roots = Sequence[Path]
"""Folders that requests may access."""


def server_roots() -> tuple[Path, ...] | None:
    """The folders that requests to this process may access; None if it is no server.

    They are those in TRANSECT_ROOTS, separated like PATH, by default the working folder.
    """
    if ROOTS not in os.environ and _MLFLOW_SERVER not in os.environ:
        return None
    return tuple(map(Path, os.environ.get(ROOTS, os.getcwd()).split(os.pathsep)))


def confined(text: str, roots: Roots) -> str:
    """The absolute path of what a request names, which may be missing.

    Libraries take some relative paths for URLs, but no absolute one.

    Args:
        text: a file or a folder, relative to the working folder.
        roots: folders that may be accessed.

    Raises:
        BadInput: it is outside the roots once symbolic links are followed, or has a scheme or a null byte.
    """
    if not is_confined(text, roots):
        expected = "a file or folder below one of them, without a scheme"
        raise BadInput(text, "path", "a path outside the served folders", expected)
    return str(Path.cwd() / text)


def is_confined(text: str, roots: Roots) -> bool:
    """Whether a path, relative to the working folder, is below one of the roots and no address in disguise."""
    path = str(Path.cwd() / text)
    is_scheme = any(map(_SCHEME.match, (text, path))) and not os.path.exists(path)
    return not is_scheme and is_inside(path, roots)


def confined_files(text: str, roots: Roots) -> str:
    """The absolute paths of input files: of one file or folder, or of several that are joined by `;` or `,`.

    Args:
        text: the files as a request names them; empty for none.
        roots: folders that may be accessed.

    Raises:
        BadInput: as for `confined`, also for a symbolic link in a folder.
    """
    text = text.strip()
    if not text:
        return ""
    whole = str(Path.cwd() / text)
    for separator in ";,":
        if separator in text and not (is_inside(whole, roots) and os.path.exists(whole)):
            return separator.join(confined_files(part, roots) for part in text.split(separator))
    path = confined(text, roots)
    if not all(is_inside(link, roots) for link in _links(path)):
        raise BadInput(text, "path", "a link to a path outside the served folders", "a folder without such links")
    return path


def output_folder(out: object, roots: Roots | None) -> Path:
    """The folder for the results that a request names.

    Raises:
        BadInput: it is no path, a file, or outside the roots.
    """
    if not isinstance(out, str) or not out.strip():
        raise BadInput("params", "out", repr(out), "the path of a folder for the results")
    path = out if roots is None else confined(out, roots)
    if os.path.exists(path) and not os.path.isdir(path):
        raise BadInput(out, "out", "a file", "a folder for the results")
    return Path(path)


def is_inside(path: str, roots: Roots) -> bool:
    """Whether a path is below one of the roots once its symbolic links are followed."""
    try:
        real = Path(os.path.realpath(path))
    except (OSError, ValueError):  # a null byte, or half of a surrogate pair
        return False
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots)


def _links(folder: str) -> Iterable[str]:
    """The symbolic links in a folder, also in the folders that they lead to; nothing for a file."""
    walked = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in walked:  # a link to a folder above it
            folders.clear()
            continue
        walked.add(real)
        yield from filter(os.path.islink, (os.path.join(parent, name) for name in (*folders, *files)))


def without_roots(message: str, roots: Roots, request: Sequence[str]) -> str:
    """A message with paths relative to the served folders, except to those that the request itself names."""
    for root in {str(root) for root in roots} | {os.path.realpath(root) for root in roots}:
        if not any(root in text for text in request):
            message = re.sub(rf"{re.escape(root)}(/|(?![\w.-]))", lambda found: "" if found[1] else ".", message)
    return message
