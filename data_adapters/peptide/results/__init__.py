"""A ranking as mzTab and CSV."""
