"""The adapter of simulations: every layout in; NetCDF, Zarr and VTU out."""

from pathlib import Path

from transect.data_adapters.pde.config import PhantomConfig, ReadConfig
from transect.data_adapters.pde.layouts import find_trajectories, open_simulation
from transect.data_adapters.pde.simulation import Rollout, Simulation, Trajectory


class PDEAdapter:
    """Reads trajectories as simulations and writes rollouts; files are read as `config` says."""

    columns: tuple[str, ...] = ("simulation",)

    def __init__(self, config: ReadConfig, phantom: PhantomConfig) -> None:
        self.config, self.phantom_config = config, phantom

    def cases(self, *inputs: str) -> list[Trajectory]:
        """The trajectories that a folder, or one or several files hold."""
        return find_trajectories(*inputs, config=self.config)

    def read(self, case: Trajectory) -> Simulation:
        """The simulation, its values read when they are asked for."""
        return open_simulation(case, self.config)

    def write(self, case: Trajectory, prediction: Rollout, folder: Path, source: str) -> dict[str, float | str]:
        """Write the rollout as NetCDF or Zarr, or as VTU if it lives on a mesh."""
        if prediction.simulation.mesh is not None:
            from transect.data_adapters.pde.mesh_files import write_mesh_rollout

            return write_mesh_rollout(prediction, folder, source)
        from transect.data_adapters.pde.write import write_rollout

        return write_rollout(prediction, folder, source)

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write `count` small simulations, of known answers where there are any, in a layout of PDEBench or as VTU."""
        from transect.data_adapters.pde.phantom import write_phantom

        write_phantom(root, count, seed, self.phantom_config)
