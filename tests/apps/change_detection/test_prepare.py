"""Pixel values become the network's input: ranges, limits of the scene and of the training data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from torch import Tensor, nn

from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.config import Config, State
from transect.apps.change_detection.prepare import network_input, normalise, to_unit, value_limits
from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.pairs import Pair
from transect.data_adapters.change_detection.product import Product
from transect.data_adapters.change_detection.scene import Scene

SIDE = 128
GREY = ReadConfig(bands=[1])


def write(path: Path, values: np.ndarray) -> str:
    profile = {"driver": "GTiff", "dtype": values.dtype, "count": len(values), "height": SIDE, "width": SIDE}
    with rasterio.open(path, "w", crs="EPSG:32632", transform=Affine(10, 0, 5e5, 0, -10, 5e6), **profile) as raster:
        raster.write(values)
    return str(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[float, type], Scene]:
    """Flat ground with a bright patch at the second date, as 0..255 times a factor."""

    def opened(factor: float, dtype: type) -> Scene:
        ground = np.clip(110 + np.random.default_rng(0).normal(0, 4, (3, SIDE, SIDE)), 0, 255)
        changed = ground.copy()
        changed[:, 60:100, 60:100] = 245
        paths = [
            write(tmp_path / f"{name}.tif", (values * factor).astype(dtype))
            for name, values in (("before", ground), ("after", changed))
        ]
        return Scene.open(paths[:1], paths[1:], ReadConfig())

    return opened


class Difference(nn.Module):
    """Scores the difference of the normalised images: 1 for a fifth of the range of 0..1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def score(self, before: Tensor, after: Tensor) -> Tensor:
        return (abs(after - before).mean(dim=1) * 0.225 / 0.2).clamp(0, 1)


def found(app: ChangeDetection, scene: Scene) -> float:
    """The share of the patch that is marked."""
    prediction = app.predict(Difference(), scene)
    levels = np.concatenate([block.levels for block in prediction.blocks])
    return float((levels[60:100, 60:100] >= prediction.threshold_level).mean())


@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.float32), (5, np.uint16)])
def test_the_input_in_one_pass_is_that_of_the_steps(channels, dtype):
    rng = np.random.default_rng(0)
    values, valid = (rng.random((2, channels, 40, 50)) * 250).astype(dtype), rng.random((2, 40, 50)) < 0.9
    valid[1] = True
    limits = np.stack([rng.random(channels) * 50, 100 + rng.random(channels) * 50], 1).astype(np.float32)
    made = network_input(values, valid, limits)
    expected = normalise(torch.from_numpy(to_unit(values, valid, limits)))
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(made, expected, rtol=0, atol=2e-6)


def test_without_a_stretch_dark_values_of_a_wide_type_are_named_and_the_advice_works(pictures):
    app = ChangeDetection(Config(stretch="none", precision="fp32"))
    assert app.compare(pictures(1, np.uint8)) == []
    assert found(app, pictures(1, np.uint8)) == 1
    dark = pictures(4000 / 255, np.uint16)
    assert found(app, dark) == 0
    lines = app.compare(dark)
    assert [line.partition(":")[0] for line in lines] == ["before", "after"]
    assert "99.9 % of the values are at most 3843, which stretch none divides by 65535" in lines[1]
    assert lines[1].endswith("set --stretch robust")
    advised = ChangeDetection(Config(stretch="robust", precision="fp32"))
    assert advised.compare(dark) == []
    assert found(advised, dark) == 1


@pytest.mark.parametrize(("stretch", "dates"), [("none", ["before", "after"]), ("robust", [])])
def test_a_training_without_a_stretch_names_dark_values(pictures, stretch, dates, caplog):
    scene = pictures(4000 / 255, np.uint16)
    pair = Pair("one", "one", before=scene.before, after=scene.after, label=scene.after[0])
    ChangeDetection(Config(stretch=stretch)).fit([pair])
    starts = [record.message.split(": ")[:2] for record in caplog.records]
    assert starts == [["training pair one", date] for date in dates]
    assert all("which stretch none divides by 65535" in record.message for record in caplog.records)


