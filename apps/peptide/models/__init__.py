"""Models that rank the candidate peptides of a spectrum."""
