"""Axial attention from raw scientific data to registered models."""

__version__ = "0.1.0"
