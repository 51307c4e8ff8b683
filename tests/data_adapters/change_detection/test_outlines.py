"""Generalized polygons: areas and tolerances are those on the ground, and every polygon stays valid."""

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS

from transect.data_adapters.change_detection.config import PolygonsConfig
from transect.data_adapters.change_detection.geodesy import geodesic_areas
from transect.data_adapters.change_detection.maps import ChangeMap, Grid, ScoredStrip
from transect.data_adapters.change_detection.outlines import generalized
from transect.data_adapters.change_detection.polygons import Patches, patches
from transect.data_adapters.change_detection.write import write_change_map

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
FEET = Affine(10, 0, 1_000_000, 0, -10, 200_000)
DEGREES = Affine(0.001, 0, 10, 0, -0.001, 60.05)


def collect(changed: np.ndarray, crs: int | None = 32633, transform: Affine = UTM, **chosen: float) -> Patches:
    grid = Grid(changed.shape[1], len(changed), transform, CRS.from_epsg(crs) if crs else None)
    stream = patches([(0, changed.astype(np.uint8) * 200)], 100)
    parts = list(generalized(stream, grid, PolygonsConfig(**chosen)))
    return Patches(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("polygons", "pixels", "level_sums"))
    )


def rings() -> np.ndarray:
    """Patches of 4 and 9 pixels, and one of 20 x 20 with holes of 4 and 16 pixels."""
    changed = np.zeros((60, 60), bool)
    changed[2:4, 2:4] = changed[10:13, 2:5] = changed[30:50, 30:50] = True
    changed[32:34, 32:34] = changed[40:44, 40:44] = False
    return changed


def test_the_smallest_area_is_on_the_ground() -> None:
    assert collect(rings(), min_area_m2=899).pixels.tolist() == [9, 380]
    assert collect(rings(), min_area_m2=901).pixels.tolist() == [380]
    # 0.001 degrees are 111.4 m along the meridian and 55.8 m along the parallel of 60 degrees.
    assert collect(rings(), 4326, DEGREES, min_area_m2=4 * 6150).pixels.tolist() == [4, 9, 380]
    assert collect(rings(), 4326, DEGREES, min_area_m2=4 * 6300).pixels.tolist() == [9, 380]
    assert collect(rings(), None, min_area_m2=9).pixels.tolist() == [9, 380]


def test_small_holes_are_filled_and_count_for_the_smallest_area() -> None:
    found = collect(rings(), fill_holes_m2=500)
    assert shapely.area(found.polygons).tolist() == [4, 9, 384]
    assert found.pixels.tolist() == [4, 9, 380]
    assert shapely.area(collect(rings(), fill_holes_m2=1700).polygons).tolist() == [4, 9, 400]
    assert len(collect(rings(), fill_holes_m2=1700, min_area_m2=39_900).polygons) == 1
    assert len(collect(rings(), min_area_m2=39_900).polygons) == 0
    assert shapely.area(collect(rings(), None, fill_holes_m2=5).polygons).tolist() == [4, 9, 384]


def staircase() -> np.ndarray:
    return np.tri(40, 40, dtype=bool)


@pytest.mark.parametrize(
    ("crs", "transform", "pixel"), [(32633, UTM, 10), (None, UTM, 1), (4326, DEGREES, 55.8), (2263, FEET, 3.048)]
)
def test_outlines_are_simplified_to_a_distance_on_the_ground(crs: int | None, transform: Affine, pixel: float) -> None:
    before = collect(staircase(), crs, transform).polygons
    # The corners of the staircase lie within 0.71 pixels of its diagonal, 0.9 of the shorter side where it is half.
    reach = 0.91 if crs == 4326 else 0.72
    coarse = collect(staircase(), crs, transform, simplify_m=reach * pixel).polygons
    fine = collect(staircase(), crs, transform, simplify_m=0.4 * pixel).polygons
    assert shapely.get_num_coordinates(before)[0] > 80
    assert shapely.get_num_coordinates(coarse)[0] <= 6
    assert shapely.get_num_coordinates(fine)[0] > 40
    assert shapely.hausdorff_distance(before, coarse)[0] <= 1
    assert shapely.area(coarse)[0] == pytest.approx(800, abs=41)


@given(arrays(bool, (14, 14)), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
@settings(max_examples=60, deadline=None)
def test_generalized_polygons_are_valid(changed: np.ndarray, tolerance: float) -> None:
    found = collect(changed, None, simplify_m=tolerance, fill_holes_m2=3)
    assert shapely.is_valid(found.polygons).all()
    assert (shapely.area(found.polygons) > 0).all()
    assert len(found.polygons) == len(collect(changed, None).polygons)


def test_the_written_area_is_that_of_the_written_polygon_and_the_mask_stays(tmp_path) -> None:
    levels = np.where(rings(), 150, 20).astype(np.uint8)
    levels[:40, 12:52][staircase()] = 150
    grid = Grid(60, 60, UTM, CRS.from_epsg(32633))
    chosen = PolygonsConfig(min_area_m2=1000, fill_holes_m2=500, simplify_m=8)
    facts = write_change_map(ChangeMap(grid, [ScoredStrip(0, levels)], 0.5), tmp_path, chosen)
    layer = geopandas.read_file(tmp_path / "changes.gpkg")
    expected = geodesic_areas(
        shapely.transform(layer.geometry.to_numpy(), lambda xy: (xy - (500_000, 5_000_000)) / (10, -10)), grid
    )
    np.testing.assert_allclose(layer["area_m2"], expected, rtol=1e-9)
    assert facts["polygons"] == len(layer) == 1
    assert facts["changed_area_m2"] == pytest.approx(expected.sum())
    with rasterio.open(tmp_path / "mask.tif") as mask:
        np.testing.assert_array_equal(mask.read(1), levels >= 100)
    assert facts["changed_pixels"] == (levels >= 100).sum()


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_settings_that_mean_nothing_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"polygons\.simplify_m: found"):
        PolygonsConfig(simplify_m=value)
