"""Models that predict the next frame of a simulation."""
