"""A case of the peptide app: a file of spectra with the candidate files that belong to it."""

import hashlib
from dataclasses import dataclass, field

from transect.data_adapters.base import Case
from transect.data_adapters.peptide.peptide import Peptide

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
