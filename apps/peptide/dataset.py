"""Training examples: labelled spectra with their candidates."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from transect.apps.peptide.batch import candidate_arrays, evidence_arrays, model_peaks, padded_to
from transect.apps.peptide.config import Config
from transect.apps.peptide.distances import mass_deviations
from transect.apps.peptide.models.vocabulary import PAD
from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Omission, Run, RunCase, part_of

GRAPH = "spectrum graph"
"""Tool name of candidates that are generated from the spectrum."""
KEPT_BYTES = 2**30
"""Size limit of the cache of examples; what exceeds it is recomputed each epoch."""


class LabelledSpectra(Dataset[dict[str, Tensor]]):
    """Every labelled spectrum of the cases that has a candidate, padded to the largest of the data set.

    Spectra are kept in memory, about 5 kB each. An example has the `peaks`, `precursor_mass` and `charge` of a
    spectrum, the `tokens`, `masses` and `evidence` of its candidates, and their deviations from the label in units of
    51.4238 Da: `peptide_deviation` `(candidates,)` and `residue_deviation` `(candidates, columns)`, zero at padding.

    Raises:
        BadInput: there is no labelled spectrum with candidates.
    """

    def __init__(self, cases: Sequence[RunCase], read: Callable[[RunCase], Run], config: Config) -> None:
        self.config = config
        self.candidate_sets = _labelled(cases, read, config)
        if not self.candidate_sets:
            files = ", ".join(sorted({case.spectra for case in cases})[:3]) or "the data set"
            found = "no labelled spectrum with candidates"
            advice = "SEQ= in MGF is the label; candidates are in files next to it, or set generate to missing"
            raise BadInput(files, "spectra", found, "spectra with a label and candidates to train on", advice)
        lists = [candidate_set.candidates for candidate_set in self.candidate_sets]
        self.rows = max(map(len, lists))
        self.columns = 1 + max(len(candidate.peptide.residues) for candidates in lists for candidate in candidates)
        self.kept: dict[int, dict[str, Tensor]] = {}
        self.kept_bytes = 0

    def __len__(self) -> int:
        return len(self.candidate_sets)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index in self.kept:
            return self.kept[index]
        example = self._example(self.candidate_sets[index])
        size = sum(tensor.nbytes for tensor in example.values())
        if self.kept_bytes + size <= KEPT_BYTES:
            self.kept[index] = example
            self.kept_bytes += size
        return example

    def _example(self, candidate_set: CandidateSet) -> dict[str, Tensor]:
        spectrum, label = candidate_set.spectrum, candidate_set.spectrum.label
        assert label is not None
        peptides = [candidate.peptide for candidate in candidate_set.candidates]
        tokens, masses = candidate_arrays(peptides, mask_gaps=self.config.model.mask_gaps)
        deviations, of_residues = mass_deviations([p.masses for p in peptides], [label.masses] * len(peptides))
        residue = np.zeros(tokens.shape, np.float32)
        for row, deviation in zip(residue, of_residues, strict=True):
            row[1 : 1 + len(deviation)] = deviation
        table = (self.rows, self.columns)
        example = {
            "peaks": padded_to((self.config.peaks.count, 2), model_peaks(spectrum, self.config.peaks)),
            "precursor_mass": torch.tensor(spectrum.precursor_mass, dtype=torch.float32),
            "charge": torch.tensor(spectrum.charge),
            "tokens": padded_to(table, tokens, PAD),
            "masses": padded_to(table, masses),
            "peptide_deviation": padded_to((self.rows,), deviations.astype(np.float32)),
            "residue_deviation": padded_to(table, residue),
        }
        if self.config.model.evidence:
            channels = evidence_arrays(spectrum, peptides, self.config)
            example["evidence"] = padded_to((*table, channels.shape[-1]), channels)
        return example


def _labelled(cases: Sequence[RunCase], read: Callable[[RunCase], Run], config: Config) -> list[CandidateSet]:
    """The labelled spectra of all cases; each file is read once for all of its parts."""
    parts: dict[RunCase, set[int | None]] = {}
    for case in cases:
        whole = RunCase("", "", case.files, spectra=case.spectra, candidates=case.candidates)
        parts.setdefault(whole, set()).add(case.part)
    candidate_sets = []
    for whole, wanted in parts.items():
        run = read(whole)
        for candidate_set in run.candidate_sets():
            label = candidate_set.spectrum.label
            if label is None or candidate_set.spectrum.problem or not (None in wanted or part_of(label) in wanted):
                continue
            candidate_set = scorable(with_generated(candidate_set, config), config, run)
            if candidate_set.candidates:
                candidate_sets.append(candidate_set)
    return candidate_sets


def with_generated(candidate_set: CandidateSet, config: Config) -> CandidateSet:
    """Add candidates from the spectrum graph if `config.generate` requires it; equal peptides are merged."""
    unusable = candidate_set.spectrum.problem or config.generate == "never"
    if unusable or (config.generate == "missing" and candidate_set.candidates):
        return candidate_set
    from transect.apps.peptide.graph.propose import propose

    read = config.read
    proposed = propose(
        candidate_set.spectrum,
        config.generated,
        config.peaks.tolerance_ppm,
        read.precursor_tolerance_ppm,
        read.isotopes,
    )
    merged = {candidate.peptide.merged: candidate for candidate in candidate_set.candidates}
    for rank, (peptide, score) in enumerate(proposed, 1):
        known = merged.get(peptide.merged, Candidate(peptide, (), (), ()))
        merged[peptide.merged] = Candidate(
            known.peptide, (*known.tools, GRAPH), (*known.scores, score), (*known.ranks, rank)
        )
    return replace(candidate_set, candidates=tuple(merged.values()))


def scorable(candidate_set: CandidateSet, config: Config, run: Run) -> CandidateSet:
    """Drop the candidates that are too long for the model and record them as omissions of `run`."""
    kept = []
    for candidate in candidate_set.candidates:
        length = len(candidate.peptide.residues)
        if length < config.model.max_length:
            kept.append(candidate)
            continue
        proposed = f"{', '.join(candidate.tools)}: {candidate.peptide.proforma[:100]}"
        detail = f"{proposed}: found {length} residues, expected {config.model.max_length - 1} or fewer"
        run.omit("too long", Omission(run.source, 0, run.named(candidate_set.spectrum), "too long", detail))
    return (
        candidate_set if len(kept) == len(candidate_set.candidates) else replace(candidate_set, candidates=tuple(kept))
    )
