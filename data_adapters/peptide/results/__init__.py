"""Writers of rankings as mzTab and CSV."""
