"""Small networks and rigs of known calibration."""

import math

import torch
from torch import Tensor

from transect.apps.bev.models.build import build
from transect.apps.bev.models.config import (
    BackboneConfig,
    BilinearConfig,
    LiftSplatConfig,
    ModelConfig,
    SinBEVTConfig,
)
from transect.apps.bev.models.network import BevNetwork
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.grid import Grid

NAMES = ("sinbevt", "bilinear", "lift_splat")
READ = ReadConfig(height=32, width=56, grid=Grid(32, 48, 1.0))
SIZES = ModelConfig(
    backbone=BackboneConfig(name="residual", widths=(4, 6, 8)),
    sinbevt=SinBEVTConfig(
        dims=(8, 16),
        heads=(2, 2),
        query_windows=((4, 4), (4, 6)),
        bottlenecks=(1, 1),
        bev_embedding=(True, False),
        decoder=(16, 8),
    ),
    bilinear=BilinearConfig(dim=8, blocks=1, decoder=(8, 8)),
    lift_splat=LiftSplatConfig(dim=8, blocks=1, decoder=(8, 8), nearest=2, farthest=20, depths=10),
)


def sized(name: str) -> ModelConfig:
    """The sizes of a small network."""
    return ModelConfig(name, SIZES.backbone, SIZES.sinbevt, SIZES.bilinear, SIZES.lift_splat)


def small(name: str, read: ReadConfig = READ, seed: int = 0) -> BevNetwork:
    """A small network with normalization statistics and embeddings that are not those of the start."""
    torch.manual_seed(seed)
    network = build(sized(name), read, 2)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(part.running_var, 0.5, 2)
    return network


def ring(count: int, read: ReadConfig = READ, batch: int = 1) -> tuple[Tensor, Tensor]:
    """The calibration of cameras that look outwards in equal steps, tilted down by 0.1 and rolled by 0.05 radians."""
    focal = read.width / 2
    intrinsics = torch.tensor([[focal, 0, read.width / 2 - 1], [0, 1.1 * focal, read.height / 2 + 2], [0, 0, 1]])
    poses = []
    for number in range(count):
        yaw = 2 * math.pi * number / count
        pose = torch.eye(4)
        pose[:3, :3] = _about_z(yaw) @ _about_y(0.1) @ _about_x(0.05) @ FORWARD
        pose[:3, 3] = torch.tensor([math.cos(yaw), 0.5 * math.sin(yaw), 1.6])
        poses.append(pose)
    return intrinsics.expand(batch, count, 3, 3).clone(), torch.stack(poses).expand(batch, -1, 4, 4).clone()


FORWARD = torch.tensor([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""Ego axes from the axes of a camera that looks forward."""


def _about_x(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]])


def _about_y(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _about_z(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
