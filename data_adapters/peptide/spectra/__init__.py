"""Readers of tandem mass spectra in MGF, mzML and mzXML."""
