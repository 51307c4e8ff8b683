"""The attention core: mechanisms on N-dimensional grids in plain PyTorch, without files, logging or domain code."""
