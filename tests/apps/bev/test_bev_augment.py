"""Augmentation keeps images, calibrations and labels consistent."""

import numpy as np
import pytest
import torch

from tests.apps.bev.frames import GRID, frame, labels
from transect.apps.bev.augment import augment, mirrored, relit, with_dropped
from transect.apps.bev.config import AugmentConfig
from transect.apps.bev.dataset import padded, with_labels


@pytest.fixture
def batch():
    sample = frame(found=labels({(10, 11, 4, 7): 3, (30, 31, 20, 22): 1}))
    values = {name: torch.from_numpy(array)[None] for name, array in padded(with_labels(sample, ["vehicle"])).items()}
    values = {name: value[:, :3] if value.shape[1] == 8 else value for name, value in values.items()}
    values["images"] = values["images"].float() / 255
    values["known"] = torch.ones(1, GRID.height, GRID.width, dtype=torch.bool)
    values["intrinsics"][..., 0, 1] = 1.7  # a skew
    return values


def projected(values, points):
    """Pixels `(views, points, 2)` of ego points, NaN behind the camera."""
    k, pose = values["intrinsics"][0].double(), values["camera_to_ego"][0].double()
    seen = torch.linalg.inv(pose) @ torch.cat([points, torch.ones(len(points), 1)], 1).double().T
    pixels = k @ seen[:, :3]
    return torch.where(pixels[:, 2:] > 0.1, pixels[:, :2] / pixels[:, 2:], torch.nan).transpose(1, 2)


def test_a_mirrored_point_is_seen_at_the_mirrored_pixel(batch):
    points = torch.tensor([[8.0, 3.0, 0.5], [-6.0, -9.0, 1.0], [2.0, 7.0, 0.0]])
    other, width = mirrored(batch), batch["images"].shape[-1]
    before, after = projected(batch, points), projected(other, points * torch.tensor([1, -1, 1]))
    assert torch.isfinite(before[..., 0]).sum() >= 4
    torch.testing.assert_close(after[..., 0], width - 1 - before[..., 0], equal_nan=True, atol=1e-4, rtol=0)
    torch.testing.assert_close(after[..., 1], before[..., 1], equal_nan=True, atol=1e-4, rtol=0)
    for view, column, row in ((0, 5, 7), (2, 40, 3)):
        assert torch.equal(
            other["images"][0, view, :, row, width - 1 - column], batch["images"][0, view, :, row, column]
        )
    rotation = other["camera_to_ego"][0, :, :3, :3]
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(3))
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(3, 3, 3))


def test_a_mirrored_label_lies_at_the_mirrored_point_of_the_ground(batch):
    """Pixels are indices: the vehicle stands at column W / 2, so that column j moves to W - j."""
    other = mirrored(batch)
    inverse = np.linalg.inv(GRID.matrix)
    for row, column in np.argwhere(batch["masks"][0, 0].numpy()):
        x, y, _ = inverse @ (column, row, 1)
        there = GRID.matrix @ (x, -y, 1)
        assert other["masks"][0, 0, int(there[1]), int(there[0])] == 1
        assert other["visibility"][0, int(there[1]), int(there[0])] == batch["visibility"][0, row, column]
    assert other["masks"].sum() == batch["masks"].sum()
    assert torch.equal(other["center"][0, 10, 35], batch["center"][0, 10, 5])
    assert not other["known"][0, :, 0].any()
    assert other["known"][0, :, 1:].all()


def test_mirroring_twice_changes_nothing_but_the_first_column(batch):
    again = mirrored(mirrored(batch))
    for name in ("images", "intrinsics", "camera_to_ego"):
        torch.testing.assert_close(again[name], batch[name])
    for name in ("masks", "visibility", "center"):
        assert torch.equal(again[name][..., 1:], batch[name][..., 1:])


def test_about_half_of_the_samples_are_mirrored_with_all_they_have(batch):
    torch.manual_seed(0)
    many = {name: values.expand(64, *values.shape[1:]) for name, values in batch.items()}
    changed = augment(many, AugmentConfig(drop_views=0, mirror=True, light=0))
    turned = ~changed["known"][:, 0, 0]
    assert 20 < turned.sum() < 44
    for name, values in mirrored(batch).items():
        assert torch.equal(changed[name][turned], values.expand_as(changed[name][turned]))
        assert torch.equal(changed[name][~turned], batch[name].expand_as(changed[name][~turned]))


def test_every_sample_keeps_a_view_and_no_padding_becomes_one():
    torch.manual_seed(0)
    present = torch.arange(6) < torch.randint(1, 7, (500, 1))
    for share in (0.3, 0.99):
        left = with_dropped(present, torch.rand(500, 6), share)
        assert left.any(dim=1).all()
        assert not (left & ~present).any()
    left = with_dropped(torch.ones(2000, 6, dtype=torch.bool), torch.rand(2000, 6), 0.3)
    assert 0.68 < left.float().mean() < 0.72


def test_light_changes_each_view_by_itself_and_within_limits(batch):
    torch.manual_seed(0)
    images = batch["images"] * 0.5 + 0.2
    changed = relit(images, 0.2)
    ratio = changed.mean(dim=(2, 3, 4)) / images.mean(dim=(2, 3, 4))
    assert ratio.std() > 0.01
    assert ((ratio > 0.75) & (ratio < 1.25)).all()
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_augmentation_follows_the_generator_of_torch(batch):
    config, made = AugmentConfig(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(augment(batch, config)["images"])
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
