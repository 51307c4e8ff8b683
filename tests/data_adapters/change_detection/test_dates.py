"""Acquisition dates from names, tags and metadata files, and never from numbers that are not dates."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.data_adapters.change_detection.dates import acquisition_date, iso_day, oscd_dates


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LT05_L1TP_167055_20000309_20161214_01_T1_B1.TIF", "2000-03-09"),
        ("LC08_L2SP_195025_20130707_20200912_02_T1_SR_B4.TIF", "2013-07-07"),
        ("LT51670552010352MLK00_B1.tif", "2010-12-18"),
        ("LE71950252000366EDC00_B3.tif", "2000-12-31"),
        ("LE71950252001366EDC00_B3.tif", None),
        ("S2A_MSIL1C_20170829T101021_N0205_R022_T33UUP_20170829T101020.tif", "2017-08-29"),
        ("T33UUP_20170829T101021_B02_10m.jp2", "2017-08-29"),
        ("site_20101218.tif", "2010-12-18"),
        ("2010-12-18_site.tif", "2010-12-18"),
        ("site_20101218T101500Z.tif", "2010-12-18"),
        ("site_20101318.tif", None),
        ("site_20100230.tif", None),
        ("x920101218.tif", None),
        ("site20101218.tif", None),
        ("site_201012180.tif", None),
        ("site_2010-1218.tif", None),
        ("from_20101218_to_20111218.tif", None),
        ("https://host/a/site_20101218.tif?signed=20300101", "2010-12-18"),
        ("/vsicurl/https://host/20300101/site_20101218.tif", "2010-12-18"),
        ("train_1.png", None),
    ],
)
def test_date_in_a_name(name: str, expected: str | None) -> None:
    assert acquisition_date(name) == expected


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31)))
def test_every_day_is_read_in_every_form(day: date) -> None:
    assert acquisition_date(f"a_{day:%Y%m%d}_b.tif") == day.isoformat()
    assert acquisition_date(f"a_{day:%Y-%m-%d}.tif") == day.isoformat()
    assert acquisition_date(f"LT5167055{day:%Y%j}MLK00_B4.tif") == day.isoformat()
    assert acquisition_date("a.tif", {"TIFFTAG_DATETIME": f"{day:%Y:%m:%d} 10:20:30"}) == day.isoformat()
    assert oscd_dates(f"date_1: {day:%Y%m%d}\ndate_2: 20170829\n") == (day.isoformat(), "2017-08-29")


@given(st.text(max_size=30))
def test_no_name_or_text_is_too_strange(text: str) -> None:
    for found in (acquisition_date(text, {"TIFFTAG_DATETIME": text}), iso_day(text), *oscd_dates(text)):
        assert found is None or date.fromisoformat(found)


def test_tags_rank_around_the_name() -> None:
    tags = {"ACQUISITIONDATETIME": "2013-07-07 10:08:52", "TIFFTAG_DATETIME": "2019:01:02 03:04:05"}
    assert acquisition_date("site_20101218.tif", tags) == "2013-07-07"
    assert acquisition_date("site_20101218.tif", {"TIFFTAG_DATETIME": tags["TIFFTAG_DATETIME"]}) == "2010-12-18"
    assert acquisition_date("LT51670552010352MLK00_B1.tif", tags) == "2010-12-18"
    assert acquisition_date("site.tif", {"TIFFTAG_DATETIME": "yesterday"}) is None


def test_metadata_beside_the_band_is_trusted_first(tmp_path: Path) -> None:
    # Landsat metadata in the wild is not always UTF-8.
    (tmp_path / "scene_20101218_MTL.txt").write_bytes(b"ORIGIN = \xa9\n  DATE_ACQUIRED = 2010-12-17\n")
    assert acquisition_date(str(tmp_path / "scene_20101218_B3.tif")) == "2010-12-17"
    assert acquisition_date(str(tmp_path / "scene_20101218_SR_B3.tif")) == "2010-12-17"
    assert acquisition_date(str(tmp_path / "other_20101218_B3.tif")) == "2010-12-18"


def test_metadata_and_name_agree_on_real_scenes(samples: Path, fixtures: Path, tmp_path: Path) -> None:
    for folder in (samples / "landsat5_2000_2010", fixtures / "change_detection/landsat7_2001_landsat8_2013"):
        metadata = sorted(folder.glob("*_MTL.txt"))
        assert len(metadata) == 2
        for path in metadata:
            band = path.name.replace("_MTL.txt", "_B2.TIF")
            assert acquisition_date(str(path.with_name(band))) == acquisition_date(str(tmp_path / band)) is not None


def test_oscd_dates_may_be_missing() -> None:
    assert oscd_dates("date_1: 20161130\n") == ("2016-11-30", None)
    assert oscd_dates("date_2: 20169930\n") == (None, None)


@pytest.mark.parametrize(("text", "expected"), [("2010-12-18", "2010-12-18"), ("2010-12-18T10:00:00Z", "2010-12-18"),
                                                ("18.12.2010", None), ("", None)])  # fmt: skip
def test_iso_day(text: str, expected: str | None) -> None:
    assert iso_day(text) == expected
