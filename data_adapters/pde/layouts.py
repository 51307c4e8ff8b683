"""Detect the layout of simulation files from their content, list their trajectories, and open them as simulations.

A layout is a module with two functions: `members(path, config)` lists the trajectories of a file without reading their
values, and `open_member(path, member, config)` opens one of them as a `Simulation`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import h5py

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.listing import identifiers, with_folders
from transect.data_adapters.pde import pdebench, well
from transect.data_adapters.pde.checks import validated
from transect.data_adapters.pde.config import ReadConfig
from transect.data_adapters.pde.folders import is_zarr, simulation_files, split_and_dataset
from transect.data_adapters.pde.hdf5 import attributes, item, names, opened
from transect.data_adapters.pde.simulation import Member, Simulation, Trajectory

MODULES = {"pdebench": "pdebench", "well": "well", "xarray": "xarray_files", "mesh": "mesh_files"}
"""The module of this package that reads each layout, imported on demand."""

KNOWN = (
    "HDF5 of PDEBench (tensor; density, pressure, Vx; velocity and particles; or groups 0000/data) or The Well "
    "(dimensions, t0_fields), NetCDF, Zarr, VTU or PVD"
)

INSPECTED = 64
"""Number of objects in an HDF5 file that are inspected to detect NetCDF."""


def find_trajectories(*inputs: str, config: ReadConfig) -> list[Trajectory]:
    """List the trajectories of a data set.

    Folders named train, valid or test give the split, the folders above them the data set. If `train` is the only split
    folder, the layout's own rule applies, if it has one: PDEBench keeps its test trajectories in the files below
    `Train`. A file that cannot be opened, or a missing one among several inputs, is listed as one trajectory without a
    layout, so that it fails by itself when read.

    Args:
        inputs: One folder, searched recursively, or one or several files.
        config: How the files are read.

    Raises:
        BadInput: the input does not exist, or has no candidate files.
    """
    if not inputs:
        raise BadInput("inputs", "number", 0, "one folder, or files of simulations")
    paths = [Path(text) for text in inputs]
    if len(paths) == 1 and not paths[0].exists():
        raise BadInput(paths[0], "input", "nothing there", "a folder or a file of simulations")
    if len(paths) == 1 and paths[0].is_dir() and not is_zarr(paths[0]):
        files = [_File.open(path, paths[0], config) for path in simulation_files(paths[0])]
    else:
        root = Path(os.path.commonpath([path.parent.absolute() for path in paths]))
        files = [_File.open(path, root, config) for path in paths]
    if not files:
        raise BadInput(paths[0], "simulations", "no file that may hold any", KNOWN)
    return _named(files)


def open_simulation(case: Trajectory, config: ReadConfig) -> Simulation:
    """Open the simulation of `case` without reading its values.

    Raises:
        BadInput: its file is damaged, of unknown layout, or not a valid simulation.
    """
    path = Path(case.files[0])
    if not case.layout:
        # Listing it failed; repeating that raises the same error.
        _members(path, layout_of(path, config), config)
        raise BadInput(path, "file", "another one than when it was listed", "an unchanged file", "start again")
    return validated(_module(case.layout).open_member(path, case.member, config), config)


def layout_of(path: Path, config: ReadConfig) -> str:
    """Detect the layout of the file or Zarr store at `path` from its content: a key of `MODULES`.

    Raises:
        BadInput: it cannot be opened or its layout is unknown; the message summarizes its content.
    """
    if config.layout != "auto":
        return config.layout
    if path.is_dir():
        if is_zarr(path):
            return "xarray"
        raise BadInput(path, "layout", "a folder that is no Zarr store", KNOWN)
    beginning = _beginning(path)
    if beginning[:4] in (b"CDF\x01", b"CDF\x02", b"CDF\x05"):
        return "xarray"
    if h5py.is_hdf5(path):
        with opened(path) as file:
            return _layout_of_hdf5(file, path)
    if b"<VTKFile" in beginning:
        return "mesh"
    raise BadInput(path, "layout", f"a file that begins with {beginning[:8]!r}", KNOWN)


def _layout_of_hdf5(file: h5py.File, path: Path) -> str:
    if _is_netcdf(file):
        return "xarray"
    for layout, module in (("well", well), ("pdebench", pdebench)):
        if module.recognises(file):
            return layout
    there = names(file)
    found = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "")
    raise BadInput(path, "layout", f"HDF5 with {found or 'nothing in it'}", KNOWN)


def _is_netcdf(file: h5py.File) -> bool:
    """Whether a NetCDF library wrote the file: it has `_NCProperties`, or dimension scales."""
    if "_NCProperties" in file.attrs:
        return True
    return any(attributes(item(file, name)).get("CLASS") == "DIMENSION_SCALE" for name in names(file)[:INSPECTED])


def _beginning(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise FileNotFoundError(2, "No such file")
        with path.open("rb") as file:
            return file.read(1024)
    except OSError as error:
        raise BadInput(path, "file", reason(error).lower(), "a file that can be read") from error


def _module(layout: str) -> ModuleType:
    return import_module(f"transect.data_adapters.pde.{MODULES[layout]}")


def _members(path: Path, layout: str, config: ReadConfig) -> list[Member]:
    members: list[Member] = _module(layout).members(path, config)
    if not members:
        raise BadInput(path, "trajectories", "none", "at least one")
    return members


@dataclass(frozen=True)
class _File:
    """A listed file; `layout` is empty if it could not be opened."""

    path: Path
    folder: str
    split: str
    dataset: str
    layout: str
    members: Sequence[Member]

    @classmethod
    def open(cls, path: Path, root: Path, config: ReadConfig) -> "_File":
        below_root = path if path.is_relative_to(root) else path.absolute()
        folder = below_root.parent.relative_to(root).as_posix()
        split, dataset = split_and_dataset(below_root, root)
        try:
            layout = layout_of(path, config)
            return cls(path, folder, split, dataset, layout, _members(path, layout, config))
        except BadInput:
            return cls(path, folder, split, dataset, "", [Member("")])


def _named(files: Sequence[_File]) -> list[Trajectory]:
    """The trajectories of `files`, each with a unique identifier and its split."""
    file_names = with_folders([file.path.stem for file in files], [file.folder for file in files])
    split_datasets = {file.dataset for file in files if file.split not in ("", "train")}
    cases = []
    for file, file_name in zip(files, file_names, strict=True):
        only_train = file.split == "train" and file.dataset not in split_datasets
        for member in file.members:
            name = f"{file_name}-{member.name}" if len(file.members) > 1 else file_name
            split = (member.split or file.split) if only_train else (file.split or member.split)
            cases.append(Trajectory(name, "", (str(file.path),), split, file.layout, member.name, file.dataset))
    ids = identifiers([case.id for case in cases], ["\0".join((*case.files, case.member)) for case in cases])
    return [replace(case, id=new, group=new) for case, new in zip(cases, ids, strict=True)]
