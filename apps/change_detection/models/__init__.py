"""The change detectors: each maps `(before, after)` to its training output, and `score` to a map in [0, 1]."""
