"""Peptides as residues with masses: what every dialect is read into and every output is written from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

PROTON = 1.007276
"""Mass of a proton, Da, as the reference implementation rounds it."""
WATER = 18.010565
"""Mass of water, Da."""
CARBON_13 = 1.00335
"""Mass of carbon 13 above that of carbon 12, Da: the step between two isotopes."""

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
"""Masses of the modified residues and N-termini that the reference implementation knows, Da."""


@dataclass(frozen=True)
class Modification:
    """A modification by its Unimod name.

    `delta` is its monoisotopic mass in Da, `accession` its number in Unimod (0 for none), and `sites` the one-letter
    residues that it is known on, with "n" for the N-terminus.
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
"""What is read and written by name; any other modification is its mass."""


@dataclass(frozen=True)
class Peptide:
    """A peptide as `residues`, each in its ProForma spelling: "A", "C[Carbamidomethyl]", "S[+79.966331]".

    A modified N-terminus is an element of its own, in front: "[Acetyl]-". `masses` are theirs in Da, float64, without
    water. Leucine and isoleucine are told apart here and equal by mass.
    """

    residues: tuple[str, ...]
    masses: tuple[float, ...]

    @cached_property
    def proforma(self) -> str:
        """The peptide in ProForma 2.0."""
        return "".join(self.residues)

    @cached_property
    def sequence(self) -> str:
        """The letters of the residues alone."""
        return "".join(residue[0] for residue in self.residues if residue[0] != "[")

    @cached_property
    def merged(self) -> str:
        """The peptide in ProForma with leucine for isoleucine: equal where no spectrum tells two peptides apart."""
        return "".join("L" + residue[1:] if residue[0] == "I" else residue for residue in self.residues)

    @cached_property
    def mass(self) -> float:
        """Monoisotopic mass of the neutral peptide, water included, Da."""
        return sum(self.masses) + WATER

    def mz(self, charge: int) -> float:
        """Mass over charge of the protonated peptide."""
        return self.mass / charge + PROTON

    def prefix_masses(self) -> NDArray[np.float64]:
        """Masses of the first 1, 2, ... elements, Da; float64 since the model's shortest wavelength is 0.001 Da."""
        return np.cumsum(np.array(self.masses, np.float64))
