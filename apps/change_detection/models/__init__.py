"""Change detection models: `forward(before, after)` is the training output, `score` a change map in [0, 1]."""
