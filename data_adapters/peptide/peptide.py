"""Peptides as residues with masses: the common representation of all input notations and outputs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

PROTON = 1.007276
"""Mass of a proton, Da, rounded as in the reference implementation."""
WATER = 18.010565
"""Mass of water, Da."""
CARBON_13 = 1.00335
"""Mass difference of carbon 13 and carbon 12, Da: the isotope spacing."""

AMINO_ACID_MASS = {
    "G": 57.021464,
    "A": 71.037114,
    "S": 87.032028,
    "P": 97.052764,
    "V": 99.068414,
    "T": 101.047670,
    "C": 103.009185,
    "L": 113.084064,
    "I": 113.084064,
    "N": 114.042927,
    "D": 115.026943,
    "Q": 128.058578,
    "K": 128.094963,
    "E": 129.042593,
    "M": 131.040485,
    "H": 137.058912,
    "F": 147.068414,
    "U": 150.953636,
    "R": 156.101111,
    "Y": 163.063329,
    "W": 186.079313,
    "O": 237.147727,
}
"""Monoisotopic masses of unmodified amino acid residues, Da."""

REFERENCE_MASS = {
    "C[Carbamidomethyl]": 160.030649,
    "M[Oxidation]": 147.035400,
    "N[Deamidated]": 115.026943,
    "Q[Deamidated]": 129.042594,
    "[Acetyl]-": 42.010565,
    "[Carbamyl]-": 43.005814,
    "[Ammonia-loss]-": -17.026549,
    "[+25.980265]-": 25.980265,
}
"""Masses of the modified residues and N-termini in the vocabulary of the reference implementation, Da."""


@dataclass(frozen=True)
class Modification:
    """A modification.

    Args:
        name: Unimod name.
        accession: Unimod accession, 0 for none.
        delta: Monoisotopic mass shift, Da.
        sites: One-letter residues that it occurs on, with "n" for the N-terminus.
    """

    name: str
    accession: int
    delta: float
    sites: str


MODIFICATIONS = (
    Modification("Carbamidomethyl", 4, 57.021464, "C"),
    Modification("Oxidation", 35, 15.994915, "M"),
    Modification("Deamidated", 7, 0.984016, "NQ"),
    Modification("Acetyl", 1, 42.010565, "n"),
    Modification("Carbamyl", 5, 43.005814, "n"),
    Modification("Ammonia-loss", 385, -17.026549, "n"),
    Modification("+25.980265", 0, 25.980265, "n"),
    Modification("Phospho", 21, 79.966331, "STY"),
)
"""Modifications that are read and written by name; all others are represented by their mass."""


@dataclass(frozen=True)
class Peptide:
    """A peptide.

    Leucine and isoleucine are distinct here although they have the same mass; see `merged`.

    Args:
        residues: Residues in ProForma notation: "A", "C[Carbamidomethyl]", "S[+79.966331]". A modified N-terminus is a
            separate first element: "[Acetyl]-".
        masses: Their masses in Da, without water.
    """

    residues: tuple[str, ...]
    masses: tuple[float, ...]

    @cached_property
    def proforma(self) -> str:
        """The peptide in ProForma 2.0."""
        return "".join(self.residues)

    @cached_property
    def sequence(self) -> str:
        """The unmodified sequence in one-letter code."""
        return "".join(residue[0] for residue in self.residues if residue[0] != "[")

    @cached_property
    def merged(self) -> str:
        """The peptide in ProForma with I replaced by L: equal for peptides that a spectrum cannot distinguish."""
        return "".join("L" + residue[1:] if residue[0] == "I" else residue for residue in self.residues)

    @cached_property
    def mass(self) -> float:
        """Monoisotopic mass of the neutral peptide, water included, Da."""
        return sum(self.masses) + WATER

    def mz(self, charge: int) -> float:
        """m/z of the protonated peptide, Th."""
        return self.mass / charge + PROTON

    def prefix_masses(self) -> NDArray[np.float64]:
        """Cumulative masses of the elements, Da; float64 because the model's shortest wavelength is 0.001 Da."""
        return np.cumsum(np.array(self.masses, np.float64))
