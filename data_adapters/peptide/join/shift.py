"""Rows that cease to belong to the spectra they name: a tool that lost a spectrum in the middle of a file.

Where rows tell no precursor m/z, nothing but the masses of their peptides shows it: they stop to fit the spectra that
are named, and fit those a few places away.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.peptide.join.keys import MASS_TOLERANCE
from transect.data_adapters.peptide.peptide import CARBON_13
from transect.data_adapters.peptide.spectrum import Spectrum

BLOCK = 200
"""Rows that are judged together."""
FARTHEST = 20
"""Places by which a shift is looked for."""
LEAST_ROWS = 50


class ShiftWatch:
    """The masses of a tool's first candidates beside those of the spectra that they name.

    Args:
        isotopes: Carbon 13 atoms that the isolated precursor may have had.
    """

    def __init__(self, isotopes: int) -> None:
        self._isotopes = isotopes
        self._measured: deque[float] = deque(maxlen=4 * BLOCK)
        self._seen = 0
        self._rows: list[tuple[int, int, float]] = []
        self._fitting, self._judged = 0, 0

    def add(self, spectrum: Spectrum, mass: float | None) -> str:
        """Note the next spectrum of the file, and the mass of the peptide proposed for it (Da), None for none.

        Returns what is wrong with the rows up to here, else "".
        """
        self._measured.append(spectrum.precursor_mass)
        self._seen += 1
        if mass is None:
            return ""
        self._rows.append((self._seen - 1, spectrum.index, mass))
        return self.judge() if len(self._rows) == BLOCK else ""

    def judge(self) -> str:
        """What is wrong with the rows since the last call, else "": they fit spectra at a distance, not their own."""
        rows, self._rows = self._rows, []
        if len(rows) < LEAST_ROWS:
            return ""
        measured = np.array(self._measured)
        ordinals = np.array([ordinal for ordinal, _, _ in rows]) - (self._seen - len(measured))
        masses = np.array([mass for _, _, mass in rows])
        fitting = self._count(measured, ordinals, masses)
        expected = self._fitting / self._judged * len(rows) if self._judged else 0.0
        if fitting < 0.2 * expected and expected >= 0.2 * len(rows):
            for shift in sorted(set(range(-FARTHEST, FARTHEST + 1)) - {0}, key=abs):
                shifted = self._count(measured, ordinals + shift, masses)
                if shifted >= 0.5 * expected:
                    span = f"{rows[0][1]} to {rows[-1][1]}"
                    return f"{fitting} of {len(rows)} rows fit spectra {span}, {shifted} fit those {shift:+d} places on"
        self._fitting, self._judged = self._fitting + fitting, self._judged + len(rows)
        return ""

    def _count(self, measured: NDArray[np.float64], ordinals: NDArray[np.int64], masses: NDArray[np.float64]) -> int:
        """How many masses are those of the spectra in these places."""
        inside = (ordinals >= 0) & (ordinals < len(measured))
        errors = measured[ordinals[inside], None] - masses[inside, None] - np.arange(self._isotopes + 1) * CARBON_13
        return int((np.abs(errors) <= MASS_TOLERANCE * 1e-6 * masses[inside, None]).any(axis=1).sum())
