"""Speed of reading spectra: `python -m benchmarks.spectra [FILE.mgf]`.

CPU time of one thread for reading a whole MGF file with the app's reader and with `pyteomics.mgf.read` without an
index, and for reading labels only. Without a file, a temporary phantom of 4000 spectra is used.
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
    """Print the time of each reader, and ours relative to pyteomics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="uncompressed MGF file; default: a phantom")
    arguments = parser.parse_args()
    if arguments.file:
        report(str(arguments.file))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(Path(folder), 1, 0, PhantomConfig(spectra=SPECTRA, tools=0))
        report(f"{folder}/train/run01.mgf")


def report(path: str) -> None:
    """Print the time to read `path` with each reader."""
    peaks = [len(spectrum.mz) for spectrum in read_spectra(path)]
    ways = {
        OURS: lambda: exhaust(read_spectra(path)),
        PYTEOMICS: lambda: exhaust(mgf.read(path, use_index=False)),
        LABELS: lambda: exhaust(read_labels(path)),
    }
    counts = {name: way() for name, way in ways.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"{path}: found {counts}, expected the same number of spectra from each reader")
    taken = seconds(ways, torch.device("cpu"), rounds=5)
    print(f"{Path(path).name}: {len(peaks)} spectra of {sum(peaks) / len(peaks):.0f} peaks")
    for name, time in taken.items():
        print(f"{name:20s} {time:7.3f} core-s {1e6 * time / len(peaks):8.1f} us a spectrum")
    print(f"read_spectra: {taken[OURS] / taken[PYTEOMICS]:.2f} x pyteomics (goal {GOAL} at most)")


def exhaust(items: Iterable[object]) -> int:
    """Iterate over all items; return their number."""
    return sum(1 for _ in items)


if __name__ == "__main__":
    main()
