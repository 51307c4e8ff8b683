"""Settings of peptide data and of the phantom; does not import numpy, so that `--help` stays fast."""

from dataclasses import dataclass

from transect.data_adapters.settings import require, require_at_most


@dataclass(frozen=True)
class ReadConfig:
    """How spectra and candidates are read.

    Args:
        top: Candidates to use from each tool for a spectrum.
        precursor_tolerance_ppm: Maximum deviation of a candidate's mass from the precursor mass.
        isotopes: Maximum isotope offset (number of carbon 13 atoms) of the isolated precursor.
    """

    top: int = 10
    precursor_tolerance_ppm: float = 20.0
    isotopes: int = 1

    def __post_init__(self) -> None:
        for name, smallest in (("top", 1), ("precursor_tolerance_ppm", 0.001), ("isotopes", 0)):
            require(getattr(self, name) >= smallest, name, getattr(self, name), f"{smallest} or more")
        require_at_most(self, top=1000, isotopes=100)


@dataclass(frozen=True)
class PhantomConfig:
    """What `transect phantom peptide` writes.

    Args:
        spectra: Spectra in each file.
        tools: De novo tools whose candidate files are written.
    """

    spectra: int = 40
    tools: int = 4

    def __post_init__(self) -> None:
        require_at_most(self, spectra=10**7, tools=1000)
