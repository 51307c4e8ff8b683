"""Result rows of ranked spectra: one for each candidate that is written."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transect.data_adapters.peptide.peptide import MODIFICATIONS, Peptide
from transect.data_adapters.peptide.ranking import RankedCandidate, RankedSpectrum

_ACCESSIONS = {known.name: known.accession for known in MODIFICATIONS}


@dataclass(frozen=True)
class ResultRow:
    """One ranked candidate of a spectrum, or with `rank` 0 a spectrum without candidates.

    `modifications` are as returned by `modifications_of`, `residue_scores` one for each element of the peptide, and
    `problem` the reason for having no candidate. `probability`, `q_value` and `margin` are those of the top-ranked
    candidate, NaN for all others.
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
    spread: float = math.nan


def rows_of(ranked: RankedSpectrum, top: int) -> Iterator[ResultRow]:
    """The rows of the best `top` candidates, or the single row of a spectrum without candidates."""
    spectrum = ranked.candidate_set.spectrum
    about = (
        spectrum.index,
        plain(spectrum.scan),
        plain(spectrum.title),
        spectrum.precursor_mz,
        spectrum.charge,
        spectrum.retention_time,
    )
    if not ranked.ranking:
        yield ResultRow(*about, problem=plain(spectrum.problem) or "no candidate")
    for rank, candidate in enumerate(ranked.ranking[:top], 1):
        first = rank == 1
        yield ResultRow(
            *about,
            rank=rank,
            **_candidate(candidate, spectrum.charge),
            probability=ranked.probability if first else math.nan,
            margin=ranked.margin if first else math.nan,
        )


def _candidate(ranked: RankedCandidate, charge: int) -> dict[str, Any]:
    peptide = ranked.candidate.peptide
    return {
        "sequence": peptide.sequence,
        "proforma": peptide.proforma,
        "modifications": modifications_of(peptide),
        "mz": peptide.mz(charge),
        "score": ranked.score,
        "deviation": ranked.deviation,
        "residue_scores": tuple(map(float, ranked.residue_scores)),
        "mass_error_ppm": ranked.mass_error_ppm,
        "fits": ranked.fits,
        "spread": ranked.spread,
        "tools": tuple(map(plain, ranked.candidate.tools)),
    }


def modifications_of(peptide: Peptide) -> tuple[tuple[int, str, str, str], ...]:
    """The modifications of a peptide in the terms of mzTab.

    Returns:
        Position (0 for the N-terminus, 1 for the first residue), identifier (Unimod, or the mass as CHEMMOD), name (""
        for a CHEMMOD) and site (residue letter or "N-term") of each modification.
    """
    modifications, position = [], 0
    for residue in peptide.residues:
        terminal = residue.startswith("[")
        position += not terminal
        site, name = ("N-term", residue[1:-2]) if terminal else (residue[0], residue[2:-1])
        if name:
            accession = _ACCESSIONS.get(name, 0)
            unimod = (f"UNIMOD:{accession}", name)
            modifications.append((position, *(unimod if accession else (f"CHEMMOD:{name}", "")), site))
    return tuple(modifications)


def plain(text: str) -> str:
    """`text` in a single line without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
