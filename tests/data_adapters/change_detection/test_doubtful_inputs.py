"""Inputs that can be read but are probably not what was meant: a warning in `check`, in the log and in the report."""

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.maps import ChangeMap, ScoredStrip

ADAPTER = ChangeAdapter(ReadConfig(bands=[1]))
REVERSED = "before is of 2020-05-01, after 2010-05-01: if they are reversed, exchange the two"


def raster(path: Path) -> str:
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}
    with rasterio.open(path, "w", driver="GTiff", width=16, height=16, count=1, dtype="uint8", **place) as dataset:
        dataset.write(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    return str(path)


@pytest.mark.parametrize(
    ("before", "after", "warning"),
    [
        ("site_2010-05-01.tif", "site_2020-05-01.tif", None),
        ("site_2020-05-01.tif", "site_2010-05-01.tif", REVERSED),
        ("a_2020-05-01.tif", "b_2020-05-01.tif", "both dates are 2020-05-01"),
        ("site_2020-05-01.tif", "undated.tif", None),
        ("undated.tif", "undated.tif", "before and after are the same: {tmp_path}/undated.tif"),
        ("undated.tif", "link.tif", "before and after are the same: {tmp_path}/undated.tif"),
    ],
)
def test_doubts(tmp_path: Path, caplog, before: str, after: str, warning: str | None) -> None:
    for name in (before, after):
        raster(tmp_path / name.replace("link", "undated"))
    (tmp_path / "link.tif").symlink_to(tmp_path / "undated.tif")
    (case,) = ADAPTER.cases(str(tmp_path / before), str(tmp_path / after))
    scene = ADAPTER.read(case)
    expected = warning and warning.format(tmp_path=tmp_path)
    assert ADAPTER.check(case, scene, None).get("warnings") == expected
    unchanged = [ScoredStrip(0, np.zeros((16, 16), np.uint8))]
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING, "transect"):
        facts = ADAPTER.write(case, ChangeMap(scene.grid, unchanged, 0.5, scene.dates), tmp_path / "out", "test")
    assert facts.get("warnings") == expected
    assert [record.getMessage() for record in caplog.records] == ([f"{case.id}: {expected}"] if expected else [])


def test_dates_of_a_table_count(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif"), raster(tmp_path / "b.tif")
    (tmp_path / "pairs.csv").write_text("before,after,before_date,after_date\na.tif,b.tif,2020-05-01,2010-05-01\n")
    (case,) = ADAPTER.cases(str(tmp_path / "pairs.csv"))
    assert ADAPTER.check(case, ADAPTER.read(case), None)["warnings"] == REVERSED
