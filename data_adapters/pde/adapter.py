"""The adapter of simulations: reads all supported formats, writes NetCDF, Zarr and VTU."""

from pathlib import Path

from transect.data_adapters.pde.config import PhantomConfig, ReadConfig
from transect.data_adapters.pde.layouts import find_trajectories, open_simulation
from transect.data_adapters.pde.simulation import Rollout, Simulation, Trajectory


class PDEAdapter:
    """Reads trajectories as simulations, with the settings of `config`, and writes rollouts."""

    columns: tuple[str, ...] = ("simulation",)
    unit = "simulations"

    def __init__(self, config: ReadConfig, phantom: PhantomConfig) -> None:
        self.config, self.phantom_config = config, phantom

    def cases(self, *inputs: str) -> list[Trajectory]:
        """The trajectories of a folder, or of one or several files; see `find_trajectories`."""
        return find_trajectories(*inputs, config=self.config)

    def read(self, case: Trajectory) -> Simulation:
        """The simulation of a trajectory; values are read lazily."""
        return open_simulation(case, self.config)

    def write(self, case: Trajectory, prediction: Rollout, folder: Path, source: str) -> dict[str, float | str]:
        """Write the rollout as NetCDF or Zarr, or as VTU for a mesh."""
        if prediction.simulation.mesh is not None:
            from transect.data_adapters.pde.mesh_files import write_mesh_rollout

            return write_mesh_rollout(prediction, folder, source)
        from transect.data_adapters.pde.write import write_rollout

        return write_rollout(prediction, folder, source)

    def check(self, case: Trajectory, sample: Simulation, folder: Path | None) -> dict[str, float | str]:
        """Facts about the simulation; see `facts_of`. Writes no files."""
        from transect.data_adapters.pde.facts import facts_of

        return facts_of(sample)

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write `count` small simulations in PDEBench's layout or as VTU, with exact solutions where they exist."""
        from transect.data_adapters.pde.phantom import write_phantom

        write_phantom(root, count, seed, self.phantom_config)
