"""Distortion: what a lens bends lies, after it is removed, where K puts it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.data_adapters.bev.rigs import AT, FORWARD, SIZE, K, camera, discs, frame, misses, save, write_rig
from transect.data_adapters.bev.geometry import pose

POSE = pose(FORWARD, AT)
Array = NDArray[np.float64]


def bend_opencv(point: Array, k: list[float]) -> Array:
    """Where a lens shows a point of the plane at depth 1: radial by k1 to k6, tangential by p1 and p2."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*k, 0, 0, 0, 0)[:8]
    x, y = point
    r = x * x + y * y
    radial = (1 + k1 * r + k2 * r**2 + k3 * r**3) / (1 + k4 * r + k5 * r**2 + k6 * r**3)
    return np.array(
        [x * radial + 2 * p1 * x * y + p2 * (r + 2 * x * x), y * radial + p1 * (r + 2 * y * y) + 2 * p2 * x * y]
    )


def bend_fisheye(point: Array, k: list[float]) -> Array:
    radius = np.hypot(*point)
    angle = np.arctan(radius)
    powers = angle ** np.array([2, 4, 6, 8])
    return np.asarray(point * angle * (1 + powers @ k) / radius)


LENSES = [
    ("opencv", [-0.25, 0.06, 0.004, -0.006]),
    ("opencv", [-0.25, 0.06, 0.004, -0.006, 0.01]),
    ("opencv", [0.2, -0.05, -0.003, 0.002, 0.02, 0.4, -0.05, 0.03]),
    ("fisheye", [-0.05, 0.02, -0.01, 0.002]),
]


@pytest.mark.parametrize(("model", "k"), LENSES)
def test_discs_seen_through_a_lens_come_to_lie_where_k_puts_them(tmp_path: Path, model: str, k: list[float]) -> None:
    bend = bend_fisheye if model == "fisheye" else bend_opencv
    save(tmp_path / "front.png", discs(POSE, K, lambda point: bend(point, k)))
    bent = frame(write_rig(tmp_path, camera()))
    assert max(misses(bent).values()) > 3
    straight = frame(write_rig(tmp_path, camera(distortion={"model": model, "coefficients": k})))
    assert max(misses(straight).values()) < 0.5
    assert np.array_equal(straight.intrinsics, bent.intrinsics)


def test_an_image_of_another_size_is_straightened_with_its_own_k(tmp_path: Path) -> None:
    model, k = LENSES[0]
    matrix = np.array(K) * [[4], [4], [1]]
    matrix[:2, 2] += 1.5  # about the corner
    save(tmp_path / "front.png", discs(POSE, K, lambda point: bend_opencv(point, k)))
    distortion = {"model": model, "coefficients": k}
    given = camera(width=4 * SIZE[0], height=4 * SIZE[1], K=matrix.tolist(), distortion=distortion)
    assert max(misses(frame(write_rig(tmp_path, given))).values()) < 0.5


def white(tmp_path: Path, model: str, k: list[float], focal: float) -> Any:
    """A white image without the distortion: its values, and the angle of each pixel off the axis in degrees."""
    save(tmp_path / "front.png", np.full((SIZE[1], SIZE[0], 3), 255, np.uint8))
    matrix = [[focal, 0, 159.5], [0, focal, 89.5], [0, 0, 1]]
    given = camera(K=matrix, distortion={"model": model, "coefficients": k})
    sample = frame(write_rig(tmp_path, given))
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    return sample, np.degrees(np.arctan(np.hypot(columns - 159.5, rows - 89.5) / focal))


def test_pixels_without_a_source_are_black_and_said_to_be(tmp_path: Path) -> None:
    """Positive k1 moves the corners out of the image that the lens gave."""
    sample, _ = white(tmp_path, "opencv", [0.3, 0, 0, 0, 0], 160)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    x, y = (columns - 159.5) / 160, (rows - 89.5) / 160
    farther = 1 + 0.3 * (x * x + y * y)
    out = (np.abs(x * farther) > 160.6 / 160) | (np.abs(y * farther) > 90.6 / 160)
    assert sample.images[0][out].max() == 0
    assert out.mean() > 0.15
    assert sample.images[0, 89, 159].min() == 255
    share = (np.abs(x * farther) > 159.5 / 160) | (np.abs(y * farther) > 89.5 / 160)
    assert sample.notes == (f"camera front: {share.mean():.0%} of the image is black without distortion",)


def test_where_a_polynomial_turns_back_the_image_is_black_and_not_mirrored(tmp_path: Path) -> None:
    """R (1 - 0.5 r^2) is largest at r = 0.816, 39.2 degrees off the axis."""
    sample, angle = white(tmp_path, "opencv", [-0.5, 0, 0, 0], 160)
    assert sample.images[0][angle > 39.5].max() == 0
    assert sample.images[0][angle < 39].min() == 255


def test_a_fisheye_is_cut_80_degrees_off_its_axis(tmp_path: Path) -> None:
    sample, angle = white(tmp_path, "fisheye", [0, 0, 0, 0], 25)
    assert angle.max() > 81
    assert sample.images[0][angle > 80.05].max() == 0
    assert sample.images[0][angle < 79.95].min() == 255


@pytest.mark.parametrize("model", ["opencv", "fisheye"])
@pytest.mark.parametrize("k", [[1e12] * 4, [-1e12] * 4, [1e300, -1e300, 0, 0]])
def test_absurd_coefficients_give_a_sample_or_a_refusal(tmp_path: Path, model: str, k: list[float]) -> None:
    if abs(k[0]) > 1e15:
        with pytest.raises(ValueError, match="distortion, coefficients"):
            white(tmp_path, model, k, 160)
    else:
        sample, _ = white(tmp_path, model, k, 160)
        assert (sample.images[0].max(-1) == 0).mean() > 0.9
