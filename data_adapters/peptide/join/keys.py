"""Decide what the keys of a tool's rows refer to, by testing which interpretation joins rows with matching spectra."""

import math
from collections import Counter
from dataclasses import dataclass, field

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.row import scan_number
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectrum import Spectrum

Way = tuple[str, str]
"""A key of the rows, and the property of spectra that it is matched with."""

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
"""All interpretations with their descriptions; on a tie the first is used.

An index is never interpreted as counted from 1: that is indistinguishable from a file without its first spectrum.
"""

MZ_TOLERANCE = 0.01
"""Maximum difference of the precursor m/z in a row and in its spectrum, Th; 20 ppm if that is more."""
MASS_TOLERANCE = 50.0
"""Maximum relative difference of peptide and precursor mass to count as evidence, ppm."""


def names_of(spectrum: Spectrum) -> dict[str, int | str | None]:
    """The properties of a spectrum that keys may refer to."""
    return {
        "title": spectrum.title or None,
        "scan": scan_number(spectrum),
        "index": spectrum.index,
        "place": spectrum.index + 1,
    }


def precursor_agrees(spectrum: Spectrum, mz: float, charge: int) -> bool:
    """Whether a row's precursor m/z (NaN for none) and charge (0 for none) are those of `spectrum`."""
    if charge and charge != spectrum.charge:
        return False
    return math.isnan(mz) or abs(mz - spectrum.precursor_mz) <= max(MZ_TOLERANCE, 20e-6 * spectrum.precursor_mz)


def mass_agrees(spectrum: Spectrum, peptide: Peptide, isotopes: int) -> bool:
    """Whether a peptide has the precursor mass to within `MASS_TOLERANCE`."""
    return abs(spectrum.mass_error_ppm(peptide, isotopes)) <= MASS_TOLERANCE


@dataclass
class Evidence:
    """Statistics of a tool's rows on sampled spectra, for each interpretation of its keys.

    Args:
        joined: Rows that refer to a sampled spectrum.
        judged: Of these, rows whose fit can be decided.
        fitting: Of these, rows that fit their spectrum.
        with_precursor: Whether rows have a precursor m/z, so that few rows suffice. Otherwise peptide masses decide,
            which are correct for a fraction of the rows that varies by tool, and match by coincidence in one of some
            hundred rows.
    """

    joined: Counter[Way] = field(default_factory=Counter)
    judged: Counter[Way] = field(default_factory=Counter)
    fitting: Counter[Way] = field(default_factory=Counter)
    with_precursor: bool = False

    def add(self, way: Way, fits: bool | None) -> None:
        """Count a row joined by `way`; `fits` is None if it cannot be decided."""
        self.joined[way] += 1
        self.judged[way] += fits is not None
        self.fitting[way] += bool(fits)

    def decide(self, path: str, tool: str, source: str) -> tuple[Way, str]:
        """Choose the interpretation with most fitting rows.

        Args:
            path: The candidate file, for messages.
            tool: The tool, for messages.
            source: The spectra file, for messages.

        Returns:
            The interpretation, and a description of the evidence.

        Raises:
            BadInput: no row refers to a spectrum of `source`, or too few rows fit their spectra.
        """
        ways = [way for way in WAYS if self.joined[way]]
        if not ways:
            advice = "were they made from another file of spectra?"
            raise BadInput(path, f"spectra of {tool}", f"none of those in {source}", "rows of this file", advice)
        best = max(ways, key=lambda way: self.fitting[way])
        least_rows, least_share = (3, 0.5) if self.with_precursor else (10, 0.1)
        if self.judged[best] >= least_rows and self.fitting[best] < least_share * self.judged[best]:
            found = "rows that fit: " + ", ".join(map(self._share, ways))
            quantity = "precursor" if self.with_precursor else "precursor mass"
            expected = f"rows with the {quantity} of the spectra that they name"
            advice = f"make the candidates from {source} itself: rows are never joined by their position"
            raise BadInput(path, f"spectra of {tool}", found, expected, advice)
        rejected = [f", but {self._share(way)}" for way in ways[: ways.index(best)]]
        return best, f"{WAYS[best]}: {self.fitting[best]} of {self.judged[best]} sampled rows fit{''.join(rejected)}"

    def _share(self, way: Way) -> str:
        return f"{self.fitting[way]} of {self.judged[way]} by {WAYS[way]}"
