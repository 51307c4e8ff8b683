"""De novo candidates for a spectrum without any other tool."""

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.graph.build import build_graph
from transect.apps.peptide.graph.decode import best_paths
from transect.apps.peptide.graph.likelihood import peptide_scores, tables
from transect.apps.peptide.graph.peaks import strongest_peaks
from transect.apps.peptide.graph.residues import peptide_of
from transect.data_adapters.peptide.peptide import CARBON_13, Peptide
from transect.data_adapters.peptide.spectrum import Spectrum

PATHS = 200
"""Smallest number of paths that are rescored as peptides."""
ISOTOPE = float(np.log(0.05))
"""Log prior of a precursor picked one carbon 13 too heavy; an assumption, not measured."""


def propose(
    spectrum: Spectrum,
    count: int = 10,
    tolerance_ppm: float = 20.0,
    precursor_tolerance_ppm: float = 20.0,
    isotopes: int = 1,
) -> list[tuple[Peptide, float]]:
    """The `count` best distinct peptides for `spectrum`, best first, each with its score.

    The score is the log likelihood ratio of the peaks, peptide over noise, plus the log prior of the residues. The best
    paths through the graph of each isotope are rescored as peptides, with fragments computed from the peptide's mass
    and each peak used once. Cysteine is carbamidomethylated; methionine may be oxidised and the N-terminus modified by
    one of `STARTS`. L stands for I, D and E also for deamidated N and Q. C-terminal K and R are favoured by their
    frequency. Deterministic.

    Args:
        spectrum: peaks in any order and intensity unit; spectra that cannot be used give no candidates.
        count: largest number of peptides.
        tolerance_ppm: tolerance of fragments.
        precursor_tolerance_ppm: tolerance of the precursor.
        isotopes: largest number of carbon-13 atoms in the selected precursor peak.
    """
    peaks = strongest_peaks(spectrum, tolerance_ppm)
    if count < 1 or not len(peaks.mz):
        return []
    scored: list[tuple[float, NDArray[np.int64]]] = []
    for isotope in range(isotopes + 1):
        graph = build_graph(spectrum, peaks, tolerance_ppm, precursor_tolerance_ppm, isotope)
        rows, _ = best_paths(graph, max(PATHS, count))
        mass = spectrum.precursor_mass - isotope * CARBON_13
        scores = peptide_scores(rows, mass, peaks, tolerance_ppm, precursor_tolerance_ppm, tables(spectrum.charge))
        scored += [(float(score) + isotope * ISOTOPE, row) for score, row in zip(scores, rows, strict=True)]
    proposals: dict[str, tuple[Peptide, float]] = {}
    for score, row in sorted(scored, key=lambda entry: (-entry[0], entry[1].tobytes())):
        peptide = peptide_of(row)
        if abs(spectrum.mass_error_ppm(peptide, isotopes)) <= precursor_tolerance_ppm:
            proposals.setdefault(peptide.proforma, (peptide, score))
        if len(proposals) == count:
            break
    return list(proposals.values())
