"""Candidates for a spectrum when no other tool is at hand."""

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
"""Paths that are scored anew as peptides, at least."""
ISOTOPE = float(np.log(0.05))
"""Logarithm of the share of precursors taken to be picked one carbon 13 too heavy; not measured."""


def propose(
    spectrum: Spectrum,
    count: int = 10,
    tolerance_ppm: float = 20.0,
    precursor_tolerance_ppm: float = 20.0,
    isotopes: int = 1,
) -> list[tuple[Peptide, float]]:
    """The `count` best distinct peptides for `spectrum`, best first, each with its score.

    The score is a log likelihood ratio: of the peaks if the peptide were there over those of noise, times how probable
    its residues are. The best paths through the graph of each isotope are scored anew as peptides, with every fragment
    where the peptide's mass puts it and no peak explained twice. Cysteine is carbamidomethylated; methionine may be
    oxidised and the N-terminus modified, as `STARTS` has it. L stands for I, D and E for deamidated N and Q too.
    Peptides that end with K or R are preferred as far as they are more frequent. Nothing is random.

    Args:
        spectrum: its peaks in any order and unit; none are proposed where it cannot be used.
        count: of peptides at most.
        tolerance_ppm: how far a peak may be from its fragment.
        precursor_tolerance_ppm: how far a peptide may be from the precursor.
        isotopes: atoms of carbon 13 that the precursor may have had when it was picked.
    """
    peaks = strongest_peaks(spectrum, tolerance_ppm)
    if count < 1 or not len(peaks.mz):
        return []
    found: list[tuple[float, NDArray[np.int64]]] = []
    for isotope in range(isotopes + 1):
        graph = build_graph(spectrum, peaks, tolerance_ppm, precursor_tolerance_ppm, isotope)
        rows, _ = best_paths(graph, max(PATHS, count))
        mass = spectrum.precursor_mass - isotope * CARBON_13
        scores = peptide_scores(rows, mass, peaks, tolerance_ppm, precursor_tolerance_ppm, tables(spectrum.charge))
        found += [(float(score) + isotope * ISOTOPE, row) for score, row in zip(scores, rows, strict=True)]
    proposals: dict[str, tuple[Peptide, float]] = {}
    for score, row in sorted(found, key=lambda one: (-one[0], one[1].tobytes())):
        peptide = peptide_of(row)
        if abs(spectrum.mass_error_ppm(peptide, isotopes)) <= precursor_tolerance_ppm:
            proposals.setdefault(peptide.proforma, (peptide, score))
        if len(proposals) == count:
            break
    return list(proposals.values())