def test_reflectance_maps_0_to_1_without_a_stretch(pictures):
    scene = pictures(1 / 255, np.float32)
    assert (value_limits(scene, "none") == np.tile(np.float32([0, 1]), (2, 3, 1))).all()
    app = ChangeDetection(Config(stretch="none", precision="fp32"))
    assert app.compare(scene) == []
    assert found(app, scene) == 1


def test_limits_of_the_training_data_are_found_and_used(tmp_path, pictures):
    scene = pictures(1, np.uint8)
    pair = Pair("pair", "pair", before=scene.before, after=scene.after, label=scene.after[0])
    app = ChangeDetection(Config(stretch="training"))
    state = app.fit([pair])
    fitted = ChangeDetection(Config(stretch="training"), state)
    brighter = pictures(1.5, np.uint16)
    limits = value_limits(brighter, "training", state.limits)
    assert limits == pytest.approx(value_limits(pictures(1, np.uint8), "robust"), abs=1)
    assert found(fitted, pictures(1, np.uint8)) == 1


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (State(), "with limits of 0 bands in the model's state, expected limits of 3; set stretch robust, or train"),
        (State(limits=(((0.0, 1.0),), ((0.0, 1.0),))), "with limits of 1 bands in the model's state, expected"),
    ],
)
def test_limits_that_the_training_data_did_not_give_are_asked_for(state, message, pictures):
    with pytest.raises(BadInput, match=message):
        ChangeDetection(Config(stretch="training"), state).predict(Difference(), pictures(1, np.uint8))


def test_a_sensor_bands_and_units_that_the_training_data_did_not_have_are_named(tmp_path):
    paths = [write(tmp_path / f"{name}.tif", np.ones((1, SIDE, SIDE), np.uint16)) for name in "ab"]
    landsat = Product("Landsat 8-9", ("red",), (1,), (2e-5,), (-0.1,))
    scene = Scene.open(paths[:1], paths[1:], GREY, products=(landsat, landsat))
    known = State(sensors=("Landsat 8-9",), bands=("red",), units=("reflectance",))
    assert ChangeDetection(Config(read=GREY), known).compare(scene) == []
    other = State(sensors=("Sentinel-2",), bands=("nir",), units=("raw",))
    assert ChangeDetection(Config(read=GREY), other).compare(scene) == [
        "sensor Landsat 8-9, in the training data Sentinel-2",
        "bands red, in the training data nir",
        "values that are reflectance, in the training data raw",
    ]


@pytest.mark.parametrize("share", [0.025, 0.05, 0.1])
def test_clouds_over_flat_ground_do_not_mark_the_ground(share, tmp_path):
    """A model that looks at differences: what it sees of the ground is the same at both dates."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:SIDE, :SIDE]
    ground = (8000 + 120 * np.sin(x / 9) * np.cos(y / 13) + 60 * rng.normal(size=(SIDE, SIDE)))[None].astype(np.uint16)
    clouded, rows = ground.copy(), round(share * SIDE)
    clouded[:, :rows] = 30_000
    paths = [write(tmp_path / f"{name}.tif", image) for name, image in (("a", ground), ("b", clouded))]
    scene = Scene.open(paths[:1], paths[1:], GREY)
    marked = {}
    for stretch in ("robust", "percentile"):
        app = ChangeDetection(Config(stretch=stretch, read=GREY, precision="fp32"))
        prediction = app.predict(Difference(), scene)
        levels = np.concatenate([block.levels for block in prediction.blocks])
        marked[stretch] = (levels[rows:] >= prediction.threshold_level).mean()
    assert marked["robust"] == 0
    assert marked["percentile"] > 0.5 or share < 0.03
