"""How the networks are called in another runtime."""

import json
import math

import torch
from torch import Tensor

from transect.apps.base import Export
from transect.apps.bev.config import Config
from transect.apps.bev.dataset import VIEWS

NUMBER = 6
"""Cameras of the example."""


def export(config: Config, thresholds: tuple[float, ...]) -> Export:
    """The inputs of a network as `BevNetwork.forward` takes them, of one sample with 1 to VIEWS cameras.

    The file holds the geometry too: a runtime is given images and their calibration. Facts are the channels of the
    logits, of which the classes come first, the threshold of each class, the size of the images and the grid.
    """
    read = config.read
    intrinsics, camera_to_ego = ring(read.height, read.width)
    images = torch.rand(1, NUMBER, 3, read.height, read.width, generator=torch.Generator().manual_seed(0))
    inputs = {"images": images, "intrinsics": intrinsics, "camera_to_ego": camera_to_ego}
    grid = {"view": read.grid.matrix.tolist(), "resolution": read.grid.resolution}
    facts = {
        "channels": config.outputs,
        "thresholds": dict(zip(config.classes, thresholds, strict=True)),
        "images": {"height": read.height, "width": read.width, "values": "RGB in [0, 1]"},
        "grid": {"height": read.grid.height, "width": read.grid.width, **grid},
    }
    return Export(
        inputs,
        output="logits",
        axes={name: {1: "views"} for name in inputs},
        lengths={"views": (1, VIEWS)},
        facts={name: json.dumps(fact) for name, fact in facts.items()},
    )


def ring(height: int, width: int, number: int = NUMBER) -> tuple[Tensor, Tensor]:
    """The calibration `(1, number, 3, 3)` and `(1, number, 4, 4)` of cameras that look outwards, 1.5 m high."""
    focal = 0.8 * width
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    poses = torch.zeros(number, 4, 4)
    for pose, camera in zip(poses, range(number), strict=True):
        cos, sin = math.cos(2 * math.pi * camera / number), math.sin(2 * math.pi * camera / number)
        pose[:] = torch.tensor([[sin, 0, cos, cos], [-cos, 0, sin, sin], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    return intrinsics.repeat(1, number, 1, 1), poses[None]
