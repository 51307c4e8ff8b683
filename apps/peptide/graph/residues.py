"""The elements of peptides that edges of a spectrum graph stand for, and their masses."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, REFERENCE_MASS, Peptide

MASS_OF = AMINO_ACID_MASS | REFERENCE_MASS
"""Mass of each residue and terminal modification by its ProForma spelling, Da."""

RESIDUES = (*"GASPVTLNDQKEMHFRYW", "C[Carbamidomethyl]", "M[Oxidation]")
"""Residue alphabet. L also stands for I; deamidated N and Q have the masses of D and E, to 1e-6 Da, and are written as
these."""

STARTS = (
    ("[Acetyl]-",),
    ("[Carbamyl]-",),
    ("[Ammonia-loss]-", "Q"),
    ("[Ammonia-loss]-", "C[Carbamidomethyl]"),
)
"""Modified N-termini. The loss of ammonia has a negative mass and is combined with the residue on which it occurs."""

ELEMENTS = tuple((residue,) for residue in RESIDUES) + STARTS
"""Elements by code: the residues, then the modified N-termini."""

ELEMENT_MASS: NDArray[np.float64] = np.array([sum(MASS_OF[part] for part in element) for element in ELEMENTS])
"""Mass of each element, Da."""


@cache
def edge_kinds() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All one- and two-element edges: their masses in Da, ascending, and codes `(kinds, 2)`, -1 for no second."""
    residues, elements = np.arange(len(RESIDUES)), np.arange(len(ELEMENTS))
    one = np.stack([elements, np.full(len(elements), -1)], 1)
    two = np.stack([np.repeat(elements, len(residues)), np.tile(residues, len(elements))], 1)
    codes = np.concatenate([one, two])
    mass = ELEMENT_MASS[codes[:, 0]] + np.where(codes[:, 1] >= 0, ELEMENT_MASS[codes[:, 1]], 0)
    order = np.argsort(mass, kind="stable")
    return mass[order], codes[order]


def peptide_of(codes: NDArray[np.int64]) -> Peptide:
    """The peptide of a row of codes; -1 is padding."""
    parts = tuple(part for code in codes if code >= 0 for part in ELEMENTS[code])
    return Peptide(parts, tuple(MASS_OF[part] for part in parts))


def codes_of(peptide: Peptide) -> list[int] | None:
    """The codes of a peptide; None if it has an element that is not among `ELEMENTS`."""
    spelled = {"I": "L", "N[Deamidated]": "D", "Q[Deamidated]": "E"}
    parts = [spelled.get(part, part) for part in peptide.residues]
    starts = [start for start in STARTS if tuple(parts[: len(start)]) == start]
    codes = [ELEMENTS.index(starts[0])] if starts else []
    rest = parts[len(starts[0]) :] if starts else parts
    return codes + [RESIDUES.index(part) for part in rest] if all(part in RESIDUES for part in rest) else None
