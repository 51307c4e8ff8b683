"""A raster, the files next to it, and a VRT cannot make GDAL open anything elsewhere; useful side files still count."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.opening import opened
from transect.data_adapters.change_detection.raster import Raster

SIDE, SECRET = 64, 200
GREY = ReadConfig(bands=[1])
GEOREFERENCE = "<SRS>EPSG:32633</SRS><GeoTransform>500000,10,0,5000000,0,-10</GeoTransform>"
EXTENSIONS = {
    "GTiff": "tif",
    "PNG": "png",
    "JPEG": "jpg",
    "GIF": "gif",
    "BMP": "bmp",
    "JP2OpenJPEG": "jp2",
    "HFA": "img",
}


def write(path: Path, value: int, driver: str = "GTiff", **options: object) -> Path:
    grid = {"crs": "EPSG:32633", "transform": from_origin(5e5, 5e6, 10, 10)} if driver in ("GTiff", "HFA") else {}
    profile = {"driver": driver, "count": 1, "height": SIDE, "width": SIDE, "dtype": "uint8", **grid, **options}
    with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.open(path, "w", **profile) as raster:
        raster.write(np.full((1, SIDE, SIDE), value, np.uint8))
    return path


def write_mask(path: Path) -> None:
    """A mask of the left half."""
    with rasterio.open(path, "w", driver="GTiff", count=1, height=SIDE, width=SIDE, dtype="uint8") as raster:
        raster.write(np.repeat(np.array([255, 0], np.uint8), SIDE // 2)[None, None].repeat(SIDE, 1))
        raster.update_tags(INTERNAL_MASK_FLAGS_1="2")


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with Raster([str(path)], GREY) as raster:
        return raster.read(0, 0, raster.grid.height, raster.grid.width)


def vrt(source: str, band: str = "", extra: str = "") -> str:
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}">{GEOREFERENCE}'
        f'<VRTRasterBand dataType="Byte" band="1"{band}>{source}</VRTRasterBand>{extra}</VRTDataset>'
    )


def simple(name: object, tag: str = "SourceFilename", relative: str = 'relativeToVRT="0"', kind: str = "Simple") -> str:
    return f"<{kind}Source><{tag} {relative}>{name}</{tag}><SourceBand>1</SourceBand></{kind}Source>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of inputs, next to a raster and a text that are not to be read."""
    write(tmp_path / "secret.tif", SECRET)
    (tmp_path / "secret.txt").write_bytes(b"password=hunter2;" * 1000)
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "inside.tif", 60)
    return tmp_path / "data"


