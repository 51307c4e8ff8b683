"""Synthetic drives whose boxes, roads and cameras are known, in the layout of nuScenes."""

from pathlib import Path

from transect.data_adapters.bev.config import PhantomConfig


def write_phantom(root: Path, count: int, seed: int, config: PhantomConfig) -> None:
    """Write `count` drives."""
    raise NotImplementedError
