"""Slice classifiers."""
