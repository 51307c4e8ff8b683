"""Tandem mass spectra, read from MGF, mzML and mzXML."""
