"""Pairs of images of one place at two dates: every layout that change-detection data comes in, and GIS files out."""
