"""The domain apps, found by folder name; `base` is their contract."""
