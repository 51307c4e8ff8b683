"""The domain apps, discovered by folder name; `base` defines the interface that each implements."""
