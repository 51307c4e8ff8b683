"""Dates that are not registered: shifts in training, and a shift of one date in an evaluation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.augment import augment, resampled
from transect.apps.change_detection.config import AugmentConfig, Config, FaultConfig
from transect.apps.change_detection.faults import misregistered, moved
from transect.apps.change_detection.models.config import ModelConfig
from transect.data_adapters.change_detection.phantom import write_phantom
from transect.data_adapters.change_detection.scene import Scene

NONE = AugmentConfig(flip=False, swap_dates=False, blur=False, light=0.0, shift=0.0)


def ramp(height: int = 32, width: int = 40) -> torch.Tensor:
    """Values that grow by 0.01 a column and by 0.005 a row, `(1, 1, height, width)`."""
    return (0.01 * torch.arange(width) + 0.005 * torch.arange(height)[:, None])[None, None]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    write_phantom(tmp_path, 1, 0)
    adapter = ChangeDetection(Config()).adapter
    return adapter.read(adapter.cases(str(tmp_path))[0])


def test_whole_pixels_move_every_value_as_it_is():
    images = torch.rand(2, 3, 32, 40)
    done = resampled(images, None, torch.tensor([[2.0, 0.0], [-1.0, 3.0]]))
    torch.testing.assert_close(done[0, :, :, 2:], images[0, :, :, :-2], atol=1e-5, rtol=0)
    torch.testing.assert_close(done[1, :, 3:, :-1], images[1, :, :-3, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(done[0, :, :, 0], images[0, :, :, 0], atol=1e-5, rtol=0)


def test_parts_of_a_pixel_are_interpolated():
    done = resampled(ramp(), None, torch.tensor([[0.5, -0.25]]))
    inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(done[inside], (ramp() - 0.005 + 0.00125)[inside], atol=3e-4, rtol=0)  # 0.03 pixels


def test_a_factor_enlarges_about_the_centre():
    done = resampled(ramp(), torch.tensor([2.0]))
    centre = ramp().mean()
    halved = ((ramp() - centre) / 2)[..., 4:-4, 4:-4]
    torch.testing.assert_close((done - centre)[..., 4:-4, 4:-4], halved, atol=1e-3, rtol=0)


def test_the_first_date_is_shifted_by_up_to_the_setting_and_nothing_else_is():
    before, label = ramp().repeat(64, 1, 1, 1), torch.randint(0, 2, (64, 32, 40), dtype=torch.uint8)
    torch.manual_seed(0)
    shifted, after, same = augment(before, before, label, replace(NONE, shift=2.0))
    assert torch.equal(after, before)
    assert torch.equal(same, label)
    columns = (before - shifted)[:, 0, 16, 20] / 0.01  # a row counts as half a column
    assert 2.0 < columns.abs().max() <= 3.01
    assert columns.min() < -1 < 1 < columns.max()


def test_the_label_is_enlarged_with_both_dates():
    label = torch.zeros(8, 64, 64, dtype=torch.uint8)
    label[:, 20:44, 20:44] = 1
    label[:, :8] = 255
    images = (label == 1).float()[:, None].repeat(1, 3, 1, 1)
    torch.manual_seed(1)
    before, after, enlarged = augment(images, images, label, replace(NONE, scale=0.4))
    sizes = (enlarged == 1).sum((1, 2)).sqrt() / 24
    assert sizes.min() < 0.9 < 1.1 < sizes.max()
    assert set(enlarged.unique().tolist()) == {0, 1, 255}
    assert torch.equal(before, after)
    assert ((before[:, 0] > 0.5) == (enlarged == 1)).float().mean() > 0.99


def test_settings_are_off_at_zero():
    images = torch.rand(2, 3, 32, 32)
    label = torch.zeros(2, 32, 32, dtype=torch.uint8)
    before, after, same = augment(images, images, label, NONE)
    assert torch.equal(before, images)
    assert torch.equal(after, images)
    assert torch.equal(same, label)


def test_moved_values():
    values = np.array([[10, 20, 40, 80]], np.uint8)
    assert moved(values, 1).tolist() == [[10, 10, 20, 40]]
    assert moved(values, 1).dtype == np.uint8
    assert moved(values, 0.25).tolist() == [[10, 17.5, 35, 70]]
    assert moved(values, 9).tolist() == [[10, 10, 10, 10]]


def dates_of(scene: Scene) -> list[np.ndarray]:
    strips = list(scene.strips())
    return [np.concatenate([getattr(strip, part) for strip in strips], 1) for part in ("before", "after")]


def test_a_scene_is_moved_in_its_first_date_alone(scene):
    (before, after), (shifted, same) = dates_of(scene), dates_of(misregistered(scene, 3))
    assert np.array_equal(shifted[..., 3:], before[..., :-3])
    assert np.array_equal(same, after)
    assert np.array_equal(misregistered(scene, 3).labels(0, 256), scene.labels(0, 256))
    assert misregistered(scene, 0) is scene


def test_missing_pixels_move_with_the_date(scene, monkeypatch):
    hole = np.ones((256, 256), bool)
    hole[100, 100] = False
    monkeypatch.setattr(
        Scene,
        "strips",
        lambda self, original=Scene.strips: (
            replace(strip, valid=hole[strip.row : strip.row + len(strip.valid)]) for strip in original(self)
        ),
    )
    valid = np.concatenate([strip.valid for strip in misregistered(scene, 1.5).strips()])
    assert np.argwhere(~valid).tolist() == [[100, 100], [100, 101], [100, 102]]


def test_the_fault_changes_what_is_predicted(scene):
    torch.manual_seed(0)
    small = Config(ModelConfig(encoder="timm-mobilenetv3_small_minimal_100"), tile=64, overlap=8, precision="fp32")
    model = ChangeDetection(small).model().eval()
    levels = [
        np.concatenate([block.levels for block in ChangeDetection(config).predict(model, scene).blocks])
        for config in (small, replace(small, faults=FaultConfig(1.0)))
    ]
    assert levels[0].shape == levels[1].shape
    assert not np.array_equal(*levels)


@pytest.mark.parametrize("settings", [{"scale": 1.0}, {"shift": -1.0}, {"shift": 17.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=f"augment.{next(iter(settings))}"):
        AugmentConfig(**settings)


def test_a_small_data_set_is_repeated(tmp_path):
    write_phantom(tmp_path, 2, 0)
    app = ChangeDetection(Config(tile=128, tiles_per_epoch=11))
    cases = [case for case in app.adapter.cases(str(tmp_path)) if case.split == "train"]
    tiles = app.dataset(cases)
    assert len(tiles) == 11
    assert np.array_equal(tiles[9]["before"], tiles[1]["before"])
    assert not np.array_equal(tiles[9]["before"], tiles[2]["before"])
    assert len(ChangeDetection(Config(tile=128, tiles_per_epoch=3)).dataset(cases)) == 4
