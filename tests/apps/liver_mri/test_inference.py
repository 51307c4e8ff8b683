"""Prediction of a whole volume: windows, flips and the way back to the volume's own grid."""

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from monai.transforms import NormalizeIntensity
from scipy import ndimage
from torch import Tensor, nn

from transect.apps.liver_mri.inference import Flipped, Windows, average, predict_flips, predict_windows, slabs
from transect.apps.liver_mri.prepare import prepare, prepare_label, working_grid
from transect.data_adapters.base import BadInput
from transect.data_adapters.liver_mri.segmentation import Slab
from transect.data_adapters.volume.phantom import abdomen
from transect.data_adapters.volume.volume import Grid, Volume


class Smoothing(nn.Module):
    """A network whose output depends on the surroundings of a voxel and on its place in the window."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv3d(1, 1, 5, padding=2)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.conv(x) * 3,)


class Itself(nn.Module):
    """Gives the input as logits."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x,)


def nothing(done: float) -> None:
    pass


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(50, 37, 33)).astype(np.float32)


def test_blending_is_the_weighted_mean_of_the_windows(image):
    model, size = Smoothing().eval(), (16, 32, 16)
    found = predict_windows(model, image, Windows(size, 0.5, 3), "fp32", nothing)
    weight = 1.0
    for axis, n in enumerate(size):
        bell = np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2)
        weight = weight * np.maximum(bell, 1e-3).reshape([-1 if other == axis else 1 for other in range(3)])
    total, count = np.zeros(image.shape), np.zeros(image.shape)
    for x in np.round(np.linspace(0, 50 - 16, 6)).astype(int):
        for y in np.round(np.linspace(0, 37 - 32, 2)).astype(int):
            for z in np.round(np.linspace(0, 33 - 16, 4)).astype(int):
                place = np.s_[x : x + 16, y : y + 32, z : z + 16]
                with torch.no_grad():
                    logits = model(torch.from_numpy(image[place])[None, None])[0][0, 0]
                total[place] += logits.numpy() * weight
                count[place] += weight
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-total / count)), atol=2e-5)


def test_blending_is_close_to_that_of_monai(image):
    """MONAI has a lower bound for the weight at the corners of a window, and other places of the last window."""
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 48, 32)), 3).astype(np.float32) * 20
    model, size = Smoothing().eval(), (32, 32, 32)
    found = predict_windows(model, image, Windows(size, 0.5, 3), "fp32", nothing)
    with torch.no_grad():
        volume = torch.from_numpy(image)[None, None]
        logits = sliding_window_inference(volume, size, 1, lambda x: model(x)[0], 0.5, mode="gaussian")
    assert np.abs(found - logits.sigmoid()[0, 0].numpy()).mean() < 0.01


@pytest.mark.parametrize("size", [(16, 32, 16), (32, 32, 32), (96, 96, 64)])
def test_blending_of_a_pointwise_network_is_the_network(image, size):
    found = predict_windows(Itself().eval(), image, Windows(size, 0.25, 2), "fp32", nothing)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-image)), atol=1e-6)


def test_progress_grows_to_one(image):
    seen: list[float] = []
    predict_flips(Itself().eval(), image, Windows((32, 32, 32), 0.25, 1), "xy", "fp32", seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)


def test_flips_are_the_mean_of_the_flipped_predictions(image):
    model, windows = Smoothing().eval(), Windows((64, 64, 64), 0.25, 1)
    maps = predict_flips(model, image, windows, "xz", "fp32", nothing)
    each = [
        np.flip(predict_windows(model, np.flip(image, flip), windows, "fp32", nothing), flip)
        for flip in ((), (0,), (2,), (0, 2))
    ]
    np.testing.assert_allclose(maps.mean, np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_array_equal(maps.lowest, np.min(each, axis=0))
    np.testing.assert_array_equal(maps.highest, np.max(each, axis=0))
    assert maps.lowest.mean() < maps.highest.mean() - 1e-3


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "SLA"])
@pytest.mark.parametrize("spacing", [(), (3.0, 3.0, 4.0)])
def test_a_label_goes_to_the_working_grid_and_back_whole(orientation, spacing):
    case = abdomen(np.random.default_rng(1), (40, 36, 20), (6.0, 6.0, 8.0), orientation)
    working = working_grid(case.grid, spacing)
    assert working.orientation == "RAS"
    label = prepare_label(case.liver, case.grid, spacing)
    assert label.shape == working.shape
    parts = list(slabs(Flipped(label.astype(np.float32)), working, case.grid, bool(spacing), "case"))
    back = np.concatenate([slab.probability for slab in parts], axis=2) >= 0.5
    overlap = 2 * (back & (case.liver == 1)).sum() / (back.sum() + case.liver.sum())
    assert overlap == 1 if not spacing else overlap > 0.985


def test_slabs_cover_a_volume_of_many_slices_in_order(monkeypatch):
    monkeypatch.setattr("transect.apps.liver_mri.inference.SLAB", 7 * 6 * 2)
    grid = Grid((7, 6, 5), np.eye(4))
    values = np.random.default_rng(0).random((7, 6, 5)).astype(np.float32)
    parts = list(slabs(Flipped(values), grid, grid, True, "case"))
    assert [slab.start for slab in parts] == [0, 2, 4]
    np.testing.assert_allclose(np.concatenate([slab.probability for slab in parts], axis=2), values, atol=1e-6)


def test_probabilities_that_are_not_finite_are_refused():
    grid = Grid((3, 3, 3), np.eye(4))
    with pytest.raises(BadInput, match="not finite"):
        list(slabs(Flipped(np.full((3, 3, 3), np.nan, np.float32)), grid, grid, True, "case"))


def test_normalization_is_that_of_monai():
    case = abdomen(np.random.default_rng(2), (30, 30, 12))
    case.values[:3] = 0  # padding stays zero
    image, _ = prepare(Volume(case.values, case.grid), ())
    expected = NormalizeIntensity(nonzero=True)(case.values[::-1, ::-1].astype(np.float32))
    np.testing.assert_allclose(image, expected, atol=2e-5)
    assert (image[-3:] == 0).all()


def test_constant_and_empty_volumes_are_finite():
    for value in (0, 7):
        image, _ = prepare(Volume(np.full((4, 4, 4), value, np.int16), Grid((4, 4, 4), np.eye(4))), ())
        assert (image == 0).all()


def test_an_ensemble_has_the_mean_and_the_range_of_its_members():
    first, second = (np.full((2, 2, 1), value, np.float32) for value in (0.2, 0.8))
    members = [iter([Slab(0, first)]), iter([Slab(0, second, second - 0.1, second + 0.1)])]
    (slab,) = average(members)
    assert slab.probability.ravel() == pytest.approx(0.5)
    assert slab.lowest is not None
    assert slab.lowest.ravel() == pytest.approx(0.2)
    assert slab.highest is not None
    assert slab.highest.ravel() == pytest.approx(0.9)
