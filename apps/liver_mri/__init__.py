"""Segmentation of the liver in MRI volumes."""
