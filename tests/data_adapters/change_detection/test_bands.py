"""Scenes of single-band files: natural colour by sensor, two scenes by date."""

from pathlib import Path

import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.layouts import find_pairs


def touch(root: Path, files: list[str]) -> None:
    for file in files:
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).touch()


def test_landsat_scenes_in_one_folder_are_a_pair_by_date(samples: Path) -> None:
    (pair,) = find_pairs(str(samples / "landsat5_2000_2010"))
    assert pair.id == "LT05_L1TP_167055_20000309_20161214_01_T1__LT51670552010352MLK00"
    assert [Path(path).name for path in pair.before] == [
        f"LT05_L1TP_167055_20000309_20161214_01_T1_B{band}.TIF" for band in (3, 2, 1)
    ]
    assert [Path(path).name for path in pair.after] == [f"LT51670552010352MLK00_B{band}.tif" for band in (3, 2, 1)]
    assert pair.dates == ("2000-03-09", "2010-12-18")


def test_natural_colour_goes_by_sensor(fixtures: Path) -> None:
    (pair,) = find_pairs(str(fixtures / "change_detection/landsat7_2001_landsat8_2013"))
    assert [path[-6:-4] for path in pair.before + pair.after] == ["B3", "B2", "B1", "B4", "B3", "B2"]
    assert pair.dates == ("2001-07-30", "2013-07-07")


def test_sentinel_2_folders_keep_the_finest_band(tmp_path: Path) -> None:
    scenes = ("T33UUP_20160101T101021", "T33UUP_20170829T101021")
    touch(tmp_path, [f"{s[7:11]}/{s}_{b}_{m}m.jp2" for s in scenes for b in ("B02", "B03", "B04") for m in (20, 10)])
    (pair,) = find_pairs(str(tmp_path / "2016"), str(tmp_path / "2017"))
    assert [Path(path).name for path in pair.before] == [
        f"{scenes[0]}_{band}_10m.jp2" for band in ("B04", "B03", "B02")
    ]
    assert (pair.id, pair.dates) == ("__".join(scenes), ("2016-01-01", "2017-08-29"))


def test_two_folders_of_one_scene_each(samples: Path, tmp_path: Path) -> None:
    source = samples / "landsat5_2000_2010"
    for path in source.iterdir():
        folder = tmp_path / ("old" if path.name.startswith("LT05") else "new")
        folder.mkdir(exist_ok=True)
        (folder / path.name).symlink_to(path)
    (pair,) = find_pairs(str(tmp_path / "old"), str(tmp_path / "new"))
    (together,) = find_pairs(str(source))
    assert (pair.id, pair.dates) == (together.id, together.dates)
    assert [Path(path).name for path in pair.files] == [Path(path).name for path in together.files]


def test_scenes_that_make_no_pair_are_named(shared_file, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"224077.+\(2020-05-18\), LC08.+224078.+\(2020-05-18\), expected two scenes of dif"
    ):
        find_pairs(str(shared_file("data/change_detection/landsat8_adjacent")))
    touch(tmp_path, [f"LT5167055{day}MLK00_B{band}.tif" for day in (2000001, 2010001) for band in (1, 3)])
    with pytest.raises(BadInput, match=r"bands of Landsat 4-5 TM: found LT5.+_B3.tif, .+_B1.tif, expected B3, B2, B1"):
        find_pairs(str(tmp_path))
    with pytest.raises(BadInput, match="expected the band files of one Landsat or Sentinel-2 scene"):
        find_pairs(str(tmp_path), "after.tif")
