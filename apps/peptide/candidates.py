"""The candidates that a spectrum is ranked with: those of the tools, and its own where they are wanted."""

from dataclasses import replace

from transect.apps.peptide.config import Config
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet

GRAPH = "spectrum graph"
"""The name under which candidates from the spectrum itself stand among the tools."""


def with_generated(candidate_set: CandidateSet, config: Config) -> CandidateSet:
    """Add candidates from the spectrum graph, as `config.generate` wants them; duplicates are merged."""
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
