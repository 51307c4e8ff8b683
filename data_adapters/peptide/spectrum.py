"""A tandem mass spectrum, the candidates proposed for it, and a file of both."""

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
    """One spectrum of fragments.

    `index` counts the spectra of its file from 0, whatever they are and whether or not they can be used; `scan` is its
    scan number or "" and `title` its title or "". `precursor_mz` is in Th, `charge` above 0, `retention_time` in
    seconds or NaN. `mz` (float64, Th, ascending) and `intensity` (float32, any unit) are its peaks. `label` is the
    peptide that an annotated file gives. `problem` says why the spectrum cannot be used, or is ""; such a spectrum may
    have charge 0, a precursor of NaN and no peaks.
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
        """Mass of the neutral precursor, water included, Da."""
        return (self.precursor_mz - PROTON) * self.charge

    def mass_error_ppm(self, peptide: Peptide, isotopes: int = 0) -> float:
        """Measured minus theoretical precursor mass, ppm of the latter, for the nearest of isotopes 0 to `isotopes`.

        Isotope n says that the instrument picked the peak with n atoms of carbon 13.
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
    """The spectrum that a file tells of, its peaks in order of m/z, with the first reason why it cannot be used.

    `charges` are those that the file finds possible. `mz` and `intensity` are real numbers of any kind, one of each
    for a peak. `problem` is a reason that the reader found itself.
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
    """A peptide proposed for a spectrum, with the tools that proposed it and each one's own score (NaN for none).

    `ranks` are its places in the lists of those tools, from 1.
    """

    peptide: Peptide
    tools: tuple[str, ...]
    scores: tuple[float, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class CandidateSet:
    """A spectrum and its distinct candidates, in the order of the files that propose them."""

    spectrum: Spectrum
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Omission:
    """Something in the inputs that was not used: a row of `omitted.csv`.

    `file` and `line` (from 1, 0 where lines have no meaning) say where it stands, `spectrum` which spectrum it is about
    ("index=7", or ""), `what` is one of the keys of `OMISSIONS`, and `detail` the rest of the story.
    """

    file: str
    line: int
    spectrum: str
    what: str
    detail: str


OMISSIONS = {
    "spectrum skipped": "a spectrum that cannot be used: no charge, no peaks, not MS2, malformed",
    "no such spectrum": "a candidate whose spectrum is not in the file",
    "precursor disagrees": "a candidate whose row tells another precursor than its spectrum has",
    "unknown residue": "a candidate with a residue or modification of unknown mass",
    "not a peptide": "a candidate that cannot be read, or an empty prediction",
    "mass disagrees": "a candidate, used all the same, whose mass does not fit the precursor",
    "too long": "a candidate of more residues than the model takes",
    "unusual residue": "a candidate, used all the same, with a modification that models know by its mass alone",
}
"""What an `Omission` may be."""
LISTED = 100_000
"""Omissions of a run that are listed; their counts go on."""


@dataclass
class Run:
    """The spectra of one file with their candidates, read anew by each call of `candidate_sets`.

    `tools` are the names of the candidate files' tools, in order. `reference` is how results refer to a spectrum of
    this file: "index" in MGF, "scan" in mzML and mzXML. `omissions` is filled while `candidate_sets` is drained, as is
    `counts`, the number of rows, spectra and omissions of each kind; `joined` says how each tool's rows were matched.
    `length` is the number of spectra once the first is drained, 0 in mzML and mzXML, where only reading all tells.
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
        """How results refer to a spectrum: "scan=17", or "index=7" where it has no scan number."""
        reference = self.reference if spectrum.scan else "index"
        return f"{reference}={getattr(spectrum, reference)}"

    @property
    def lists(self) -> bool:
        """Whether another omission would be listed."""
        return len(self.omissions) < LISTED

    def omit(self, what: str, omission: Omission | None) -> None:
        """Count something of kind `what` that is not used, and list it as long as there is room."""
        self.counts[what] = self.counts.get(what, 0) + 1
        if omission and self.lists:
            self.omissions.append(omission)


PARTS = 40
"""Into how many parts, by peptide, labelled spectra are divided for training and evaluation."""


@dataclass(frozen=True)
class RunCase(Case):
    """The spectra of file `spectra`, of a divided case only those labelled in `part`, with its `candidates` files."""

    spectra: str = ""
    candidates: tuple[str, ...] = ()
    part: int | None = field(default=None)


def part_of(peptide: Peptide) -> int:
    """The part that every spectrum of this peptide belongs to, whatever its modifications, in every file."""
    letters = peptide.sequence.replace("I", "L")
    return int.from_bytes(hashlib.sha256(letters.encode()).digest()[:4]) % PARTS
