"""The adapter of peptide runs: reads spectra and candidates, writes mzTab and CSV."""

from pathlib import Path

from transect.data_adapters.peptide.config import PhantomConfig, ReadConfig
from transect.data_adapters.peptide.layouts import find_runs
from transect.data_adapters.peptide.ranking import Ranking
from transect.data_adapters.peptide.spectrum import Run, RunCase


class PeptideAdapter:
    """Reads runs of spectra with the candidates of de novo tools, with the settings of `config`; writes rankings."""

    columns: tuple[str, ...] = ("spectra", "candidates")

    def __init__(self, config: ReadConfig, phantom: PhantomConfig) -> None:
        self.config, self.phantom_config = config, phantom

    def cases(self, *inputs: str) -> list[RunCase]:
        """The runs of a folder, a table, or files in any order; see `find_runs`."""
        return find_runs(*inputs)

    def read(self, case: RunCase) -> Run:
        """The run of a case; spectra and candidates are read lazily."""
        from transect.data_adapters.peptide.run import open_run

        return open_run(case, self.config)

    def write(self, case: RunCase, prediction: Ranking, folder: Path, source: str) -> dict[str, float | str]:
        """Write the ranking as mzTab, a table of top-ranked candidates, and a table of omitted inputs."""
        from transect.data_adapters.peptide.results.write import write_ranking

        return write_ranking(prediction, folder, source)

    def check(self, case: RunCase, sample: Run, folder: Path | None) -> dict[str, float | str]:
        """Facts about the run, and `omitted.csv`; see `facts_of`."""
        from transect.data_adapters.peptide.facts import facts_of

        return facts_of(sample, folder)

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write `count` small runs with known peptides and the candidate files of several tools."""
        from transect.data_adapters.peptide.phantom import write_phantom

        write_phantom(root, count, seed, self.phantom_config)
