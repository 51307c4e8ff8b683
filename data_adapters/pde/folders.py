"""Which files of a folder hold simulations, and what the folders that they lie in say of them."""

import os
from collections.abc import Iterator
from pathlib import Path

from transect.data_adapters.base import SPLIT_FOLDERS, BadInput

SUFFIXES = frozenset({".h5", ".hdf5", ".he5", ".nc", ".nc4", ".cdf", ".netcdf", ".vtu", ".pvd"})
"""Files that are looked at in a folder; what they hold is told from their content."""

ZARR_MARKERS = (".zarray", ".zgroup", ".zmetadata", "zarr.json")


def is_zarr(folder: Path) -> bool:
    """Whether `folder` is a Zarr store."""
    return any((folder / marker).is_file() for marker in ZARR_MARKERS)


def simulation_files(root: Path) -> Iterator[Path]:
    """The files and Zarr stores under `root` that may hold simulations, sorted; hidden ones are left out.

    The `.vtu` files beside and below a `.pvd` are its frames, and no simulations of their own.

    Raises:
        BadInput: `root` or a folder below it cannot be listed.
    """
    yield from _below(root, frozenset(), with_vtu=True)


def _below(folder: Path, above: frozenset[Path], with_vtu: bool) -> Iterator[Path]:
    if is_zarr(folder) or folder.suffix.lower() == ".zarr":
        yield folder
        return
    try:
        entries = sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))
        here = folder.resolve(strict=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(folder, "folder", reason.lower(), "a folder that can be read") from error
    if here in above:  # A symbolic link back to where we came from.
        return
    with_vtu = with_vtu and not any(name.lower().endswith(".pvd") for name in entries)
    for path in (folder / name for name in entries):
        if path.is_dir():
            yield from _below(path, above | {here}, with_vtu)
        elif path.suffix.lower() in SUFFIXES and (with_vtu or path.suffix.lower() != ".vtu"):
            yield path


def split_and_dataset(file: Path, root: Path) -> tuple[str, str]:
    """The split that the folders between `root` and `file` name, and the folders above it, which name the data set.

    The folder `data` that The Well puts around its split folders is left out. Folders below a split, or without one,
    may as well be those of single runs: they name nothing. Both may be empty.
    """
    parts = file.parent.relative_to(root).parts
    splits = [SPLIT_FOLDERS.get(part.casefold(), "") for part in parts]
    above = list(parts[: next((at for at, split in enumerate(splits) if split), 0)])
    if above and above[-1].casefold() == "data":
        above.pop()
    return next((split for split in reversed(splits) if split), ""), "/".join(above)
