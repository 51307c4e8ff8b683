"""Sentinel-2 products: the finest band, reflectance by processing baseline, zips."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.pairs import Pair
from transect.data_adapters.files import sha256

Safe = Callable[..., Path]

OFFSETS = """<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<PROCESSING_BASELINE>05.00</PROCESSING_BASELINE>
<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
<BOA_ADD_OFFSET_VALUES_LIST>{}</BOA_ADD_OFFSET_VALUES_LIST></n1:Level-2A_User_Product>""".format(
    "".join(f'<BOA_ADD_OFFSET band_id="{band}">-1000</BOA_ADD_OFFSET>' for band in range(13))
)
OLD = """<n1:Level-1C_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-1C.xsd">
<PROCESSING_BASELINE>02.09</PROCESSING_BASELINE>
<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE></n1:Level-1C_User_Product>"""


def pair_and_values(*inputs: Path, **settings: object) -> tuple[Pair, np.ndarray, np.ndarray]:
    adapter = ChangeAdapter(ReadConfig(**settings))  # type: ignore[arg-type]
    (pair,) = adapter.cases(*map(str, inputs))
    scene = adapter.read(pair)
    strip = scene.window(0, 0, scene.grid.height, scene.grid.width)
    assert strip.valid.all()
    return pair, strip.before, strip.after


def zipped(folder: Path, out: Path) -> Path:
    out.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return out


@pytest.mark.parametrize("metadata", [OFFSETS, "<x/>"])
def test_dates_across_baseline_4_have_no_difference(safe: Safe, metadata: str) -> None:
    before, after = safe("20210513", "0300", 2000), safe("20230518", "0500", 3000, metadata)
    pair, first, second = pair_and_values(before, after)
    np.testing.assert_allclose(first, second, atol=1e-6)
    # red, green, blue at 10 m, and not the copies at 20 m
    np.testing.assert_allclose(first[:, 0, 0], [0.22, 0.21, 0.20], atol=1e-6)
    assert (pair.dates, pair.id) == (
        ("2021-05-13", "2023-05-18"),
        "S2A_MSIL2A_20210513T101031_N0300_R022_T32TQM__S2A_MSIL2A_20230518T101031_N0500_R022_T32TQM",
    )


def test_level_1c_by_its_metadata_and_level_2a_that_was_processed_again(safe: Safe) -> None:
    old, new = safe("20170513", "0205", 2000, OLD, "1C"), safe("20170613", "0510", 3000, OLD, "1C")
    _, first, second = pair_and_values(old, new)
    np.testing.assert_allclose(first[2], 0.2 + np.arange(32) / 1e4 * np.ones((32, 1)), atol=1e-6)
    # The metadata's own baseline counts, not that in the name.
    np.testing.assert_allclose(second[2], first[2] + 0.1, atol=1e-6)


def test_the_metadata_of_the_names_until_2016(safe: Safe) -> None:
    old, new = safe("20151227", "0201", 2000, OLD, "1C"), safe("20170613", "0510", 3000, OLD, "1C")
    (old / "MTD_MSIL1C.xml").rename(old / "S2A_OPER_MTD_SAFL1C_PDMC_20151228T001122_R022_V20151227T101031.xml")
    renamed = old.rename(old.with_name("S2A_OPER_PRD_MSIL1C_PDMC_20151228T001122_R022_V20151227T101031.SAFE"))
    (new / "MTD_MSIL1C.xml").write_text(OLD.replace("02.09", "05.10"))
    pair, first, second = pair_and_values(renamed, new)
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert pair.dates[0] == "2015-12-27"
    assert pair.products[0].level == "top of atmosphere"  # type: ignore[union-attr]


def test_offsets_are_those_of_each_band(safe: Safe) -> None:
    offsets = (
        '<RADIO_ADD_OFFSET band_id="3">-1000</RADIO_ADD_OFFSET><RADIO_ADD_OFFSET band_id="1">-1500</RADIO_ADD_OFFSET>'
    )
    metadata = OLD.replace("02.09", "05.10").replace("<QUANT", f"{offsets}<QUANT").replace("10000", "20000")
    product = safe("20220513", "0510", 3000, metadata, "1C")
    pair, first, _ = pair_and_values(product, product)
    np.testing.assert_allclose(first[:, 0, 0], [2200 / 2e4, 2100 / 2e4, 1500 / 2e4], atol=1e-6)
    assert pair.products[0]
    assert (pair.products[0].level, pair.products[0].quality) == ("top of atmosphere", None)


def test_bands_by_name_come_on_the_finest_of_their_grids(safe: Safe) -> None:
    _, first, second = pair_and_values(
        safe("20210513", "0300", 2000), safe("20230518", "0500", 3000), bands=["swir1", "nir"]
    )
    assert first.shape == (2, 32, 32)
    np.testing.assert_allclose(first[1, 5], (2300 + np.arange(32)) / 1e4, atol=1e-6)
    np.testing.assert_allclose(first[0, 5, 8:24].mean(), (2500 + 7.5) / 1e4, atol=1e-4)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_zips_are_read_as_their_folders(safe: Safe, tmp_path: Path) -> None:
    folders = [safe("20210513", "0300", 2000), safe("20230518", "0500", 3000)]
    _, first, second = pair_and_values(*folders)
    zips = [zipped(folder, tmp_path / "zips" / f"{folder.name[:-5]}.zip") for folder in folders]
    pair, *values = pair_and_values(*zips)
    np.testing.assert_array_equal(values, [first, second])
    assert pair.files == tuple(map(str, zips))
    assert all(len(sha256(Path(file))) == 64 for file in pair.files)


def test_a_folder_of_two_products_is_a_pair_by_date(safe: Safe, tmp_path: Path) -> None:
    second, first = safe("20230518", "0500", 3000), safe("20210513", "0300", 2000)
    pair, *_ = pair_and_values(tmp_path)
    assert first.name in pair.before[0]
    assert second.name in pair.after[0]
    zipped(first, tmp_path / "zips" / "b.zip")
    zipped(second, tmp_path / "zips" / "a.zip")
    pair, *_ = pair_and_values(tmp_path / "zips")
    assert pair.dates == ("2021-05-13", "2023-05-18")
    safe("20230518", "0509", 3000)
    with pytest.raises(BadInput, match=r"scenes: found S2A.+\(2021-05-13\), S2A.+, expected two scenes of different"):
        pair_and_values(tmp_path)


def test_two_products_of_one_date(safe: Safe, tmp_path: Path) -> None:
    safe("20230518", "0500", 3000)
    safe("20230518", "0509", 3000)
    with pytest.raises(BadInput, match=r"N0500.+\(2023-05-18\), .+N0509.+\(2023-05-18\), expected two scenes"):
        pair_and_values(tmp_path)


def test_stored_values_of_both_where_a_baseline_is_unknown(safe: Safe, tmp_path: Path) -> None:
    known, unknown = safe("20210513", "0300", 2000), safe("20230518", "9999", 3000)
    adapter = ChangeAdapter(ReadConfig())
    (pair,) = adapter.cases(str(known), str(unknown))
    scene = adapter.read(pair)
    assert scene.window(0, 0, 1, 1).before.ravel().tolist() == [2200, 2100, 2000]
    warnings = adapter.check(pair, scene, None)["warnings"]
    assert "N9999_R022_T32TQM: stored values, since neither metadata nor name" in str(warnings)
    assert "stored values of both dates, since those of after cannot be scaled" in str(warnings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<x>", "MTD_MSIL2A.xml: XML: found no element found"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><x/>', "found a document type or entities"),
        ('<x><BOA_ADD_OFFSET band_id="3">many</BOA_ADD_OFFSET></x>', "number of band 3: found many"),
        ("<x><BOA_QUANTIFICATION_VALUE>0</BOA_QUANTIFICATION_VALUE></x>", "QUANTIFICATION_VALUE: found 0"),
        ("<x><BOA_QUANTIFICATION_VALUE>nan</BOA_QUANTIFICATION_VALUE></x>", "number: found nan"),
    ],
)
def test_damaged_metadata_is_named(safe: Safe, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        pair_and_values(safe("20210513", "0300", 2000, text), safe("20230518", "0500", 3000))


def test_missing_and_unknown_bands_are_named_with_those_of_the_sensor(safe: Safe) -> None:
    pair = safe("20210513", "0300", 2000), safe("20230518", "0500", 3000)
    with pytest.raises(BadInput, match=r"of Sentinel-2: found .+B04_10m.jp2, expected B04, B05; missing: rededge1"):
        pair_and_values(*pair, bands=["red", "rededge1"])
    with pytest.raises(BadInput, match=r"missing: thermal; choose with read.bands from coastal B01, .+, swir2 B12"):
        pair_and_values(*pair, bands=["thermal"])
    with pytest.raises(BadInput, match=r"read.bands: found 4, expected 1 red.+name the bands: read.bands \[.*red"):
        pair_and_values(*pair, bands=[4, 3, 2])


def zip_of(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return path


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "zip: found no files"),
        (("../X_B04.jp2",), r"member: found \.\./X_B04.jp2, expected a path inside the zip"),
        (("/etc/X_B04.jp2",), "member: found /etc/X_B04.jp2"),
        (("readme.txt",), "product: found no bands in GRANULE"),
        (tuple(f"A.SAFE/GRANULE/{tile}/IMG_DATA/T_B04.jp2" for tile in "ab"), "product: found 2 tiles"),
    ],
)
def test_zips_that_are_no_product(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    path = zip_of(tmp_path / "x.zip", *names)
    with pytest.raises(BadInput, match=rf"x\.zip: {message}"):
        pair_and_values(path, path)


def test_a_zip_that_gdal_could_not_name(tmp_path: Path) -> None:
    (tmp_path / "a}").mkdir()
    path = zip_of(tmp_path / "a}" / "x.zip", "A.SAFE/GRANULE/T/IMG_DATA/T_B04.jp2")
    with pytest.raises(BadInput, match="path: found braces"):
        pair_and_values(path, path)


def test_a_damaged_zip_and_a_damaged_member(safe: Safe, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\3\4 no zip")
    with pytest.raises(BadInput, match=r"x\.zip: zip: found File is not a zip file"):
        pair_and_values(tmp_path / "x.zip", tmp_path / "x.zip")
    whole = zipped(safe("20210513", "0300", 2000, OFFSETS), tmp_path / "whole.zip")
    content = bytearray(whole.read_bytes())
    with zipfile.ZipFile(whole) as archive:
        start = next(info.header_offset for info in archive.infolist() if info.filename.endswith("MTD_MSIL2A.xml"))
    content[start + 150 : start + 200] = bytes(50)
    whole.write_bytes(content)
    with pytest.raises(BadInput, match=r"MTD_MSIL2A.xml: (member|XML)"):
        pair_and_values(whole, whole)


def test_a_bad_product_is_the_fault_of_its_own_row(safe: Safe, tmp_path: Path) -> None:
    good = safe("20210513", "0300", 2000), safe("20230518", "0500", 3000)
    bad = safe("20220518", "0400", 3000, "<x>")
    table = tmp_path / "pairs.csv"
    table.write_text(f"before,after,id\n{good[0].name},{good[1].name},good\n{bad.name},{good[1].name},bad\n")
    adapter = ChangeAdapter(ReadConfig())
    first, second = adapter.cases(str(table))
    with pytest.raises(BadInput, match="well-formed XML"):
        adapter.read(first)
    assert (first.id, second.id) == ("bad", "good")
    assert adapter.read(second).grid.width == 32
