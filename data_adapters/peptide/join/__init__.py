"""Join candidates with their spectra by key."""
