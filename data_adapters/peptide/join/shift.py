"""Detect off-by-n shifts between rows and spectra, caused by a tool that lost or added a spectrum within a file.

For rows without a precursor m/z, only peptide masses reveal it: they no longer fit the referenced spectra, but fit
those a few positions away.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.peptide.join.keys import MASS_TOLERANCE
from transect.data_adapters.peptide.peptide import CARBON_13
from transect.data_adapters.peptide.spectrum import Spectrum

BLOCK = 200
"""Number of rows that are tested together."""
FARTHEST = 20
"""Maximum shift that is tested."""
LEAST_ROWS = 50


class ShiftDetector:
    """Compares the masses of a tool's first candidates with the precursor masses of their spectra.

    Args:
        isotopes: Maximum isotope offset of the isolated precursor.
    """

    def __init__(self, isotopes: int) -> None:
        self._isotopes = isotopes
        self._measured: deque[float] = deque(maxlen=4 * BLOCK)
        self._seen = 0
        self._rows: list[tuple[int, int, float]] = []
        self._fitting, self._judged = 0, 0

    def add(self, spectrum: Spectrum, mass: float | None) -> str:
        """Add the next spectrum of the file.

        Args:
            spectrum: The spectrum.
            mass: Mass of the peptide proposed for it, Da, or None.

        Returns:
            A description of a shift detected so far, or "".
        """
        self._measured.append(spectrum.precursor_mass)
        self._seen += 1
        if mass is None:
            return ""
        self._rows.append((self._seen - 1, spectrum.index, mass))
        return self.judge() if len(self._rows) == BLOCK else ""

    def judge(self) -> str:
        """Test the rows since the last call; returns a description of the shift if they fit shifted spectra, or ""."""
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
                    return f"{fitting} of {len(rows)} rows fit spectra {span}, {shifted} fit with a shift of {shift:+d}"
        self._fitting, self._judged = self._fitting + fitting, self._judged + len(rows)
        return ""

    def _count(self, measured: NDArray[np.float64], ordinals: NDArray[np.int64], masses: NDArray[np.float64]) -> int:
        """Number of masses that fit the spectra at the given positions."""
        inside = (ordinals >= 0) & (ordinals < len(measured))
        errors = measured[ordinals[inside], None] - masses[inside, None] - np.arange(self._isotopes + 1) * CARBON_13
        return int((np.abs(errors) <= MASS_TOLERANCE * 1e-6 * masses[inside, None]).any(axis=1).sum())
