"""Which files of a folder hold simulations, and what the folders that they lie in say of them."""

from pathlib import Path

from transect.data_adapters.listing import SPLIT_FOLDERS, split_of, walk

SUFFIXES = frozenset({".h5", ".hdf5", ".he5", ".nc", ".nc4", ".cdf", ".netcdf", ".vtu", ".pvd"})
"""Files that are looked at in a folder; what they hold is told from their content."""

ZARR_MARKERS = (".zarray", ".zgroup", ".zmetadata", "zarr.json")


def is_zarr(folder: Path) -> bool:
    """Whether `folder` is a Zarr store."""
    return any((folder / marker).is_file() for marker in ZARR_MARKERS)


def simulation_files(root: Path) -> list[Path]:
    """The files and Zarr stores under `root` that may hold simulations, sorted; hidden ones are left out.

    The `.vtu` files beside and below a `.pvd` are its frames, and no simulations of their own.

    Raises:
        BadInput: `root` or a folder below it cannot be listed.
    """
    found: list[Path] = []
    collections: set[Path] = set()
    for folder, below, files in walk(root):
        if any(path.suffix.lower() == ".pvd" for path in files):
            collections.add(folder)
        stores = {path for path in below if path.suffix.lower() == ".zarr" or is_zarr(path)}
        below[:] = [path for path in below if path not in stores]
        frames = {".vtu"} if not collections.isdisjoint((folder, *folder.parents)) else set()
        found += [*stores, *(path for path in files if path.suffix.lower() in SUFFIXES - frames)]
    return sorted(found)


def split_and_dataset(file: Path, root: Path) -> tuple[str, str]:
    """The split that the folders between `root` and `file` name, and the folders above it, which name the data set.

    The folder `data` that The Well puts around its split folders is left out. Folders below a split, or without one,
    may as well be those of single runs: they name nothing. Both may be empty.
    """
    parts = file.parent.relative_to(root).parts
    above = list(parts[: next((at for at, name in enumerate(parts) if name.casefold() in SPLIT_FOLDERS), 0)])
    if above and above[-1].casefold() == "data":
        above.pop()
    return split_of(file.parent, root), "/".join(above)
