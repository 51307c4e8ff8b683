"""Tandem mass spectra and peptide candidates of de novo sequencing tools: reads their formats, writes mzTab and CSV."""
