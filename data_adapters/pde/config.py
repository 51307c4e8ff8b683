"""Settings of simulation files; imports neither numpy nor torch, so that `--help` stays fast."""

from dataclasses import dataclass, field
from typing import Literal

from transect.data_adapters.settings import require, require_at_most

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
        name: Name of the quantity, such as velocity.
        components: Names of its components in the file, such as (Vx, Vy); for a scalar just its name.
        units: Its units as written in the file; empty if unknown.
        long_name: Descriptive name; may be empty.
    """

    name: str
    components: tuple[str, ...]
    units: str = ""
    long_name: str = ""


@dataclass(frozen=True)
class ReadConfig:
    """How simulations are read; defaults are taken from the files.

    Args:
        layout: The files' layout; "auto" detects it from their content.
        variables: Variables to read, in this order; by default all that change in time.
        vectors: Variables that are the components of one vector, such as {wind: [UWND, VWND]}.
        time: Name of the time dimension of NetCDF and Zarr files.
        member: Name of the ensemble dimension of NetCDF and Zarr files, whose members are separate trajectories.
        axes: Names of the spatial dimensions of NetCDF and Zarr files, in order.
        boundary: Boundary conditions by axis, such as {x: periodic}, instead of those of the files.
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
    """Synthetic simulations; the first three equations have exact solutions and need no further package.

    Args:
        equation: "advection_diffusion" (periodic), "diffusion_2d" (walls) and "mesh_diffusion" (the same on random
            meshes) are exact; "burgers", "kdv" and "kuramoto_sivashinsky" (periodic) are APEBench's; "mixed_diffusion"
            has a Dirichlet condition at one end and a Robin condition at the other. The last four need the extra
            pde-generate.
        points: Points along each axis, or in total for a mesh.
        frames: Frames of each trajectory.
    """

    equation: Equation = "advection_diffusion"
    points: int = 64
    frames: int = 41

    def __post_init__(self) -> None:
        require(self.points >= 16, "points", self.points, "16 or more")
        require_at_most(self, points=1 << 20, frames=1 << 20)
        require(self.frames >= 2, "frames", self.frames, "2 or more")
