"""The candidates that a spectrum is ranked with: those of the tools, and its own where they are wanted."""

from dataclasses import replace

from transect.apps.peptide.config import Config
from transect.data_adapters.peptide.spectrum import Candidate, Query

GRAPH = "spectrum graph"
"""The name under which candidates from the spectrum itself stand among the tools."""


def with_generated(query: Query, config: Config) -> Query:
    """`query` with candidates from the spectrum graph, as `config.generate` wants them; duplicates are merged."""
    unusable = query.spectrum.problem or config.generate == "never"
    if unusable or (config.generate == "missing" and query.candidates):
        return query
    from transect.apps.peptide.graph.propose import propose

    read = config.read
    proposed = propose(
        query.spectrum, config.generated, config.peaks.tolerance_ppm, read.precursor_tolerance_ppm, read.isotopes
    )
    merged = {candidate.peptide.merged: candidate for candidate in query.candidates}
    for rank, (peptide, score) in enumerate(proposed, 1):
        known = merged.get(peptide.merged, Candidate(peptide, (), (), ()))
        merged[peptide.merged] = Candidate(
            known.peptide, (*known.tools, GRAPH), (*known.scores, score), (*known.ranks, rank)
        )
    return replace(query, candidates=tuple(merged.values()))
