"""Facts about a run as it was read: spectra, candidates of each tool, labels and omissions."""

from collections import Counter
from pathlib import Path

from transect.data_adapters.peptide.results.table import write_omissions
from transect.data_adapters.peptide.spectrum import OMISSIONS, Run

Facts = dict[str, float | str]


def facts_of(run: Run, folder: Path | None = None) -> Facts:
    """Read all spectra of a run with their candidates, describe it, and write `omitted.csv` into `folder`.

    Returns:
        `spectra`, `with_candidates`, `candidates`, `labelled`, `charges` and `precursor_mz`; how the rows of each tool
        were joined to spectra; and `omitted`, the number of inputs of each kind that are left out.

    Raises:
        BadInput: a file is damaged, or candidates do not match the spectra that they refer to.
    """
    spectra = with_candidates = candidates = labelled = 0
    charges: Counter[int] = Counter()
    low, high = float("inf"), float("-inf")
    for candidate_set in run.candidate_sets():
        spectrum = candidate_set.spectrum
        spectra += 1
        candidates += len(candidate_set.candidates)
        with_candidates += bool(candidate_set.candidates)
        labelled += spectrum.label is not None
        charges[spectrum.charge] += 1
        low, high = min(low, spectrum.precursor_mz), max(high, spectrum.precursor_mz)
    facts: Facts = {
        "spectra": spectra,
        "with_candidates": with_candidates,
        "candidates": candidates,
        "labelled": labelled,
        "charges": ", ".join(f"{charge}+ {count}" for charge, count in sorted(charges.items()) if charge),
        "precursor_mz": f"{low:.4f} to {high:.4f}" if spectra else "",
    }
    facts |= {f"joined_{tool}": how for tool, how in run.joined.items()}
    if folder is not None:
        with open(folder / "omitted.csv", "w", encoding="utf-8", newline="") as file:
            write_omissions(file, run.omissions)
    if omitted := [f"{kind} {run.counts[kind]}" for kind in OMISSIONS if run.counts.get(kind)]:
        facts["omitted"] = ", ".join(omitted)
    return facts
