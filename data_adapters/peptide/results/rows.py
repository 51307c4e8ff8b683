"""What the result files say of a ranked spectrum, a row for each candidate that is written."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transect.data_adapters.peptide.peptide import MODIFICATIONS, Peptide
from transect.data_adapters.peptide.ranking import RankedCandidate, RankedSpectrum

_ACCESSIONS = {one.name: one.accession for one in MODIFICATIONS}


@dataclass(frozen=True)
class ResultRow:
    """One ranked candidate of a spectrum, or with `rank` 0 a spectrum without any.

    `modifications` are those of `modifications_of`, `residue_scores` one for each element of the peptide, and `problem`
    says why there is no candidate. `probability`, `q_value` and `margin` are those of the winner, NaN for all others.
    """

    index: int
    scan: str
    title: str
    precursor_mz: float
    charge: int
    retention_time: float
    rank: int = 0
    sequence: str = ""
    proforma: str = ""
    modifications: tuple[tuple[int, str, str, str], ...] = ()
    mz: float = math.nan
    score: float = math.nan
    probability: float = math.nan
    q_value: float = math.nan
    deviation: float = math.nan
    margin: float = math.nan
    residue_scores: tuple[float, ...] = ()
    mass_error_ppm: float = math.nan
    fits: bool = False
    tools: tuple[str, ...] = ()
    problem: str = ""


def rows_of(ranked: RankedSpectrum, top: int) -> Iterator[ResultRow]:
    """The rows of the best `top` candidates, or the one row of a spectrum without any."""
    spectrum = ranked.candidate_set.spectrum
    seen = (
        spectrum.index,
        plain(spectrum.scan),
        plain(spectrum.title),
        spectrum.precursor_mz,
        spectrum.charge,
        spectrum.retention_time,
    )
    if not ranked.ranking:
        yield ResultRow(*seen, problem=plain(spectrum.problem) or "no candidate")
    for rank, one in enumerate(ranked.ranking[:top], 1):
        winner = rank == 1
        yield ResultRow(
            *seen,
            rank=rank,
            **_candidate(one, spectrum.charge),
            probability=ranked.probability if winner else math.nan,
            margin=ranked.margin if winner else math.nan,
        )


def _candidate(one: RankedCandidate, charge: int) -> dict[str, Any]:
    peptide = one.candidate.peptide
    return {
        "sequence": peptide.sequence,
        "proforma": peptide.proforma,
        "modifications": modifications_of(peptide),
        "mz": peptide.mz(charge),
        "score": one.score,
        "deviation": one.deviation,
        "residue_scores": tuple(map(float, one.residue_scores)),
        "mass_error_ppm": one.mass_error_ppm,
        "fits": one.fits,
        "tools": tuple(map(plain, one.candidate.tools)),
    }


def modifications_of(peptide: Peptide) -> tuple[tuple[int, str, str, str], ...]:
    """Position, identifier, name and site of each modification, as mzTab wants them.

    Position 0 is the N-terminus, 1 the first residue. The identifier is that of Unimod, or the mass as a CHEMMOD, which
    has no name. The site is a residue's letter or "N-term".
    """
    found, position = [], 0
    for residue in peptide.residues:
        terminal = residue.startswith("[")
        position += not terminal
        site, name = ("N-term", residue[1:-2]) if terminal else (residue[0], residue[2:-1])
        if name:
            accession = _ACCESSIONS.get(name, 0)
            unimod = (f"UNIMOD:{accession}", name)
            found.append((position, *(unimod if accession else (f"CHEMMOD:{name}", "")), site))
    return tuple(found)


def plain(text: str) -> str:
    """`text` in one line, without characters that a table or a terminal would act on."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
