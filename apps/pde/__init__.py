"""How a simulation goes on: MORPH and axial operators for PDEs on grids and meshes."""
