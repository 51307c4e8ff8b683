"""Simulations on grids and meshes: reads HDF5 of PDEBench and The Well, NetCDF, Zarr, VTU; writes NetCDF, Zarr, VTU."""
