"""Interactive pictures, each a self-contained HTML page that opens from disk without a network."""
