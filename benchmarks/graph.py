"""How often spectra are sequenced right without any other tool: `python -m benchmarks.graph MGF`.

Of the annotated spectra of a file: the shares whose peptide is the first proposal and among the first ten (I = L, all
modifications right), with their standard errors; the true prefix masses that are nodes of the graph; the mean share
of a peptide's cleavages that the best of ten proposals has right; and CPU milliseconds a spectrum, proposals of one
thread, after a first one that compiles. Deamidated N and Q, which weigh what D and E do, count as wrong.
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
"""How far a node or a cleavage may be from a true one to be it, Da."""


def main() -> None:
    """Propose for every annotated spectrum and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spectra", help="a file of annotated spectra")
    parser.add_argument("--first", type=int, default=10_000, help="annotated spectra to take at most")
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
    """Of the label's cleavages, the share near a node that a peak speaks for."""
    peaks = strongest_peaks(spectrum, TOLERANCE_PPM)
    graph = build_graph(spectrum, peaks, TOLERANCE_PPM, TOLERANCE_PPM, 0)
    return share_near(cleavages(label), graph.mass[(graph.levels > 0).any(1)])


def share_right(peptide: Peptide, label: Peptide) -> float:
    """Of the label's cleavages, the share that the peptide has too."""
    return share_near(cleavages(label), cleavages(peptide))


def share_near(wanted: NDArray[np.float64], there: NDArray[np.float64]) -> float:
    """The share of `wanted` within `NEAR` of one of `there`."""
    if not len(wanted) or not len(there):
        return 0.0
    return float((np.abs(wanted[:, None] - there).min(1) <= NEAR).mean())


if __name__ == "__main__":
    main()
