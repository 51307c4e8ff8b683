"""Tandem mass spectra and the peptides that de novo tools propose for them, read in every dialect, written as mzTab."""
