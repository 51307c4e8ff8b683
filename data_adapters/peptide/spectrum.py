"""Data structures: tandem mass spectra, their candidates, omitted inputs, and runs."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import Case
from transect.data_adapters.peptide.peptide import CARBON_13, PROTON, Peptide

NO_PEAKS: NDArray[Any] = np.empty(0)


@dataclass(frozen=True)
class Spectrum:
    """A fragment (MS2) spectrum.

    Args:
        index: Index among all spectra of the file, of any MS level and usable or not, from 0.
        scan: Scan number, or "".
        title: Title, or "".
        precursor_mz: Precursor m/z, Th.
        charge: Precursor charge, positive.
        retention_time: Seconds, or NaN.
        mz: float64 `(peaks,)`, Th, ascending.
        intensity: float32 `(peaks,)`, arbitrary unit.
        label: Peptide from an annotated file.
        problem: Why the spectrum is unusable, or ""; an unusable one may have charge 0, precursor NaN and no peaks.
    """

    index: int
    scan: str
    title: str
    precursor_mz: float
    charge: int
    retention_time: float
    mz: NDArray[np.float64]
    intensity: NDArray[np.float32]
    label: Peptide | None = None
    problem: str = ""

    @property
    def precursor_mass(self) -> float:
        """Neutral mass of the precursor, Da."""
        return (self.precursor_mz - PROTON) * self.charge

    def mass_error_ppm(self, peptide: Peptide, isotopes: int = 0) -> float:
        """Relative precursor mass error, (measured - theoretical) / theoretical in ppm, for the nearest isotope.

        Args:
            peptide: Gives the theoretical mass.
            isotopes: Maximum isotope offset: isotope n means that the isolated peak has n atoms of carbon 13.
        """
        errors = [self.precursor_mass - n * CARBON_13 - peptide.mass for n in range(isotopes + 1)]
        return min(errors, key=abs) / peptide.mass * 1e6


def checked_spectrum(
    index: int,
    *,
    scan: str = "",
    title: str = "",
    precursor_mz: float = math.nan,
    charges: Sequence[int] = (),
    retention_time: float = math.nan,
    mz: NDArray[Any] = NO_PEAKS,
    intensity: NDArray[Any] = NO_PEAKS,
    label: Peptide | None = None,
    problem: str = "",
) -> Spectrum:
    """Build a spectrum from values of a file: sort its peaks by m/z and set `problem` if it is unusable.

    Args:
        index: Index in the file.
        scan: Scan number, or "".
        title: Title, or "".
        precursor_mz: Precursor m/z, Th.
        charges: Possible precursor charges; the spectrum is usable if there is exactly one.
        retention_time: Seconds, or NaN.
        mz: `(peaks,)` of any real type.
        intensity: `(peaks,)` of any real type.
        label: Peptide from an annotated file.
        problem: A problem that the reader detected, or "".
    """
    with np.errstate(over="ignore"):
        mz, intensity = np.array(mz, np.float64), np.array(intensity, np.float32)
    precursor_mz = precursor_mz if math.isfinite(precursor_mz) and precursor_mz > 0 else math.nan
    charge = charges[0] if len(set(charges)) == 1 and charges[0] > 0 else 0
    problem = problem or _precursor_problem(precursor_mz, charges) or _peaks_problem(mz, intensity)
    if not problem and (mz[1:] < mz[:-1]).any():
        order = np.argsort(mz, kind="stable")
        mz, intensity = mz[order], intensity[order]
    if problem:
        mz, intensity = np.empty(0, np.float64), np.empty(0, np.float32)
    return Spectrum(index, scan, title, precursor_mz, charge, retention_time, mz, intensity, label, problem)


def _precursor_problem(precursor_mz: float, charges: Sequence[int]) -> str:
    if math.isnan(precursor_mz):
        return "no precursor m/z"
    if not any(charges):
        return "no charge"
    if len(set(charges)) > 1:
        return f"several possible charges: {', '.join(map(str, charges[:8]))}"
    return "" if charges[0] > 0 else "negative charge"


def _peaks_problem(mz: NDArray[np.float64], intensity: NDArray[np.float32]) -> str:
    if len(mz) != len(intensity):
        return f"{len(mz)} m/z but {len(intensity)} intensities"
    if not len(mz):
        return "no peaks"
    if not (np.isfinite(mz).all() and np.isfinite(intensity).all()):
        return "a peak that is not a finite number"
    if mz.min() <= 0 or intensity.min() < 0:
        return "a peak below zero"
    return ""


@dataclass(frozen=True)
class Candidate:
    """A peptide proposed for a spectrum.

    Args:
        peptide: The peptide.
        tools: The tools that proposed it.
        scores: The score of each tool, NaN for none.
        ranks: Its rank in each tool's list, from 1.
    """

    peptide: Peptide
    tools: tuple[str, ...]
    scores: tuple[float, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class CandidateSet:
    """A spectrum and its distinct candidates, in the order of the candidate files."""

    spectrum: Spectrum
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Omission:
    """An input that was not used: a row of `omitted.csv`.

    Args:
        file: Path of the file.
        line: Line number from 1, or 0 for files without lines.
        spectrum: Reference of the spectrum ("index=7"), or "".
        what: A key of `OMISSIONS`.
        detail: Further explanation.
    """

    file: str
    line: int
    spectrum: str
    what: str
    detail: str


OMISSIONS = {
    "spectrum skipped": "an unusable spectrum: no charge, no peaks, not MS2, malformed",
    "no such spectrum": "a candidate whose spectrum is not in the file",
    "precursor disagrees": "a candidate whose row has another precursor than its spectrum",
    "unknown residue": "a candidate with a residue or modification of unknown mass",
    "not a peptide": "a candidate that cannot be parsed, or an empty prediction",
    "mass disagrees": "a candidate whose mass does not fit the precursor; it is used",
    "too long": "a candidate with more residues than the model supports",
    "unusual residue": "a candidate with a modification that models represent only by its mass; it is used",
}
"""Kinds of omissions, with their meaning."""
LISTED = 100_000
"""Maximum number of omissions of a run that are listed; all are counted."""


@dataclass
class Run:
    """The spectra of one file with their candidates.

    `length`, `omissions`, `counts` and `joined` are filled while `candidate_sets` is iterated.

    Args:
        source: Path of the spectra file.
        reference: How results refer to a spectrum: "index" for MGF, "scan" for mzML and mzXML.
        tools: Names of the candidate files' tools, in order.
        candidate_sets: Returns an iterator over the spectra with their candidates; each call reads the files again.
        length: Number of spectra, known from the first one on; 0 for mzML and mzXML, where it is known only at the end.
        omissions: Inputs that were not used.
        counts: Number of rows, spectra and omissions of each kind.
        joined: How the rows of each tool were matched to spectra.
    """

    source: str
    reference: str
    tools: tuple[str, ...]
    candidate_sets: Callable[[], Iterator[CandidateSet]]
    length: int = 0
    omissions: list[Omission] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)

    def named(self, spectrum: Spectrum) -> str:
        """The reference of a spectrum in results: "scan=17", or "index=7" if it has no scan number."""
        reference = self.reference if spectrum.scan else "index"
        return f"{reference}={getattr(spectrum, reference)}"

    @property
    def lists(self) -> bool:
        """Whether further omissions are listed, not only counted."""
        return len(self.omissions) < LISTED

    def omit(self, what: str, omission: Omission | None) -> None:
        """Count an omission of kind `what`, and list it if the limit is not reached."""
        self.counts[what] = self.counts.get(what, 0) + 1
        if omission and self.lists:
            self.omissions.append(omission)


PARTS = 40
"""Number of parts, by peptide, that labelled runs are divided into for training and evaluation."""


@dataclass(frozen=True)
class RunCase(Case):
    """The case of a run: files of spectra and candidates, restricted to the labels in `part` if it is given."""

    spectra: str = ""
    candidates: tuple[str, ...] = ()
    part: int | None = field(default=None)


def part_of(peptide: Peptide) -> int:
    """The part of a peptide, which depends only on its unmodified sequence (with I = L)."""
    letters = peptide.sequence.replace("I", "L")
    return int.from_bytes(hashlib.sha256(letters.encode()).digest()[:4]) % PARTS
