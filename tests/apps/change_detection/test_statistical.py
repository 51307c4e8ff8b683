"""IR-MAD and change vectors, streamed over a scene, against direct computations on whole arrays."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy import linalg, stats

from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.config import Config
from transect.apps.change_detection.models.build import statistical
from transect.apps.change_detection.models.config import ModelConfig, StatisticalConfig
from transect.apps.change_detection.models.moments import Moments
from transect.apps.change_detection.models.noise import noise_covariance
from transect.apps.change_detection.models.statistical import StatisticalDetector, Variates, level_edges
from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import scene as scenes
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, Strip
from transect.data_adapters.change_detection.scene import Scene

SIDE, BANDS = 96, 3
MIXED = [("irmad", 0.1), ("cva", 0.0)]
"""IR-MAD has a linear transformation between the dates, change vectors a gain in each band."""
Opened = Callable[..., Scene]


def images(seed: int = 0, changed: bool = True, mixed: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Two dates of smooth ground with gain, `mixed` bands, noise, and one patch that changed, float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    parts = np.stack([np.sin(x / 7) * np.cos(y / 11), np.cos(x / 5 + y / 9), np.sin(y / 6)])
    ground = np.tensordot(rng.normal(size=(BANDS, BANDS)), parts, 1)
    before = 1000 + 200 * ground + rng.normal(0, 8, ground.shape)
    after = 400 + 150 * np.tensordot(np.eye(BANDS) + mixed * rng.normal(size=(BANDS, BANDS)), ground, 1)
    after += rng.normal(0, 6, ground.shape)
    if changed:
        after[:, 20:40, 30:60] += np.array([120, -90, 60])[:, None, None]
    return before.astype(np.float32), after.astype(np.float32)


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Writes two dates and opens them as a scene that is read in strips of 16 rows."""

    def write(before: np.ndarray, after: np.ndarray, nodata: float | None = None) -> Scene:
        paths = []
        for name, values in (("before", before), ("after", after)):
            bands, height, width = values.shape
            profile = {"driver": "GTiff", "dtype": values.dtype, "count": bands, "height": height, "width": width}
            profile |= {"crs": "EPSG:32632", "transform": Affine(10, 0, 5e5, 0, -10, 5e6), "blockysize": 8}
            paths.append(str(tmp_path / f"{name}.tif"))
            with rasterio.open(paths[-1], "w", nodata=nodata, **profile) as raster:
                raster.write(values)
        return Scene.open(paths[:1], paths[1:], ReadConfig(bands=list(range(1, len(before) + 1))))

    return write


@pytest.fixture(autouse=True)
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "MOST_ROWS", 16)


def detector(name: str, **settings: float | None) -> StatisticalDetector:
    found = statistical(ModelConfig(name=name, statistical=StatisticalConfig(**settings)))
    assert found is not None
    return found


def levels(model: StatisticalDetector, scene: Scene) -> np.ndarray:
    return np.concatenate([part for _, part in model.levels(scene, model.fit(scene))])


