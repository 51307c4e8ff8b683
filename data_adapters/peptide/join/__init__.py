"""Candidates joined with the spectra that they belong to."""
