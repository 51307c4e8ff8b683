"""Candidate peptides, read from the files of every de novo tool."""
