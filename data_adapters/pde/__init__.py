"""Simulations on grids and meshes: PDEBench and The Well HDF5, NetCDF, Zarr and VTU in; NetCDF, Zarr and VTU out."""
