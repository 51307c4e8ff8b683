"""Which of a spectrum's names a tool's keys mean, decided on whether the rows fit the spectra that they name so."""

import math
from collections import Counter
from dataclasses import dataclass, field

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.row import scan_number
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectrum import Spectrum

Way = tuple[str, str]
"""A key of rows and the name of spectra that it is taken for."""

WAYS: dict[Way, str] = {
    ("title", "title"): "title",
    ("scan", "scan"): "scan number",
    ("index", "index"): "index",
    ("number", "scan"): "a number, which is the scan number",
    ("number", "index"): "a number, which is the index",
    ("number", "place"): "a number, which is the index counted from 1",
    ("index", "scan"): "index, which is the scan number here",
    ("scan", "index"): "scan number, which is the index here",
}
"""All ways to join and what they are called; of two that fit as well, the first is taken.

An index is never taken for one counted from 1: that is what a file looks like whose first spectrum was left out.
"""

MZ_TOLERANCE = 0.01
"""How far the precursor that a row tells may be from that of its spectrum, Th, or 20 ppm where that is more."""
MASS_TOLERANCE = 50.0
"""How far the mass of a peptide may be from that of its spectrum's precursor to count as evidence, ppm."""


def names_of(spectrum: Spectrum) -> dict[str, int | str | None]:
    """The names of a spectrum that keys may mean."""
    return {
        "title": spectrum.title or None,
        "scan": scan_number(spectrum),
        "index": spectrum.index,
        "place": spectrum.index + 1,
    }


def precursor_agrees(spectrum: Spectrum, mz: float, charge: int) -> bool:
    """Whether the precursor that a row tells, as far as it does (NaN m/z, charge 0 for none), is that of `spectrum`."""
    if charge and charge != spectrum.charge:
        return False
    return math.isnan(mz) or abs(mz - spectrum.precursor_mz) <= max(MZ_TOLERANCE, 20e-6 * spectrum.precursor_mz)


def mass_agrees(spectrum: Spectrum, peptide: Peptide, isotopes: int) -> bool:
    """Whether a peptide has the mass of the precursor, well enough to be no coincidence."""
    return abs(spectrum.mass_error_ppm(peptide, isotopes)) <= MASS_TOLERANCE


@dataclass
class Evidence:
    """How many rows of a tool join sampled spectra in each way, how many could be judged, and how many fit.

    `told` says that the rows tell precursor m/z, which decides almost by a single row; else peptide masses do, which
    are right for some tools' rows more often than for others', and by coincidence for one in hundreds.
    """

    joined: Counter[Way] = field(default_factory=Counter)
    judged: Counter[Way] = field(default_factory=Counter)
    fitting: Counter[Way] = field(default_factory=Counter)
    told: bool = False

    def add(self, way: Way, fits: bool | None) -> None:
        """Count a row joined in this way; `fits` is None where the row cannot tell."""
        self.joined[way] += 1
        self.judged[way] += fits is not None
        self.fitting[way] += bool(fits)

    def decide(self, path: str, tool: str, source: str) -> tuple[Way, str]:
        """The way to join and what speaks for it.

        Raises:
            BadInput: no row names a spectrum of `source`, or the rows do not fit the spectra that they name.
        """
        ways = [way for way in WAYS if self.joined[way]]
        if not ways:
            advice = "were they made from another file of spectra?"
            raise BadInput(path, f"spectra of {tool}", f"none of those in {source}", "rows of this file", advice)
        best = max(ways, key=lambda way: self.fitting[way])
        least_rows, least_share = (3, 0.5) if self.told else (10, 0.1)
        if self.judged[best] >= least_rows and self.fitting[best] < least_share * self.judged[best]:
            found = "rows that fit: " + ", ".join(map(self._share, ways))
            expected = f"rows with the {'precursor' if self.told else 'precursor mass'} of the spectra that they name"
            advice = f"make the candidates from {source} itself: rows are never joined by their position"
            raise BadInput(path, f"spectra of {tool}", found, expected, advice)
        rejected = [f", but {self._share(way)}" for way in ways[: ways.index(best)]]
        return best, f"{WAYS[best]}: {self.fitting[best]} of {self.judged[best]} sampled rows fit{''.join(rejected)}"

    def _share(self, way: Way) -> str:
        return f"{self.fitting[way]} of {self.judged[way]} by {WAYS[way]}"
