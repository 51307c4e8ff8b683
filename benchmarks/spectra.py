"""How fast spectra are read: `python -m benchmarks.spectra [FILE.mgf]`.

CPU time of one thread for reading a whole MGF file, ours as the app reads it against `pyteomics.mgf.read` without an
index, and the labels alone. Without a file, a phantom of 4000 spectra is written and deleted again.
"""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from pyteomics import mgf

from benchmarks.measure import seconds
from transect.data_adapters.peptide.config import PhantomConfig
from transect.data_adapters.peptide.phantom import write_phantom
from transect.data_adapters.peptide.spectra.read import read_labels, read_spectra

SPECTRA = 4000
OURS, PYTEOMICS, LABELS = "read_spectra", "pyteomics.mgf.read", "read_labels"
GOAL = 1.2


def main() -> None:
    """Print the time of each way, and ours as a share of that of pyteomics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="an MGF file that is not compressed; default a phantom")
    arguments = parser.parse_args()
    if arguments.file:
        report(str(arguments.file))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(Path(folder), 1, 0, PhantomConfig(spectra=SPECTRA, tools=0))
        report(f"{folder}/train/run01.mgf")


def report(path: str) -> None:
    """Print how long reading `path` takes."""
    peaks = [len(spectrum.mz) for spectrum in read_spectra(path)]
    ways = {
        OURS: lambda: drained(read_spectra(path)),
        PYTEOMICS: lambda: drained(mgf.read(path, use_index=False)),
        LABELS: lambda: drained(read_labels(path)),
    }
    taken = seconds(ways, torch.device("cpu"), rounds=5)
    print(f"{Path(path).name}: {len(peaks)} spectra of {sum(peaks) / len(peaks):.0f} peaks")
    for name, time in taken.items():
        print(f"{name:20s} {time:7.3f} core-s {1e6 * time / len(peaks):8.1f} us a spectrum")
    print(f"read_spectra: {taken[OURS] / taken[PYTEOMICS]:.2f} x pyteomics (goal {GOAL} at most)")


def drained(items: Iterable[object]) -> int:
    """How many items there are."""
    return sum(1 for _ in items)


if __name__ == "__main__":
    main()