def direct_irmad(before: np.ndarray, after: np.ndarray, noise: float, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Canonical correlations and statistic of Nielsen (2007), from whole arrays and a generalized eigenproblem."""
    x, y = (image.reshape(BANDS, -1).astype(np.float64) for image in (before, after))
    weights = np.ones(x.shape[1])
    for _ in range(iterations):
        covariance = np.cov(np.concatenate([x, y]), aweights=weights, ddof=0)
        means = [np.average(date, axis=1, weights=weights)[:, None] for date in (x, y)]
        xx, xy, yy = covariance[:BANDS, :BANDS], covariance[:BANDS, BANDS:], covariance[BANDS:, BANDS:]
        squared, b = linalg.eigh(xy.T @ np.linalg.inv(xx) @ xy, yy)
        correlations = np.sqrt(squared)
        a = np.linalg.inv(xx) @ xy @ b / correlations
        variates = a.T @ (x - means[0]) - b.T @ (y - means[1])
        variance = np.maximum(2 * (1 - correlations), noise**2 * (b**2).sum(axis=0))
        statistic = (variates**2 / variance[:, None]).sum(axis=0)
        weights = stats.chi2.sf(statistic, BANDS)
    return correlations[::-1], statistic


def direct_cva(before: np.ndarray, after: np.ndarray, noise: float, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of the bands and the statistic, from whole arrays and the inverse of a covariance."""
    x, y = (image.reshape(BANDS, -1).astype(np.float64) for image in (before, after))
    weights = np.ones(x.shape[1])
    for _ in range(iterations):
        means = [np.average(date, axis=1, weights=weights)[:, None] for date in (x, y)]
        covariance = np.cov(np.concatenate([x, y]), aweights=weights, ddof=0)
        spread = np.sqrt(np.diag(covariance))
        difference = (y - means[1]) - (spread[BANDS:] / spread[:BANDS])[:, None] * (x - means[0])
        values, axes = np.linalg.eigh(np.cov(difference, aweights=weights, ddof=0))
        lengths = (axes.T @ difference) ** 2 / np.maximum(values, noise**2)[:, None]
        statistic = lengths.sum(axis=0)
        weights = stats.chi2.sf(statistic, BANDS)
    correlations = np.diag(covariance[:BANDS, BANDS:]) / (spread[:BANDS] * spread[BANDS:])
    return correlations, statistic


@pytest.mark.parametrize(("name", "direct"), [("irmad", direct_irmad), ("cva", direct_cva)])
@pytest.mark.parametrize("noise", [0.01, 60])
def test_the_streamed_iterations_equal_those_on_whole_arrays(name, direct, noise, opened, monkeypatch):
    # The direct computations have noise that is independent between the bands.
    covariance = "transect.apps.change_detection.models.statistical.noise_covariance"
    monkeypatch.setattr(covariance, lambda windows, given: given**2 * np.eye(BANDS))
    before, after = images()
    scene = opened(before, after)
    model = detector(name, noise=noise, iterations=6, tolerance=1e-12)
    fitted = model.fit(scene)
    correlations, statistic = direct(before, after, noise, 6)
    assert fitted.variates.correlations == pytest.approx(correlations, abs=1e-6)
    streamed = np.concatenate([fitted.variates.statistic(_stacked(strip)) for strip in scene.strips()])
    assert np.abs(streamed / statistic - 1).max() < 1e-6


def _stacked(strip: Strip) -> np.ndarray:
    return np.concatenate([strip.before[:, strip.valid], strip.after[:, strip.valid]]).astype(np.float64)


def test_moments_equal_those_of_numpy_far_from_zero():
    rng = np.random.default_rng(2)
    pixels, weights = 1e6 + rng.normal(size=(4, 1000)), rng.random(1000)
    moments = Moments(np.full(4, 1e6))
    for part in np.array_split(np.arange(1000), 7):
        moments.add(pixels[:, part], weights[part])
    assert moments.mean == pytest.approx(np.average(pixels, axis=1, weights=weights), abs=1e-9)
    expected = np.cov(pixels - 1e6, aweights=weights, ddof=0)
    assert np.abs(moments.covariance - expected).max() < 1e-12


@pytest.mark.parametrize("variates", [1, 3, 7])
def test_a_level_is_reached_exactly_at_its_probability(variates):
    edges = level_edges(variates)
    assert stats.chi2.sf(edges[LEVELS // 2 - 1], variates) == pytest.approx(1e-3, rel=1e-9)
    assert stats.chi2.sf(edges[-1], variates) == pytest.approx(1e-6, rel=1e-9)
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize("name", ["irmad", "cva"])
def test_pixels_at_the_significance_have_the_threshold_and_those_just_above_it_do_not(name, opened, monkeypatch):
    scene = opened(*images(changed=False))
    model = detector(name)
    fitted = model.fit(scene)
    edge = level_edges(BANDS)[LEVELS // 2 - 1]
    for factor, expected in ((1 + 1e-9, LEVELS // 2), (1 - 1e-9, LEVELS // 2 - 1)):
        statistic = lambda variates, pixels, value=edge * factor: np.full(pixels.shape[1], value)  # noqa: E731
        monkeypatch.setattr(Variates, "statistic", statistic)
        found = np.concatenate([part for _, part in model.levels(scene, fitted)])
        assert (found == expected).all()


@pytest.mark.parametrize(("name", "mixed"), MIXED)
def test_a_change_is_found_and_little_else(name, mixed, opened):
    found = levels(detector(name), opened(*images(mixed=mixed))) >= LEVELS // 2
    label = np.zeros_like(found)
    label[20:40, 30:60] = True
    assert found[label].mean() > 0.95
    assert found[~label].mean() < 0.005


@pytest.mark.parametrize(("name", "mixed"), MIXED)
def test_without_change_about_one_in_a_thousand_is_significant(name, mixed, opened):
    pairs = [images(seed, changed=False, mixed=mixed) for seed in range(4)]
    shares = [(levels(detector(name), opened(*pair)) >= LEVELS // 2).mean() for pair in pairs]
    assert 0.0003 < np.mean(shares) < 0.004


@pytest.mark.parametrize("name", ["irmad", "cva"])
@pytest.mark.parametrize("steps", [0, 1])
def test_identical_pixels_do_not_make_the_others_significant(name, steps, opened):
    """Where most pixels are identical the correlation is 1, and any difference would be infinitely many deviations."""
    before = np.rint(images()[0]).astype(np.uint16)
    after = before.copy()
    after[:, ::7, ::5] += np.uint16(steps)
    scene = opened(before, after)
    model = detector(name)
    fitted = model.fit(scene)
    assert fitted.variates.correlations == pytest.approx(np.ones(BANDS), abs=1e-4)
    assert not (levels(model, scene) >= LEVELS // 2).any()


@pytest.mark.parametrize("name", ["irmad", "cva"])
def test_a_given_noise_hides_differences_within_it(name, opened):
    before = np.rint(images()[0]).astype(np.uint16)
    after = before.copy()
    after[0, 10:20, 10:20] += 12
    scene = opened(before, after)
    for noise, expected in ((2, 100), (4, 0)):
        assert (levels(detector(name, noise=noise), scene) >= LEVELS // 2).sum() == expected


@pytest.mark.parametrize("name", ["irmad", "cva"])
def test_pixels_without_data_have_no_level_and_no_influence(name, opened):
    before, after = images()
    whole = levels(detector(name, noise=1), opened(before[..., 10:], after[..., 10:]))
    before[..., :10] = after[..., :10] = -9999
    found = levels(detector(name, noise=1), opened(before, after, nodata=-9999))
    assert (found[:, :10] == NODATA).all()
    assert (found[:, 10:] == whole).all()


@pytest.mark.parametrize("name", ["irmad", "cva"])
def test_equal_bands_count_once(name, opened):
    before, after = (np.rint(image).astype(np.uint16)[:1] for image in images())
    once = levels(detector(name), opened(before, after))
    three = levels(detector(name), opened(before.repeat(3, 0), after.repeat(3, 0)))
    assert (abs(three.astype(int) - once) <= 3).all()  # the noise of quantization is that of three bands
    assert len(detector(name).fit(opened(before.repeat(3, 0), after.repeat(3, 0))).variates.variance) == 1


def test_a_step_that_lacks_rank_ends_the_iterations_and_is_named(opened):
    """The second band varies only where everything has changed: without these pixels it is constant."""
    before, after = images(changed=False)
    before[1] = after[1] = 500
    rng = np.random.default_rng(3)
    for image in (before, after):
        image[:, :10, :10] += rng.normal(0, 3000, (BANDS, 10, 10))
    scene = opened(before, after)
    model = detector("irmad", noise=1)
    fitted = model.fit(scene)
    assert "stopped before iteration" in fitted.note
    assert "not full rank" in fitted.note
    found = levels(model, scene) >= LEVELS // 2
    assert found[:10, :10].mean() > 0.9
    assert found[10:].mean() < 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: np.full_like(image, 7), "bands: found none that varies at both dates"),
        (lambda image: image[:, :4, :4], "pixels: found 16 valid in both dates, expected 60 or more"),
    ],
)
def test_scenes_that_say_nothing_are_refused(change, message, opened):
    before, after = map(change, images())
    with pytest.raises(BadInput, match=message):
        detector("irmad").fit(opened(before, after))


def test_the_advice_for_constant_bands_works(opened):
    before, after = images()
    scene = opened(np.full_like(before, 7), after)
    with pytest.raises(BadInput, match=r"use model\.name cva"):
        detector("irmad").fit(scene)
    assert levels(detector("cva"), scene).shape == (SIDE, SIDE)


def test_the_noise_is_that_of_the_difference_and_not_of_the_ground_or_of_changes():
    rng = np.random.default_rng(5)
    ground = images()[0]
    before, after = (ground + rng.normal(0, sigma, ground.shape) for sigma in (3, 4))
    valid = np.ones((SIDE, SIDE), bool)
    noise = noise_covariance([Strip(0, before, after, valid)])
    assert np.sqrt(np.diag(noise)) == pytest.approx([5] * BANDS, rel=0.1)
    after[:, 20:40, 20:40] += 400  # of which only the corners pass, with a sixth
    noise = noise_covariance([Strip(0, before, after, valid)])
    assert (np.sqrt(np.diag(noise)) < 1.1 * 400 / 6 / stats.norm.isf(0.0005)).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_band_that_is_constant_at_one_date_has_the_noise_of_the_other():
    before, after = (image.copy() for image in images(changed=False))
    before[0] = 500
    valid = np.ones((SIDE, SIDE), bool)
    noise, usual = (np.diag(noise_covariance([Strip(0, first, after, valid)])) for first in (before, after))
    assert 0 < noise[0] < np.inf
    assert (usual < 1).all()


def test_the_noise_is_at_least_a_step_of_quantization():
    image = np.rint(images()[0]).astype(np.uint16)
    valid = np.ones((SIDE, SIDE), bool)
    assert noise_covariance([Strip(0, image, image, valid)]) == pytest.approx(np.eye(BANDS))
    coarse = (image // 4 * 4 * 0.25).astype(np.float32)
    assert noise_covariance([Strip(0, coarse, coarse, valid)], given=0) == pytest.approx(np.eye(BANDS))
    assert np.diag(noise_covariance([Strip(0, image, image, valid)], given=3)) == pytest.approx([9] * BANDS)


@pytest.mark.parametrize("name", ["irmad", "cva"])
def test_the_app_maps_a_scene_and_says_how(name, opened):
    scene = opened(*images())
    app = ChangeDetection(Config(model=ModelConfig(name=name)))
    model = app.model()
    assert not list(model.parameters())
    prediction = app.predict(model, scene)
    assert (prediction.threshold, prediction.threshold_level) == (0.5, LEVELS // 2)
    assert "iterations; correlations" in prediction.facts["no_change"]
    found = np.concatenate([block.levels for block in prediction.blocks])
    assert (found == levels(detector(name), scene)).all()
    assert prediction.progress == 1


@pytest.mark.parametrize("cases", [(), ("a pair",)])
def test_training_of_a_model_that_has_nothing_to_learn_is_refused(cases: Sequence[str]):
    with pytest.raises(BadInput, match=r"--model\.name irmad"):
        ChangeDetection(Config(model=ModelConfig(name="irmad"))).fit(cases)
