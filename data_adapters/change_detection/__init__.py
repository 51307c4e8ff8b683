"""Bi-temporal image pairs for change detection: read from the layouts of public data sets, written as GIS files."""
