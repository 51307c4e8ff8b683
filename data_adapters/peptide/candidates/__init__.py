"""Readers of peptide candidates from the output files of de novo sequencing tools."""
