"""What an error advises works: each piece of advice is provoked, and then followed to a pair that is read."""

import ast
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.shutil import copy
from rasterio.warp import calculate_default_transform

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import opening, vectors
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.raster import Raster

SOURCES = Path(opening.__file__).parent
PLACE = {"crs": "EPSG:32632", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}

Attempt = Callable[[], object]
Case = Callable[[Path], tuple[Attempt, Attempt]]
CASES: dict[str, list[Case]] = {}


def advises(text: str) -> Callable[[Case], Case]:
    """Register a case that returns what provokes an error with this advice, and what follows the advice."""

    def register(case: Case) -> Case:
        CASES.setdefault(text, []).append(case)
        return case

    return register


def write(path: Path, side: int = 16, count: int = 1, value: int | None = None, **profile: Any) -> Path:
    """A raster of `side` pixels in the place of all others, unless `profile` has another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "dtype": "uint8", **PLACE, **profile}
    values = np.random.default_rng(0).integers(1, 255, (count, side, side)).astype(profile["dtype"])
    with rasterio.open(path, "w", width=side, height=side, count=count, **profile) as raster:
        raster.write(values if value is None else np.full_like(values, value))
    return path


def read(*inputs: Path, **settings: Any) -> Attempt:
    """Reads all pairs of the inputs whole."""

    def attempt() -> None:
        adapter = ChangeAdapter(ReadConfig(**{"bands": [1], **settings}))
        for case in adapter.cases(*map(str, inputs)):
            assert "before" in adapter.check(case, adapter.read(case), None)

    return attempt


def after(change: Callable[[], object], attempt: Attempt) -> Attempt:
    def changed() -> None:
        change()
        attempt()

    return changed


@advises("set read.bands [1,1,1]")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif")
    return read(path, path, bands=[1, 2, 3]), read(path, path, bands=[1, 1, 1])


@advises("choose others with read.bands")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif", count=2)
    return read(path, path, bands=[1, 2, 3]), read(path, path, bands=[2, 1])


@advises("choose others with read.bands")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    names = f"{write(tmp / 'a.tif')},{write(tmp / 'b.tif')}"
    return read(Path(names), Path(names), bands=[3]), read(Path(names), Path(names), bands=[2])


@advises("give the numbers of the bands, such as read.bands [1,1,1], or write their names as descriptions")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif")
    return read(path, path, bands=["red", "green", "blue"]), read(path, path, bands=[1, 1, 1])


@advises("set read.bands [1,2,3]")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = str(write(tmp / "a.tif", count=3))

    def opened(bands: list[int | str]) -> None:
        with Raster([path], ReadConfig(bands=bands)) as raster:
            raster.read(0, 0, 16, 16)

    return lambda: opened(["red"]), lambda: opened([1, 2, 3])


@advises("raise read.max_pixels")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif")
    return read(path, path, max_pixels=255), read(path, path, max_pixels=256)


@advises("check nodata and masks")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif", value=7)
    return read(path, path, nodata=7), read(path, path)


@advises("check both CRSs and extents")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path, other = write(tmp / "a.tif"), write(tmp / "b.tif", crs="EPSG:32633")

    def correct() -> None:
        with rasterio.open(other, "r+") as raster:
            raster.crs = "EPSG:32632"

    return read(path, other), after(correct, read(path, other))


@advises("assign it with gdal_edit.py -a_srs")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path, other = write(tmp / "a.tif"), write(tmp / "b.tif", crs=None)

    def assign() -> None:
        with rasterio.open(other, "r+") as raster:
            raster.crs = "EPSG:32632"

    return read(path, other), after(assign, read(path, other))


@advises("rasters of different sizes have to be georeferenced")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    plain = {"crs": None, "transform": None}
    files = [write(tmp / "a.tif", **plain), write(tmp / "b.tif", side=32, **plain)]

    def georeference() -> None:
        for file in files:
            with rasterio.open(file, "r+") as raster:
                raster.crs, raster.transform = PLACE["crs"], PLACE["transform"]

    return read(*files), after(georeference, read(*files))


@advises("unpack it into a folder of its own")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    scene = "LC08_L2SP_195025_20130707_20200912_02_T1"
    write(tmp / "bands" / f"{scene}_SR_B4.TIF", value=9000, dtype="uint16")
    archive = Path(shutil.make_archive(str(tmp / scene), "tar", tmp / "bands"))
    folder = tmp / "unpacked"

    def unpack() -> None:
        shutil.unpack_archive(archive, folder, filter="data")

    red: dict[str, Any] = {"bands": ["red"]}
    return read(archive, tmp / "bands", **red), after(unpack, read(folder, tmp / "bands", **red))


@advises("give its partner or leave the pair out")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    write(tmp / "a.tif"), write(tmp / "b.tif")
    table = tmp / "pairs.csv"
    table.write_text("before,after\na.tif,b.tif\na.tif,\n")
    return read(table), after(lambda: table.write_text("before,after\na.tif,b.tif\n"), read(table))


@advises("or give two inputs, before and after")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    names = [f"LC08_L1TP_195025_2013070{day}_20170503_01_T1" for day in (1, 2, 3)]
    for name in names:
        for band in (2, 3, 4):
            write(tmp / "scenes" / f"{name}_B{band}.TIF")
            write(tmp / name / f"{name}_B{band}.TIF")
    return read(tmp / "scenes"), read(tmp / names[0], tmp / names[2])


@advises("give folders of satellite products as two inputs, before and after")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    for number, side in enumerate(("before", "after"), 1):
        name = f"LC08_L1TP_195025_2013070{number}_20170503_01_T1"
        for band in (2, 3, 4):
            write(tmp / side / name / f"{name}_B{band}.TIF")
    return read(tmp), read(*sorted(tmp.glob("*/*"), reverse=True))


@advises("ChaBuD keeps its bands last, which GDAL cannot read: write the images as GeoTIFFs and list them in a CSV")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    (tmp / "chabud.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    write(tmp / "a.tif"), write(tmp / "b.tif")
    (tmp / "pairs.csv").write_text("before,after\na.tif,b.tif\n")
    return read(tmp / "chabud.h5"), read(tmp / "pairs.csv")


@advises("move one of the two away")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    for name in ("before/a.tif", "after/a.tif", "after/a.tiff"):
        write(tmp / name)
    return read(tmp), after((tmp / "after/a.tiff").unlink, read(tmp))


# Files next to a raster, and what a raster names


@advises("copy it there, or remove it")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path, mask = write(tmp / "in/a.tif"), write(tmp / "a.tif.msk", crs=None, transform=None)
    side = tmp / "in/a.tif.msk"
    side.symlink_to(mask)

    def replace() -> None:
        side.unlink()
        shutil.copy(mask, side)

    return read(path, path), after(replace, read(path, path))


@advises("copy it there, or remove it")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif")
    (tmp / "a.tif.msk").symlink_to(tmp / "nothing")
    return read(path, path), after((tmp / "a.tif.msk").unlink, read(path, path))


@advises("convert the raster to a GeoTIFF")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = tmp / "a.png"
    write(path, driver="PNG", crs=None, transform=None)
    Path(f"{path}.aux.xml").write_text("<PAMDataset><GeodataXform/></PAMDataset>")
    return read(path, path), read(write(tmp / "a.tif"), tmp / "a.tif")


@advises("convert it again")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif")
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="other.tif")

    def convert() -> None:
        with rasterio.open(path) as raster:
            values, profile = raster.read(), raster.profile
        with rasterio.open(tmp / "b.tif", "w", **profile) as raster:
            raster.write(values)

    return read(path, path), after(convert, read(tmp / "b.tif", tmp / "b.tif"))


@advises("rewrite it in tiles: gdal_translate -co TILED=YES")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    tile = {"compress": "deflate", "tiled": True, "blockxsize": 4096, "blockysize": 4096}
    path = write(tmp / "a.tif", side=4096, value=1, **tile)
    copy(path, tmp / "b.tif", driver="GTiff", tiled=True)
    return read(path, path), read(tmp / "b.tif", tmp / "b.tif")


@advises("convert it to a GeoTIFF")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path, derived = write(tmp / "a.tif"), tmp / "a.vrt"
    band = '<VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand"/>'
    derived.write_text(f'<VRTDataset rasterXSize="16" rasterYSize="16">{band}</VRTDataset>')
    return read(derived, derived), read(path, path)


@advises("put the VRT above its sources, or convert it to a GeoTIFF")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    write(tmp / "files/a.tif", crs=None, transform=None)
    (tmp / "vrts").mkdir()

    def vrt(path: Path, source: str) -> Path:
        name = f'<SourceFilename relativeToVRT="1">{source}</SourceFilename>'
        band = f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource>{name}</SimpleSource></VRTRasterBand>'
        path.write_text(f'<VRTDataset rasterXSize="16" rasterYSize="16">{band}</VRTDataset>')
        return path

    below, above = vrt(tmp / "vrts/a.vrt", "../files/a.tif"), vrt(tmp / "a.vrt", "files/a.tif")
    return read(below, below), read(above, above)


@advises("save one of them as a file of its own")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif", count=2, photometric="palette")
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, {1: (9, 9, 9, 255)})

    def save() -> None:
        with rasterio.open(path) as raster:
            values, colours = raster.read(1), raster.colormap(1)
        with rasterio.open(write(tmp / "b.tif"), "r+") as raster:
            raster.write(values, 1)
            raster.write_colormap(1, colours)

    return read(path, path), after(save, read(tmp / "b.tif", tmp / "b.tif"))


@advises("resample the bands to one grid first")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    fine, coarse = write(tmp / "a.tif"), write(tmp / "b.tif", side=8, transform=PLACE["transform"] * Affine.scale(2))
    both, same = Path(f"{fine},{coarse}"), Path(f"{fine},{write(tmp / 'c.tif')}")
    return read(both, both, bands=[1, 2]), read(same, same, bands=[1, 2])


# Georeference by points


def points(count: int) -> list[GroundControlPoint]:
    """Points that a polynomial meets, and an affine transform does not."""
    places = [(0, 0), (0, 16), (16, 0), (16, 16), (8, 8), (4, 12)][:count]
    return [GroundControlPoint(row, col, 5e5 + 10 * col + row * col, 5e6 - 10 * row) for row, col in places]


def with_points(path: Path, count: int, crs: str | None) -> Path:
    write(path, crs=None, transform=None)
    with rasterio.open(path, "r+") as raster:
        raster.gcps = points(count), rasterio.CRS.from_user_input(crs) if crs else rasterio.CRS()
    return path


@advises("georeference it with more points")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    few, more = (with_points(tmp / f"{count}.tif", count, PLACE["crs"]) for count in (2, 4))
    return read(few, few), read(more, more)


@advises("warp it first: gdalwarp -rpc {} warped.tif")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    zeros = [0.0] * 20
    path = write(tmp / "a.tif", crs=None, transform=None)
    with rasterio.open(path, "r+") as raster:
        raster.rpcs = RPC(
            height_off=0, height_scale=1, lat_off=45, lat_scale=1, line_off=8, line_scale=8, long_off=9, long_scale=1,
            samp_off=8, samp_scale=8, line_num_coeff=[0, 0, -1, *zeros[3:]], line_den_coeff=[1, *zeros[1:]],
            samp_num_coeff=[0, 1, *zeros[2:]], samp_den_coeff=[1, *zeros[1:]], err_bias=None, err_rand=None,
        )  # fmt: skip

    def warp() -> None:
        with rasterio.open(path) as raster:
            transform, width, height = calculate_default_transform(
                "EPSG:4326", "EPSG:4326", 16, 16, rpcs=raster.rpcs, dst_width=16, dst_height=16
            )
            values = np.zeros((height, width), np.uint8)
            rasterio.warp.reproject(
                raster.read(1), values, rpcs=raster.rpcs, src_crs="EPSG:4326", dst_crs="EPSG:4326",
                dst_transform=transform,
            )  # fmt: skip
        with rasterio.open(write(tmp / "b.tif", crs="EPSG:4326", transform=transform), "r+") as raster:
            raster.write(values, 1)

    return read(path, path), after(warp, read(tmp / "b.tif", tmp / "b.tif"))


# Labels


def labelled(tmp: Path, label: str) -> Path:
    write(tmp / "a.tif"), write(tmp / "b.tif")
    (tmp / "pairs.csv").write_text(f"before,after,label\na.tif,b.tif,{label}\n")
    return tmp / "pairs.csv"


def polygons(path: Path, **options: Any) -> Path:
    square = shapely.box(500_020, 4_999_900, 500_080, 4_999_960)
    geopandas.GeoDataFrame(geometry=[square], crs="EPSG:32632").to_file(path, **options)
    return path


@advises("as in {}")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp / "small.png")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp / "same.png")
    table = labelled(tmp, "small.png")
    return read(table), after(lambda: labelled(tmp, "same.png"), read(table))


@advises("write one layer of polygons to a file of its own")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    polygons(polygons(tmp / "label.gpkg", layer="one"), layer="two")
    table = labelled(tmp, "label.gpkg")
    return read(table), after(lambda: labelled(tmp, polygons(tmp / "one.gpkg").name), read(table))


@advises("assign it in a GIS: a shapefile has it in a .prj file")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    projection = polygons(tmp / "label.shp").with_suffix(".prj")
    text = projection.read_text()
    projection.unlink()
    table = labelled(tmp, "label.shp")
    return read(table), after(lambda: projection.write_text(text), read(table))


@advises("copy all files of the shapefile")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    (tmp / "all").mkdir()
    polygons(tmp / "all/label.shp")
    shutil.copy(tmp / "all/label.shp", tmp / "label.shp")
    table = labelled(tmp, "label.shp")
    return read(table), after(lambda: shutil.copytree(tmp / "all", tmp, dirs_exist_ok=True), read(table))


@advises("convert it to a GeoPackage")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    table = labelled(tmp, polygons(tmp / "label.geojson").name)
    with (tmp / "label.geojson").open("a") as file:
        file.write(" " * vectors.LARGEST_JSON)

    def convert() -> None:
        labelled(tmp, polygons(tmp / "label.gpkg").name)

    return read(table), after(convert, read(table))


@advises("save the layer to a new file")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    with sqlite3.connect(polygons(tmp / "label.gpkg")) as connection:
        connection.execute("ALTER TABLE label RENAME TO hidden")
        connection.execute("CREATE VIEW label AS SELECT * FROM hidden")
    table = labelled(tmp, "label.gpkg")
    return read(table), after(lambda: labelled(tmp, polygons(tmp / "new.gpkg").name), read(table))


@advises("download it")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    table = labelled(tmp, "https://127.0.0.1:9/label.gpkg")
    return read(table), after(lambda: labelled(tmp, polygons(tmp / "label.gpkg").name), read(table))


@advises("check its CRS, or leave read.aoi out")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif", transform=Affine(10, 0, 6e5, 0, -10, 5e6))
    area = str(polygons(tmp / "area.gpkg"))
    return read(path, path, aoi=area), read(path, path)


@advises("leave read.aoi out")
def _(tmp: Path) -> tuple[Attempt, Attempt]:
    path = write(tmp / "a.tif", crs=None, transform=None)
    return read(path, path, aoi=str(polygons(tmp / "area.gpkg"))), read(path, path)


NOT_TO_FOLLOW = {
    "the file is damaged or hostile",
    "the file is truncated or damaged",
    "give files of one product and tile",
}
"""What says why a file cannot be used, rather than what to do."""


@pytest.mark.parametrize(("text", "case"), [(text, case) for text, cases in CASES.items() for case in cases])
def test_advice_works(text: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LARGEST_BLOCK", 8 << 20)
    monkeypatch.setattr(vectors, "LARGEST_JSON", 10_000)
    provoke, follow = case(tmp_path)
    with pytest.raises(BadInput) as caught:
        provoke()
    assert re.fullmatch(re.escape(text).replace(r"\{\}", ".+"), caught.value.advice), caught.value
    follow()


def test_all_advice_of_the_adapter_is_tried() -> None:
    given = {text for file in sorted(SOURCES.glob("*.py")) for text in advice_in(ast.parse(file.read_text()))}
    tried = {text.replace("[1,1,1]", "[{}]") for text in CASES}
    assert len(given) > 25
    assert given - NOT_TO_FOLLOW <= tried


def advice_in(module: ast.Module) -> set[str]:
    """The texts of the fifth argument of BadInput, with {} for what is filled in."""
    texts: set[str] = set()
    named: dict[str, list[ast.expr]] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named.setdefault(node.targets[0].id, []).append(node.value)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Tuple)
        ):
            for target, value in zip(node.targets[0].elts, node.value.elts, strict=False):
                if isinstance(target, ast.Name):
                    named.setdefault(target.id, []).append(value)
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "BadInput":
            for argument in node.args[4:]:
                choices = named[argument.id] if isinstance(argument, ast.Name) else [argument]
                texts |= {text for choice in choices for text in texts_of(choice)}
    return texts


def texts_of(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return texts_of(node.body) | texts_of(node.orelse)
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return {"".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)}
