"""Axial slices of PET/CT studies that show tumour."""
