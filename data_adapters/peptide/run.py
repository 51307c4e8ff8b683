"""Open a run: stream its spectra with their candidates."""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.read import open_all
from transect.data_adapters.peptide.candidates.row import CandidateFile
from transect.data_adapters.peptide.config import ReadConfig
from transect.data_adapters.peptide.join.store import CandidateStore
from transect.data_adapters.peptide.spectra.read import read_labels, read_spectra
from transect.data_adapters.peptide.spectra.source import KNOWN, format_of
from transect.data_adapters.peptide.spectrum import CandidateSet, Run, RunCase, part_of


def open_run(case: RunCase, config: ReadConfig) -> Run:
    """Open the run of a case; only the beginning of each file is read.

    Raises:
        BadInput: a file cannot be read or has an unknown format. Iterating `candidate_sets` raises it if a file is
            damaged, or candidates do not match the spectra that they refer to.
    """
    reference = "index" if format_of(case.spectra) == "mgf" else "scan"
    if next(read_spectra(case.spectra), None) is None:
        raise BadInput(case.spectra, "spectra", "none above MS1", KNOWN)
    files = open_all(case.candidates)
    tools = tuple(tool.name for file in files for tool in file.tools)
    run = Run(case.spectra, reference, tools, lambda: _candidate_sets(run, case, files, config))
    return run


def _candidate_sets(
    run: Run, case: RunCase, files: Sequence[CandidateFile], config: ReadConfig
) -> Iterator[CandidateSet]:
    if case.part is not None:
        candidate_sets = _parts(case.spectra, case.candidates, config, _stamps(case)).get(case.part, [])
        run.length = run.counts["spectra"] = len(candidate_sets)
        yield from candidate_sets
        return
    for record in (run.omissions, run.counts, run.joined):
        record.clear()
    run.length = sum(1 for _ in read_labels(case.spectra))
    with CandidateStore(run, files, config) as store:
        if files:
            store.resolve(read_spectra(case.spectra))
        for spectrum in read_spectra(case.spectra):
            yield store.candidate_set(spectrum)
        store.finish()


@lru_cache(maxsize=1)
def _parts(
    spectra: str, candidates: tuple[str, ...], config: ReadConfig, stamps: tuple[tuple[int, int], ...]
) -> dict[int, list[CandidateSet]]:
    """The labelled spectra of a run by part, cached because the parts of a run are requested one after the other."""
    whole = RunCase("", "", (spectra, *candidates), spectra=spectra, candidates=candidates)
    parts: dict[int, list[CandidateSet]] = {}
    for candidate_set in open_run(whole, config).candidate_sets():
        if candidate_set.spectrum.label:
            parts.setdefault(part_of(candidate_set.spectrum.label), []).append(candidate_set)
    return parts


def _stamps(case: RunCase) -> tuple[tuple[int, int], ...]:
    """Size and modification time of each file, to detect that a file was replaced."""
    states = [os.stat(file) for file in (case.spectra, *case.candidates)]
    return tuple((state.st_size, state.st_mtime_ns) for state in states)
