"""Find simulation files in a folder, and infer split and data set from their parent folders."""

from pathlib import Path

from transect.data_adapters.listing import SPLIT_FOLDERS, split_of, walk

SUFFIXES = frozenset({".h5", ".hdf5", ".he5", ".nc", ".nc4", ".cdf", ".netcdf", ".vtu", ".pvd"})
"""Suffixes of candidate files in a folder; their layout is detected from the content."""

ZARR_MARKERS = (".zarray", ".zgroup", ".zmetadata", "zarr.json")


def is_zarr(folder: Path) -> bool:
    """Whether `folder` is a Zarr store."""
    return any((folder / marker).is_file() for marker in ZARR_MARKERS)


def simulation_files(root: Path) -> list[Path]:
    """The files and Zarr stores under `root` that may hold simulations, sorted, without hidden ones.

    The `.vtu` files in the folder of a `.pvd` and below are its frames, not separate simulations.

    Raises:
        BadInput: `root` or a folder below it cannot be listed.
    """
    paths: list[Path] = []
    collections: set[Path] = set()
    for folder, subfolders, files in walk(root):
        if any(path.suffix.lower() == ".pvd" for path in files):
            collections.add(folder)
        stores = {path for path in subfolders if path.suffix.lower() == ".zarr" or is_zarr(path)}
        subfolders[:] = [path for path in subfolders if path not in stores]
        frames = {".vtu"} if not collections.isdisjoint((folder, *folder.parents)) else set()
        paths += [*stores, *(path for path in files if path.suffix.lower() in SUFFIXES - frames)]
    return sorted(paths)


def split_and_dataset(file: Path, root: Path) -> tuple[str, str]:
    """Infer split and data set of a file from its parent folders below `root`.

    The folder `data` that The Well puts around its split folders is skipped. Folders below a split folder, or without
    one, may belong to single runs and are ignored.

    Returns:
        The split, and the folders above the split folder, which name the data set; either may be empty.
    """
    parts = file.parent.relative_to(root).parts
    above = list(parts[: next((index for index, name in enumerate(parts) if name.casefold() in SPLIT_FOLDERS), 0)])
    if above and above[-1].casefold() == "data":
        above.pop()
    return split_of(file.parent, root), "/".join(above)
