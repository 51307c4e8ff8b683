"""Estimate the likelihood tables of the spectrum graph.

`python -m transect.apps.peptide.graph.count ANNOTATED [--without OTHER]` prints `tables.json`. The one in this folder
was estimated from 4000 simulated spectra of mouse peptides, without the peptides of the 128 real spectra that the graph
is tested on.
"""

import argparse
import json

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.graph.likelihood import (
    MINOR,
    PARENTS,
    REGIONS,
    SCORED_IONS,
    STRENGTHS,
    cleavage_peaks,
    immonium_seen,
    levels_of,
    region_of,
    strength_of,
)
from transect.apps.peptide.graph.peaks import LEVELS, Peaks, strongest_peaks
from transect.apps.peptide.graph.residues import ELEMENT_MASS, ELEMENTS, RESIDUES, codes_of
from transect.data_adapters.peptide.spectra.read import read_spectra
from transect.data_adapters.peptide.spectrum import Spectrum

TOLERANCE_PPM = 20.0
WRONG = 10
"""Number of random peptides per true one from which noise is counted."""
FEW = 0.5
"""Pseudocount."""
FOREIGN = 0.01
"""Fraction of immonium ions assumed to come from co-isolated peptides, which simulations lack."""
ENOUGH = 5.0
"""Pseudocount of residues next to cleavages, added to observed and expected counts."""


class Counts:
    """Counts of ions at each intensity level, for noise (index 0) and cleavages (1), and of elements in peptides."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.major = np.full((2, MINOR, REGIONS, LEVELS), FEW)
        # The second axis is whether the precursor charge is above 2.
        self.minor = np.full((2, 2, len(SCORED_IONS) - MINOR, STRENGTHS, 2), FEW)
        self.immonium = np.full((2, len(RESIDUES), 2), FEW)
        # Cleavages by the residue before or after them, the strength of the stronger ion, and the region.
        self.adjacent = np.zeros((2, len(ELEMENTS), STRENGTHS, REGIONS))
        self.inner, self.last = np.full(len(ELEMENTS), FEW), np.full(len(ELEMENTS), FEW)

    def add(self, spectrum: Spectrum, codes: list[int]) -> None:
        """Add the counts of a spectrum of the peptide with these `codes`."""
        peaks = strongest_peaks(spectrum, TOLERANCE_PPM)
        prefix = np.cumsum(ELEMENT_MASS[codes])
        total, high_charge = prefix[-1], int(spectrum.charge > 2)
        matched = self._add_cleavages(1, high_charge, prefix[:-1], total, peaks)
        for i, (mass, levels) in enumerate(zip(prefix[:-1], levels_of(matched, peaks), strict=True)):
            strength, region = strength_of(max(levels[:MINOR])), region_of(mass, total)
            for side in range(2):
                self.adjacent[side, codes[i + side], strength, region] += 1
        used = matched[matched >= 0]
        unmatched = Peaks(np.delete(peaks.mz, used), np.delete(peaks.level, used))
        for _ in range(WRONG):
            random_prefix = np.cumsum(self.rng.choice(ELEMENT_MASS[: len(RESIDUES)], len(prefix)))
            random_prefix = random_prefix[random_prefix < total - ELEMENT_MASS.min()]
            self._add_cleavages(0, high_charge, random_prefix, total, unmatched)
        for residue, observed in enumerate(immonium_seen(peaks, TOLERANCE_PPM)):
            self.immonium[int(residue in codes), residue, int(observed)] += 1
        np.add.at(self.inner, codes[:-1], 1)
        self.last[codes[-1]] += 1

    def _add_cleavages(
        self, true: int, high_charge: int, masses: NDArray[np.float64], total: float, peaks: Peaks
    ) -> NDArray[np.int64]:
        matched = cleavage_peaks(masses, total, peaks, TOLERANCE_PPM)
        for mass, levels in zip(masses, levels_of(matched, peaks), strict=True):
            for ion, level in enumerate(levels):
                if ion < MINOR:
                    self.major[true, ion, region_of(mass, total), level] += 1
                else:
                    self.minor[true, high_charge, ion - MINOR, strength_of(levels[PARENTS[ion]]), min(level, 1)] += 1
        return matched

    def tables(self) -> dict[str, list[float]]:
        """Log likelihood ratios and log probabilities from the counts."""
        minor, immonium, cleaved = (_shares(counts, -1) for counts in (self.minor, self.immonium, self.major[1]))
        # Noise is rare and independent of the region, except for the lightest ions.
        lightest = np.zeros((MINOR, REGIONS, 1), np.bool_)
        lightest[0, 0], lightest[1, -1] = True, True
        heavier = np.where(lightest, 0, self.major[0]).sum(1, keepdims=True)
        noisy = _shares(np.where(lightest, self.major[0], heavier), -1)
        immonium = (1 - FOREIGN) * immonium + FOREIGN / 2
        # Noise is independent of the parent ion and the charge.
        noise = _shares(self.minor[0].sum((0, 2)), -1)[:, None]
        average = _shares(self.adjacent.sum(1, keepdims=True), 2)
        expected = (average * self.adjacent.sum(2, keepdims=True)).sum(-1)
        adjacent = (self.adjacent.sum(-1) + ENOUGH) / (expected + ENOUGH)
        ratios = {
            "b": cleaved[0] / noisy[0],
            "y": cleaved[1] / noisy[1],
            "minor": minor[1, 0] / noise,
            "minor_of_many_charges": minor[1, 1] / noise,
            "immonium": immonium[1] / immonium[0],
            "left": adjacent[0],
            "right": adjacent[1],
            "inner": _shares(self.inner, 0),
            "last": _shares(self.last, 0),
        }
        return {name: np.log(ratio).round(3).tolist() for name, ratio in ratios.items()}


def _shares(counts: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return counts / counts.sum(axis, keepdims=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spectra", help="a file of annotated spectra")
    parser.add_argument("--without", help="a file of annotated spectra whose peptides are left out")
    arguments = parser.parse_args()
    others = read_spectra(arguments.without) if arguments.without else ()
    without = {spectrum.label.sequence.replace("I", "L") for spectrum in others if spectrum.label}
    counts = Counts()
    for spectrum in read_spectra(arguments.spectra):
        if spectrum.label and spectrum.label.sequence.replace("I", "L") not in without:
            codes = codes_of(spectrum.label)
            if codes:
                counts.add(spectrum, codes)
    print(json.dumps(counts.tables()))


if __name__ == "__main__":
    main()
