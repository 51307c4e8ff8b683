"""The next states of a PDE: MORPH and an axial operator for simulations on grids and meshes, trained, tuned, rolled out."""
