"""The road that every app walks: train, track, evaluate, register, predict, serve and report."""
