"""How peptide data is read and what the phantom holds; free of numpy so that the command line's help is quick."""

from dataclasses import dataclass

from transect.data_adapters.settings import require


@dataclass(frozen=True)
class ReadConfig:
    """How spectra and candidates are read.

    Args:
        top: Candidates to take from each tool's list for a spectrum.
        precursor_tolerance_ppm: How far a candidate's mass may be from the precursor's to fit it.
        isotopes: Carbon 13 atoms that the isolated precursor may have had.
    """

    top: int = 10
    precursor_tolerance_ppm: float = 20.0
    isotopes: int = 1

    def __post_init__(self) -> None:
        for name, smallest in (("top", 1), ("precursor_tolerance_ppm", 0.001), ("isotopes", 0)):
            require(getattr(self, name) >= smallest, name, getattr(self, name), f"{smallest} or more")


@dataclass(frozen=True)
class PhantomConfig:
    """What `transect phantom peptide` writes.

    Args:
        spectra: Spectra in each file.
        tools: De novo tools whose candidate files are written.
    """

    spectra: int = 40
    tools: int = 4
