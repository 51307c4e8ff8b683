"""Forecasting of PDE simulations on grids and meshes: MORPH and axial operators."""
