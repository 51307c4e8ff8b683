"""The shift between two dates: known sub-pixel shifts are found, and none where the scene does not show one."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage

from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.coregistration import Coregistration, Shift
from transect.data_adapters.change_detection.maps import ChangeMap, Grid, ScoredStrip, Strip

FINE, BORDER = 4, 24
"""Fine pixels per pixel along a side, and fine pixels around the scene."""

SIZE = 300


def texture(seed: int, size: int = SIZE) -> np.ndarray:
    """Ground in fine pixels, `(3, rows, columns)`: fields and roads with edges over a surface of power 1 / f."""
    rng = np.random.default_rng(seed)
    side = size * FINE + 2 * BORDER
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1
    phases = np.fft.rfft2(rng.standard_normal((side, side)))
    surface = np.fft.irfft2(phases / frequency, (side, side))
    ground = np.repeat(surface[None] / surface.std(), 3, axis=0)
    for _ in range(60 * (size // 100) ** 2):
        top, left = rng.integers(0, side, 2)
        height, width = rng.integers(20, 120, 2)
        ground[:, top : top + height, left : left + width] += rng.normal(0, 1, (3, 1, 1))
    return 100 + 20 * ground


def observed(ground: np.ndarray, columns: float, rows: float, seed: int) -> np.ndarray:
    """The image whose content lies `columns` to the right and `rows` below, in pixels, with noise."""
    x, y = BORDER - round(columns * FINE), BORDER - round(rows * FINE)
    size = ground.shape[1] - 2 * BORDER
    cut = ground[:, y : y + size, x : x + size]
    image = cut.reshape(3, size // FINE, FINE, size // FINE, FINE).mean(axis=(2, 4))
    return (image + np.random.default_rng(seed).normal(0, 1, image.shape)).astype(np.float32)


def estimate(before: np.ndarray, after: np.ndarray, valid: np.ndarray | None = None, rows: int = 70) -> Shift | None:
    valid = np.ones(before.shape[1:], bool) if valid is None else valid
    coregistration = Coregistration(Grid(before.shape[2], before.shape[1], Affine.identity(), None))
    before, after = np.where(valid, before, 0), np.where(valid, after, 0)
    for top in range(0, len(valid), rows):
        part = slice(top, top + rows)
        coregistration.add(Strip(top, before[:, part], after[:, part], valid[part]))
    return coregistration.shift()


def assert_shift(found: Shift | None, columns: float, rows: float, within: float = 0.1) -> None:
    assert found is not None
    assert (found.columns, found.rows) == pytest.approx((columns, rows), abs=within)


@pytest.mark.parametrize("shift", [(0, 0), (0.25, -0.75), (-0.5, 0), (1.5, 0.5), (5.25, -3)])
def test_known_shifts_are_found(shift: tuple[float, float]) -> None:
    ground = texture(1)
    assert_shift(estimate(observed(ground, *shift, 1), observed(ground, 0, 0, 2)), *shift, within=0.03)


def seasonal(image: np.ndarray, seed: int) -> np.ndarray:
    """Another season: bands mixed, tones bent, and light that varies over the scene."""
    rng = np.random.default_rng(seed)
    centred = (image - image.mean(axis=(1, 2), keepdims=True)) / image.std(axis=(1, 2), keepdims=True)
    mixed = np.tensordot(np.eye(3) * rng.uniform(0.6, 1.2) + rng.normal(0, 0.2, (3, 3)), centred, 1)
    light = ndimage.gaussian_filter(rng.standard_normal(image.shape[1:]), 40)
    return ((np.tanh(0.7 * mixed) + 0.2 * mixed**2) * (1 + 0.3 * light / light.std()) * 40 + 400).astype(np.float32)


def patches(share: float, seed: int) -> np.ndarray:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((SIZE, SIZE)), 8)
    return field > np.quantile(field, 1 - share)


@pytest.mark.parametrize("seed", range(3))
def test_light_and_season_do_not_hide_the_shift(seed: int) -> None:
    ground = texture(seed)
    assert_shift(estimate(observed(ground, 0.75, -0.5, 1), seasonal(observed(ground, 0, 0, 2), seed)), 0.75, -0.5)


@pytest.mark.parametrize("seed", range(3))
def test_change_of_a_third_does_not_hide_the_shift(seed: int) -> None:
    ground = texture(seed)
    after = observed(ground, 0, 0, 2)
    after[:, changed] = 30 + observed(texture(seed + 50), 0, 0, 3)[:, changed := patches(0.3, seed)]
    assert_shift(estimate(observed(ground, 0.75, -0.5, 1), after), 0.75, -0.5)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 3, (3, SIZE, SIZE)).astype(np.float32)


SLOPE = np.linspace(0, 80, SIZE, dtype=np.float32)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (np.full((3, SIZE, SIZE), 7, np.float32), np.full((3, SIZE, SIZE), 7, np.float32)),
        (np.full((3, SIZE, SIZE), 7, np.float32), noise(1)),
        (noise(1), noise(2)),
        (noise(1) + SLOPE, noise(2) + SLOPE),
        (np.rint(noise(1) / 8 + SLOPE), np.rint(noise(2) / 8 + SLOPE)),
        (np.full((3, SIZE, SIZE), np.inf, np.float32), noise(1)),
        (observed(texture(1), 0, 0, 1), observed(texture(2), 0, 0, 2)),
    ],
    ids=["constant", "constant and noise", "noise", "slope", "quantized slope", "infinite", "unrelated"],
)
def test_nothing_is_found_where_nothing_is(before: np.ndarray, after: np.ndarray) -> None:
    assert estimate(before, after) is None


def test_pixels_without_data_are_no_content() -> None:
    valid = ~patches(0.15, 9)
    ground = texture(1)
    assert estimate(observed(ground, 0, 0, 1), observed(texture(2), 0, 0, 2), valid) is None
    assert estimate(noise(1), noise(2), valid) is None
    assert_shift(estimate(observed(ground, 0.75, -0.5, 1), observed(ground, 0, 0, 2), valid), 0.75, -0.5)
    assert estimate(observed(ground, 0, 0, 1), observed(ground, 0, 0, 2), np.zeros((SIZE, SIZE), bool)) is None


@pytest.mark.parametrize("rows", [1, 17, 300])
def test_the_estimate_does_not_depend_on_the_strips(rows: int) -> None:
    ground = texture(3)
    before, after = observed(ground, 0.75, -0.5, 1), observed(ground, 0, 0, 2)
    assert estimate(before, after, rows=rows) == estimate(before, after)


@pytest.mark.parametrize(("size", "found"), [(63, False), (64, True), (100, True)])
def test_small_scenes_have_an_estimate_from_64_pixels_on(size: int, found: bool) -> None:
    ground = texture(4, size)
    shift = estimate(observed(ground, 0.75, -0.5, 1), observed(ground, 0, 0, 2))
    assert (shift is not None) == found
    if found:
        assert_shift(shift, 0.75, -0.5)


def saved(folder: Path, shift: tuple[float, float]) -> tuple[str, str]:
    """Both dates as GeoTIFFs with pixels of 30 m."""
    ground = texture(5)
    for name, image in (("before", observed(ground, *shift, 1)), ("after", observed(ground, 0, 0, 2))):
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", width=SIZE, height=SIZE, count=3, dtype="uint8",
            crs=CRS.from_epsg(32633), transform=Affine(30, 0, 500_000, 0, -30, 5_000_000),
        ) as file:  # fmt: skip
            file.write(np.clip(np.rint(image), 0, 255).astype(np.uint8))
    return str(folder / "before.tif"), str(folder / "after.tif")


@pytest.mark.parametrize(("shift", "warned"), [((0.75, -1), True), ((0.25, 0.25), False)])
def test_check_and_predict_report_the_shift_and_warn_of_half_a_pixel(
    tmp_path: Path, shift: tuple[float, float], warned: bool
) -> None:
    adapter = ChangeAdapter(ReadConfig())
    (case,) = adapter.cases(*saved(tmp_path, shift))
    scene = adapter.read(case)
    blocks = (ScoredStrip(s.row, np.zeros(s.valid.shape, np.uint8), pixels=s) for s in scene.strips())
    (tmp_path / "out").mkdir()
    written = adapter.write(case, ChangeMap(scene.grid, blocks, 0.5), tmp_path / "out", "test")
    for facts in (adapter.check(case, scene, None), written):
        assert facts["shift_pixels"] == pytest.approx(np.hypot(*shift), abs=0.1)
        columns, rows = (float(part.split()[0]) for part in str(facts["shift"]).split(","))
        assert (columns, rows) == pytest.approx(shift, abs=0.1)
        lines = [line for line in str(facts.get("warnings", "")).split("; ") if "shifted against the second by" in line]
        assert len(lines) == warned
        if warned:
            pixels = float(lines[0].partition(" by ")[2].split()[0])
            metres = float(lines[0].partition("(")[2].split()[0])
            assert metres == pytest.approx(30 / 0.9996 * pixels, abs=0.2)


def test_without_a_crs_the_warning_has_no_metres() -> None:
    grid = Grid(10, 10, Affine.identity(), None)
    (line,) = Shift(0.6, 0.8).warnings(grid)
    assert "by 1.00 pixels: +0.60 columns, +0.80 rows" in line
    assert Shift(0.3, 0.4).warnings(grid) == []
