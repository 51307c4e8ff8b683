"""Candidates from a spectrum alone: paths through the graph of its prefix masses (Dancik et al., 1999)."""
