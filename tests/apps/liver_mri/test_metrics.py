"""Metrics of liver masks against MONAI's, against numbers computed by hand, and with empty masks."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric

from transect.apps.liver_mri.charts import charts
from transect.apps.liver_mri.metrics import LiverMetric
from transect.apps.liver_mri.surface import surface_scores
from transect.data_adapters.base import BadInput
from transect.data_adapters.liver_mri.segmentation import Segmentation, Slab
from transect.data_adapters.volume.cases import Label, LabelledVolume
from transect.data_adapters.volume.volume import Grid, Volume
from transect.pipelines.evaluate import bootstrap

METRIC = LiverMetric()


def contribution(prediction, label, grid=None, postprocess=lambda mask: mask):
    """What a case adds, of masks `(X, Y, Z)`; voxels of 1 mm by default."""
    grid = grid or Grid(prediction.shape, np.eye(4))
    volume = Volume(np.zeros(prediction.shape, np.float32), grid, "scan.nii.gz", "MR")
    slabs = iter([Slab(0, prediction.astype(np.float32))])
    return METRIC.contribution(
        Segmentation(volume, slabs, postprocess=postprocess),
        LabelledVolume(volume, lambda: Label(label.astype(np.uint8))),
    )


def cube(start: int, stop: int, size: int = 12) -> np.ndarray:
    mask = np.zeros((size,) * 3, np.uint8)
    mask[(slice(start, stop),) * 3] = 1
    return mask


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray, Grid]:
    """A label of two blobs that may reach the border of the volume, a prediction near it, and a turned grid."""
    rng = np.random.default_rng(seed)
    spacing = rng.uniform(0.7, 4, 3)
    shape = tuple(int(size) for size in rng.integers(14, 26, 3))
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * spacing
    masks = []
    centres, radii = rng.uniform(0.2, 0.8, (2, 3)) * shape * spacing, rng.uniform(0.15, 0.4, (2, 3)) * shape * spacing
    for moved in (0.0, 1.5):
        ellipsoids = [
            (((places - centre - rng.normal(0, moved or 1e-9, 3)) / radius) ** 2).sum(-1) <= 1
            for centre, radius in zip(centres, radii, strict=True)
        ]
        masks.append(np.logical_or(*ellipsoids).astype(np.uint8))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * spacing, rng.normal(0, 100, 3)
    return masks[1], masks[0], Grid(shape, affine)


@pytest.mark.parametrize("seed", range(6))
def test_the_numbers_are_those_of_monai(seed):
    prediction, label, grid = blobs(seed)
    found = METRIC.summary([contribution(prediction, label, grid)])
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, label)]
    expected = {
        "dice": DiceMetric()(*pair),
        "hd95_mm": HausdorffDistanceMetric(percentile=95)(*pair, spacing=grid.spacing),
        "assd_mm": SurfaceDistanceMetric(symmetric=True)(*pair, spacing=grid.spacing),
        "nsd_2mm": SurfaceDiceMetric([2.0])(*pair, spacing=grid.spacing),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=2e-6), name
    assert 0.3 < found["dice"] < 0.99
    assert found["hd95_mm"] > 0.5


def test_two_cubes_by_hand():
    # 8 x 8 x 8 and 6 x 6 x 6 voxels in it, one voxel in from each side.
    found = METRIC.summary([contribution(cube(2, 10), cube(3, 9), Grid((12, 12, 12), np.diag([2.0, 2.0, 2.0, 1])))])
    assert found["dice"] == pytest.approx(2 * 216 / (512 + 216))
    assert found["jaccard"] == found["precision"] == pytest.approx(216 / 512)
    assert found["recall"] == 1
    # The outer surface: 6 faces of 36 voxels 2 mm away, 12 edges of 6 at sqrt(2) steps, 8 corners at sqrt(3).
    inner, faces, edges, corners = 216 - 64, 6 * 36, 12 * 6, 8
    total = inner + faces + edges + corners
    assert found["assd_mm"] == pytest.approx(2 * (inner + faces + edges * 2**0.5 + corners * 3**0.5) / total)
    assert found["hd95_mm"] == pytest.approx(2 * 2**0.5)
    assert found["nsd_2mm"] == pytest.approx((inner + faces) / total)
    assert found["volume_difference_ml"] == pytest.approx((512 - 216) * 8 / 1000)
    assert found["volume_error_percent"] == pytest.approx(100 * (512 - 216) / 216)


def test_distances_follow_uneven_slices():
    positions = np.stack([np.zeros(4), np.zeros(4), [0.0, 3, 5, 13]], axis=-1)
    grid = Grid((5, 5, 4), np.diag([1, 1, 13 / 3, 1]), positions)
    masks = np.zeros((2, 5, 5, 4), np.uint8)
    masks[0, 2, 2, 3] = masks[1, 2, 2, 2] = 1
    assert surface_scores(masks[0], masks[1], grid, 2.0) == pytest.approx((8, 8, 0))


def test_a_tolerance_holds_on_an_affine_of_single_precision():
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    grid = Grid((12, 12, 12), (affine * [2, 2, 2, 1]).astype(np.float32).astype(float))
    assert surface_scores(cube(3, 9), np.roll(cube(3, 9), 1, axis=0), grid, 2.0).nsd == 1


def test_post_processing_is_scored_with_and_without():
    prediction, label = cube(2, 10), cube(2, 10)
    prediction[5, 5, 5], prediction[0, 0, 0] = 0, 1
    raw = 2 * 511 / (512 + 512)
    found = METRIC.summary([contribution(prediction, label)])
    assert (found["dice"], found["dice_raw"], found["dice_postprocessed"]) == (raw, raw, 1)
    found = METRIC.summary([contribution(prediction, label, postprocess=lambda mask: mask * 0)])
    assert (found["dice"], found["dice_raw"], found["dice_postprocessed"]) == (0, raw, 1)


EMPTY = cube(0, 0)
AGREEMENT = ("dice", "jaccard", "precision", "recall", "nsd_2mm", "dice_raw", "dice_postprocessed")


def test_two_empty_masks_agree():
    found = METRIC.summary([contribution(EMPTY, EMPTY)])
    assert {found[name] for name in AGREEMENT} == {1}
    assert {found[name] for name in ("hd95_mm", "assd_mm", "volume_difference_ml", "volume_error_percent")} == {0}
    assert (found["one_empty_cases"], found["both_empty_cases"]) == (0, 1)


@pytest.mark.parametrize(("prediction", "label"), [(EMPTY, cube(3, 6)), (cube(3, 6), EMPTY)])
def test_an_empty_mask_is_infinitely_far_from_another(prediction, label):
    case = contribution(prediction, label)
    assert case["hd95_mm"] == case["assd_mm"] == math.inf
    found = METRIC.summary([case])
    assert {found[name] for name in AGREEMENT} == {0}
    assert math.isnan(found["hd95_mm"])
    assert abs(found["volume_difference_ml"]) == pytest.approx(0.027)
    assert (found["one_empty_cases"], found["both_empty_cases"]) == (1, 0)


def test_infinite_distances_are_counted_and_not_averaged():
    cases = [contribution(cube(2, 10), cube(3, 9)), contribution(EMPTY, cube(3, 9)), contribution(cube(3, 9), EMPTY)]
    alone, together = METRIC.summary(cases[:1]), METRIC.summary(cases)
    assert together["hd95_mm"] == alone["hd95_mm"] > 0
    assert together["volume_error_percent"] == pytest.approx((alone["volume_error_percent"] + 100) / 2)
    assert together["dice"] == pytest.approx(alone["dice"] / 3)
    assert together["one_empty_cases"] == 2
    json.dumps(together, allow_nan=False)


def test_weights_count_cases():
    cases = [contribution(cube(2, 10), cube(3, 9)), contribution(EMPTY, EMPTY), contribution(EMPTY, cube(3, 9))]
    weighted = METRIC.summary(cases, np.array([2.0, 1, 0]))
    assert weighted == pytest.approx(METRIC.summary([cases[0], cases[0], cases[1]]))
    intervals = bootstrap(METRIC, ["a", "b", "c"], cases)
    assert intervals["dice"] == (0, 1)
    assert set(intervals) == set(weighted)
    assert all(math.isfinite(bound) for interval in intervals.values() for bound in interval)


def test_no_cases_have_no_means():
    summary = METRIC.summary([])
    assert METRIC.monitor in summary
    assert math.isnan(summary["dice"])


def test_a_case_without_a_label_names_its_file(tmp_path: Path):
    volume = Volume(np.zeros((4, 4, 4)), Grid((4, 4, 4), np.eye(4)), str(tmp_path / "scan.nii.gz"))
    with pytest.raises(BadInput, match=r"scan\.nii\.gz: label: found none"):
        METRIC.contribution(Segmentation(volume, iter([])), LabelledVolume(volume))


def test_charts_of_all_kinds_of_cases():
    cases = [contribution(cube(2, 10), cube(3, 9)), contribution(EMPTY, cube(3, 9)), contribution(EMPTY, EMPTY)]
    for count in (1, 2, 3):
        pictures = charts(cases[:count])
        assert {picture.shape for picture in pictures.values()} == {(640, 960, 3)}
        assert all(np.ptp(picture) > 100 for picture in pictures.values())
    assert charts([]) == {}
