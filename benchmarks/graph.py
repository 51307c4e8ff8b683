"""Accuracy of de novo sequencing by the spectrum graph: `python -m benchmarks.graph MGF`.

On the annotated spectra of a file: top-1 and top-10 peptide recall (I = L, all modifications correct) with standard
errors, top-1 also on every second spectrum; the share of true prefix masses that are nodes of the graph; the mean share
of a peptide's cleavages that the best of ten proposals has correct; and CPU milliseconds per spectrum in one thread,
after a warm-up that compiles. Deamidated N and Q, which have the mass of D and E, count as wrong.
"""

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.graph.build import build_graph
from transect.apps.peptide.graph.peaks import strongest_peaks
from transect.apps.peptide.graph.propose import propose
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectra.read import read_spectra
from transect.data_adapters.peptide.spectrum import Spectrum

COUNT, TOLERANCE_PPM = 10, 20.0
NEAR = 0.02
"""Tolerance for matching a node or a cleavage to a true one, Da."""


def main() -> None:
    """Propose peptides for every annotated spectrum and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spectra", help="file of annotated spectra")
    parser.add_argument("--first", type=int, default=10_000, help="maximum number of annotated spectra to use")
    arguments = parser.parse_args()
    spectra = [spectrum for spectrum in read_spectra(arguments.spectra) if spectrum.label and not spectrum.problem]
    spectra = spectra[: arguments.first]
    for spectrum in spectra[:1]:
        propose(spectrum, COUNT)
    ranks, seconds, nodes, best = [], [], [], []
    for spectrum in spectra:
        assert spectrum.label is not None
        start = time.process_time()
        proposals = [peptide for peptide, _ in propose(spectrum, COUNT)]
        seconds.append(time.process_time() - start)
        merged = [peptide.merged for peptide in proposals]
        ranks.append(merged.index(spectrum.label.merged) if spectrum.label.merged in merged else COUNT)
        nodes.append(share_of_nodes(spectrum, spectrum.label))
        best.append(max((share_right(peptide, spectrum.label) for peptide in proposals), default=0.0))
    print(f"{len(spectra)} annotated spectra")
    show("first proposal right", np.array(ranks) < 1)
    show("of spectra 1, 3, 5, ...", np.array(ranks[1::2]) < 1)
    show(f"among the first {COUNT} (oracle)", np.array(ranks) < COUNT)
    show(f"cleavages right, best of {COUNT}", np.array(best))
    show("true prefix masses that are nodes", np.array(nodes))
    milliseconds = np.array(seconds) * 1e3
    print(f"{'CPU ms a spectrum':36} mean {milliseconds.mean():.2f}, 95 % below {np.percentile(milliseconds, 95):.2f}")


def show(name: str, values: NDArray) -> None:
    """Print the mean of `values` and its standard error."""
    print(f"{name:36} {values.mean():.3f} ± {values.std() / np.sqrt(len(values)):.3f}")


def cleavages(peptide: Peptide) -> NDArray[np.float64]:
    """Prefix masses between residues, Da."""
    masses = peptide.prefix_masses()[:-1]
    return masses[1:] if peptide.residues[0].endswith("-") else masses


def share_of_nodes(spectrum: Spectrum, label: Peptide) -> float:
    """Share of the label's cleavages near a node that is supported by a peak."""
    peaks = strongest_peaks(spectrum, TOLERANCE_PPM)
    graph = build_graph(spectrum, peaks, TOLERANCE_PPM, TOLERANCE_PPM, 0)
    return share_near(cleavages(label), graph.mass[(graph.levels > 0).any(1)])


def share_right(peptide: Peptide, label: Peptide) -> float:
    """Share of the label's cleavages that the peptide has as well."""
    return share_near(cleavages(label), cleavages(peptide))


def share_near(masses: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Share of `masses` within `NEAR` of one of `others`."""
    if not len(masses) or not len(others):
        return 0.0
    return float((np.abs(masses[:, None] - others).min(1) <= NEAR).mean())


if __name__ == "__main__":
    main()
