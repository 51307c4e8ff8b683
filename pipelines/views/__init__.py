"""Interactive pictures, each drawn into a page of its own that opens from disk and needs no network."""
