"""What is said about a simulation's files, free of numpy and torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Literal

from transect.data_adapters.settings import require

FileLayout = Literal["auto", "pdebench", "well", "xarray", "mesh"]
Boundary = Literal["periodic", "wall", "open"]
Format = Literal["netcdf", "zarr"]
Equation = Literal[
    "advection_diffusion",
    "diffusion_2d",
    "mesh_diffusion",
    "burgers",
    "kdv",
    "kuramoto_sivashinsky",
    "mixed_diffusion",
]


@dataclass(frozen=True)
class Field:
    """One physical quantity of a simulation: a scalar, or a vector or tensor of several components.

    Args:
        name: What the quantity is called, such as velocity.
        components: Names of its components as the file has them, such as (Vx, Vy); of a scalar its own name alone.
        units: Its units as the file writes them; empty where they are not known.
        long_name: What it is called for people; may be empty.
    """

    name: str
    components: tuple[str, ...]
    units: str = ""
    long_name: str = ""


@dataclass(frozen=True)
class ReadConfig:
    """How simulations are read; whatever is not said is taken from the files.

    Args:
        layout: The files' layout; "auto" tells it from their content.
        variables: Variables to read, in this order; all that change in time by default.
        vectors: Variables that are the components of one vector, such as {wind: [UWND, VWND]}.
        time: Name of the time dimension of NetCDF and Zarr files.
        member: Name of the dimension of NetCDF and Zarr files that counts trajectories.
        axes: Names of the spatial dimensions of NetCDF and Zarr files, in order.
        boundary: Boundary conditions by axis, such as {x: periodic}, in place of those that the files tell.
    """

    layout: FileLayout = "auto"
    variables: tuple[str, ...] = ()
    vectors: dict[str, list[str]] = field(default_factory=dict)
    time: str = ""
    member: str = ""
    axes: tuple[str, ...] = ()
    boundary: dict[str, Boundary] = field(default_factory=dict)


@dataclass(frozen=True)
class PhantomConfig:
    """Synthetic simulations; those of the first three equations are exact and need no further package.

    Args:
        equation: "advection_diffusion" (periodic), "diffusion_2d" (between walls) and "mesh_diffusion" (the same on
            random meshes) are exact; "burgers", "kdv" and "kuramoto_sivashinsky" (periodic) are APEBench's;
            "mixed_diffusion" has a value held at one end and a loss at the other. The last four need the extra
            pde-generate.
        points: Points along each axis, or of a mesh in all.
        frames: Frames of each trajectory.
    """

    equation: Equation = "advection_diffusion"
    points: int = 64
    frames: int = 41

    def __post_init__(self) -> None:
        require(self.points >= 16, "points", self.points, "16 or more")
        require(self.frames >= 2, "frames", self.frames, "2 or more")