RAW = "<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>64</LineOffset>"
HOSTILE: dict[str, Callable[[str, str], str]] = {
    "lower case": lambda tif, txt: vrt(simple(tif, "sourcefilename")),
    "mixed case": lambda tif, txt: vrt(simple(tif, "SOURCEFileName")).replace("SimpleSource", "simplesource"),
    "relative in another case": lambda tif, txt: vrt(simple("../secret.tif", relative='RELATIVETOVRT="1"')),
    "relative with more digits": lambda tif, txt: vrt(simple("../secret.tif", relative='relativeToVRT="01"')),
    "raw": lambda tif, txt: vrt(f"<SourceFilename>{txt}</SourceFilename>{RAW}", ' subClass="VRTRawRasterBand"'),
    "raw in lower case": lambda tif, txt: vrt(
        f"<sourcefilename>{txt}</sourcefilename>{RAW}", ' subclass="vrtrawrasterband"'
    ),
    "derived": lambda tif, txt: vrt(
        f"<PixelFunctionType>sum</PixelFunctionType>{simple('inside.tif')}", ' SubClass="VRTDerivedRasterBand"'
    ),
    "a pixel function": lambda tif, txt: vrt(f"<pixelfunctiontype>sum</pixelfunctiontype>{simple('inside.tif')}"),
    "warped": lambda tif, txt: vrt(
        "", extra=f"<GDALWarpOptions><SourceDataset>{tif}</SourceDataset></GDALWarpOptions>"
    ).replace("<VRTDataset", '<VRTDataset SUBCLASS="VRTWarpedDataset"'),
    "processed": lambda tif, txt: vrt("", extra=f"<Input><SourceFilename>{tif}</SourceFilename></Input>"),
    "filtered": lambda tif, txt: vrt(simple("inside.tif", kind="KernelFiltered")),
    "a group": lambda tif, txt: vrt("", extra=f'<Group name="/"><Array>{simple(tif)}</Array></Group>'),
    "open options": lambda tif, txt: vrt(
        simple("inside.tif").replace("<SourceBand>", '<OpenOptions><OOI key="X">1</OOI></OpenOptions><SourceBand>')
    ),
    "a mask": lambda tif, txt: vrt(
        simple("inside.tif"),
        extra=f'<maskband><VRTRasterBand dataType="Byte">{simple(tif, "sourceFilename")}</VRTRasterBand></maskband>',
    ),
    "a VRT as a name": lambda tif, txt: vrt(simple(vrt(simple(tif)).replace("<", "&lt;"))),
    "a driver's name": lambda tif, txt: vrt(simple(f"vrt://{tif}")),
    "a virtual file system": lambda tif, txt: vrt(simple(f"/vsisubfile/0_1000000,{tif}")),
    "a namespace": lambda tif, txt: vrt(simple(tif, "x:SourceFilename")).replace(" rasterX", ' xmlns:x="y" rasterX'),
    "an entity": lambda tif, txt: f'<!DOCTYPE VRTDataset [<!ENTITY a "{tif}">]>' + vrt(simple("&a;")),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_vrt_of_more_than_plain_bands_of_files_below_it_is_refused(folder: Path, kind: str) -> None:
    path = folder / "a.vrt"
    path.write_text(HOSTILE[kind](str(folder.parent / "secret.tif"), str(folder.parent / "secret.txt")))
    with pytest.raises(BadInput, match=r"a\.vrt: (VRT|XML)") as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_vrt_in_another_encoding_is_refused(folder: Path) -> None:
    text = vrt(simple(folder.parent / "secret.tif", "sourcefilename"))
    (folder / "a.vrt").write_bytes(b"<!--<VRTDataset-->" + text.encode("utf-16"))
    with pytest.raises(BadInput, match=r"a\.vrt: XML"):
        read(folder / "a.vrt")


def test_a_source_that_drivers_of_text_could_take_is_refused(folder: Path) -> None:
    index = b"<GDALTileIndexDataset><IndexDataset>/vsicurl/http://127.0.0.1:9/x</IndexDataset></GDALTileIndexDataset>"
    (folder / "b.gif").write_bytes(b"GIF89a\x10\x10\x10\x10\x10\x10\x10\x10\x10" + index)
    (folder / "a.vrt").write_text(vrt(simple("b.gif", relative='relativeToVRT="1"')))
    with pytest.raises(BadInput, match=r"b\.gif: file: found no signature of a raster"):
        read(folder / "a.vrt")


def test_plain_vrts_are_read_in_any_case_with_masks_and_inside_each_other(folder: Path) -> None:
    write_mask(folder / "inside.tif.msk")
    band = simple("inside.tif", relative='relativeToVRT="1"').replace(
        "</Simple", '<DstRect xOff="0" yOff="0" xSize="64" ySize="64"/></Simple'
    )
    band = band.replace("<DstRect", '<SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/><DstRect')
    mask = f'<MaskBand><VRTRasterBand dataType="Byte">{band.replace(">1<", ">mask,1<")}</VRTRasterBand></MaskBand>'
    (folder / "inner.vrt").write_text(vrt(f"<NoDataValue>7</NoDataValue>{band}", extra=mask))
    (folder / "a.vrt").write_text(
        vrt(2 * simple("inner.vrt", "sourcefilename", "RelativeToVRT='1'")).replace("VRTRasterBand", "vrtrasterband")
    )
    values, valid = read(folder / "inner.vrt")
    assert (values == 60).all()
    assert valid.mean() == 0.5
    assert (read(folder / "a.vrt")[0] == 60).all()
    with opened(str(folder / "a.vrt"), GREY) as raster:
        assert raster.crs.to_epsg() == 32633
        assert raster.transform.c == 500_000


@pytest.mark.parametrize("driver", EXTENSIONS)
@pytest.mark.parametrize("suffix", [".msk", ".MSK", ".ovr", ".OVR", ".aux.xml"])
def test_side_files_reach_nothing_elsewhere(folder: Path, driver: str, suffix: str) -> None:
    path = write(folder / f"a.{EXTENSIONS[driver]}", 60, driver)
    side, secret = Path(f"{path}{suffix}"), folder.parent / "secret.tif"
    write_mask(secret)
    flags = '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
    overviews = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata>'
    hostile = [vrt(simple(secret), extra=flags)] if suffix != ".aux.xml" else [f"<PAMDataset>{overviews}</PAMDataset>"]
    for content in (*hostile, None):
        side.unlink(missing_ok=True)
        side.symlink_to(secret) if content is None else side.write_text(content)
        if suffix.lower() == ".ovr" or (content and suffix == ".aux.xml"):  # not needed, and so not read
            with opened(str(path), GREY) as raster:
                assert raster.overviews(1) == []
            assert read(path)[1].all()
        else:
            with pytest.raises(BadInput, match=rf"{side.name}: (side file|file)"):
                read(path)


@pytest.mark.parametrize("suffix", [".msk", ".ovr", ".aux.xml", ".wld", ".tab", ".imd", ".rpb", "_rpc.txt"])
def test_a_pipe_is_never_opened(folder: Path, suffix: str) -> None:
    path = write(folder / "a.tif", 60)
    os.mkfifo(folder / (f"a.tif{suffix}" if suffix in (".msk", ".ovr", ".aux.xml") else f"a{suffix}"))
    if suffix in (".msk", ".aux.xml", ".wld", ".tab"):
        with pytest.raises(BadInput, match="side file: found a link or a pipe"):
            read(path)
    else:
        assert (read(path)[0] == 60).all()
    os.mkfifo(folder / "b.tif")
    with pytest.raises(BadInput, match="a pipe or a device"):
        read(folder / "b.tif")


def test_gdal_prints_no_errors_of_its_own(folder: Path) -> None:
    code = f"""
import transect.data_adapters.change_detection
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
try:
    DatasetReader({str(folder.parent / "secret.txt")!r}, driver=["GTiff"])  # in no Env, which would take the message
except RasterioError:
    print("raised")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("raised\n", "")


def test_metadata_in_the_file_cannot_name_overviews(folder: Path) -> None:
    path = write(folder / "a.tif", 60)
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(folder.parent / "secret.tif"))
    with pytest.raises(BadInput, match=r"a\.tif: OVERVIEWS"):
        read(path)


def test_a_path_is_never_a_name_of_a_driver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "GTIFF_DIR:1:").mkdir()
    write(Path("GTIFF_DIR:1:/a.tif"), 60)
    assert (read(Path("GTIFF_DIR:1:/a.tif"))[0] == 60).all()


@pytest.mark.parametrize("driver", EXTENSIONS)
@pytest.mark.parametrize("suffix", [".msk", ".MSK"])
def test_a_mask_next_to_the_file_counts(folder: Path, driver: str, suffix: str) -> None:
    path = write(folder / f"a.{EXTENSIONS[driver]}", 60, driver)
    write_mask(Path(f"{path}{suffix}"))
    assert read(path)[1].mean() == 0.5
    kept = folder / "kept"
    kept.mkdir()
    for name in (path.name, path.name + suffix):
        (kept / name).symlink_to(folder / name)
    assert read(kept / path.name)[1].mean() == 0.5


@pytest.mark.parametrize("driver", ["PNG", "JPEG", "BMP", "JP2OpenJPEG"])
def test_georeference_and_nodata_next_to_the_file_count(folder: Path, driver: str) -> None:
    path = write(folder / f"a.{EXTENSIONS[driver]}", 60, driver)
    side = Path(f"{path}.aux.xml")
    nodata = '<PAMRasterBand band="1"><Histograms/><NoDataValue>60</NoDataValue></PAMRasterBand>'
    side.write_text(f"<PAMDataset>{GEOREFERENCE}{nodata}</PAMDataset>")
    assert not read(path)[1].any()
    with Raster([str(path)], GREY) as raster:
        assert raster.grid.crs is not None
        assert raster.grid.transform.c == 500_000
    side.unlink()
    path.with_suffix(".wld").write_text("10\n0\n0\n-10\n500005\n4999995\n")
    with Raster([str(path)], GREY) as raster:
        assert raster.grid.transform.c == 500_000
