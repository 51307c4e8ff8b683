"""STAC items: bands by common name, scale and nodata, and where links may lead."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data_adapters.change_detection.products.server import serving
from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.pairs import Pair

Write = Callable[..., Path]

SENTINEL = {"platform": "sentinel-2b", "s2:processing_baseline": "05.00"}


def item(folder: Path, assets: dict[str, dict[str, Any]], day: str = "2021-05-13", **properties: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"scene_{day}",
        "geometry": None,
        "properties": {"datetime": f"{day}T10:10:31Z", **properties},
        # None of these may be opened: nothing listens there.
        "links": [{"rel": rel, "href": f"http://127.0.0.1:9/{rel}.json"} for rel in ("self", "root", "parent")],
        "assets": assets,
    }
    (folder / "item.json").write_text(json.dumps(content))
    return folder / "item.json"


def asset(href: str, name: str = "", common: str = "", **fields: object) -> dict[str, Any]:
    bands = [{"name": name, "common_name": common}] if name else []
    return {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"], "eo:bands": bands, **fields}


def constant(raster: Write, path: Path, value: int, count: int = 1) -> str:
    raster(path, np.full((count, 16, 16), value, "uint16"))
    return path.name


def values(*inputs: object, **settings: object) -> tuple[Pair, list[float], list[float]]:
    adapter = ChangeAdapter(ReadConfig(**settings))  # type: ignore[arg-type]
    (pair,) = adapter.cases(*map(str, inputs))
    strip = adapter.read(pair).window(0, 0, 16, 16)
    return pair, *(side[:, 3, 3].round(5).tolist() for side in (strip.before, strip.after))  # type: ignore[return-value]


def test_bands_scale_and_date_come_from_the_item(raster: Write, tmp_path: Path) -> None:
    stored = [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]
    assets = {
        "visual": asset(constant(raster, tmp_path / "a" / "tci.tif", 7, 3), "red", "red", roles=["visual"]),
        "red": asset(constant(raster, tmp_path / "a" / "B04.tif", 3000), "red", "red", **{"raster:bands": stored}),
        "red-jp2": asset("B04.jp2", "red", "red", **{"raster:bands": stored}, type="image/jp2"),
        "rededge2": asset(constant(raster, tmp_path / "a" / "B06.tif", 4000), "rededge2", "rededge"),
        "rededge1": asset(constant(raster, tmp_path / "a" / "B05.tif", 3500), "rededge1", "rededge"),
        "scl": asset(constant(raster, tmp_path / "a" / "SCL.tif", 4)),
    }
    first = item(tmp_path / "a", assets, **SENTINEL)
    # The offset is in the pixels already, although raster:bands gives it.
    applied = {
        "red": asset(constant(raster, tmp_path / "b" / "B04.tif", 2000), "red", "red", **{"raster:bands": stored}),
        "rededge1": asset(constant(raster, tmp_path / "b" / "B05.tif", 2500), "rededge1", "rededge"),
    }
    second = item(tmp_path / "b", applied, "2023-05-18", **SENTINEL, **{"earthsearch:boa_offset_applied": True})
    pair, before, after = values(first, second, bands=["red", "rededge1"])
    assert (before, after) == (pytest.approx([0.2, 0.25]), pytest.approx([0.2, 0.25]))
    assert (pair.id, pair.dates) == ("scene_2021-05-13__scene_2023-05-18", ("2021-05-13", "2023-05-18"))
    assert pair.products[0]
    assert (pair.products[0].sensor, pair.products[0].fill) == ("Sentinel-2", 0)
    assert str(first) in pair.files
    assert pair.products[0].quality
    assert (Path(pair.products[0].quality.file).name, pair.products[0].quality.kind) == ("SCL.tif", "scl")
    # A quality band elsewhere is left alone, and refused where it is needed.
    far = item(tmp_path / "a", assets | {"scl": asset("../SCL.tif")}, **SENTINEL)
    pair, *_ = values(far, far, bands=["red"])
    assert pair.products[0]
    assert pair.products[0].quality is None
    with pytest.raises(BadInput, match=r"asset scl: found ../SCL.tif"):
        values(far, far, bands=["red"], mask=["clouds"])


def test_landsat_bands_and_the_bands_of_stac_1_1(raster: Write, tmp_path: Path) -> None:
    scale = [{"scale": 2.75e-5, "offset": -0.2, "nodata": 0}]
    old = {"red": asset(constant(raster, tmp_path / "a" / "b.tif", 10_000), "OLI_B4", "red", **{"raster:bands": scale})}
    new_band = {"name": "B4", "eo:common_name": "red", "raster:scale": 2.75e-5, "raster:offset": -0.2, "nodata": 0}
    new = {"data": {"href": constant(raster, tmp_path / "b" / "b.tif", 10_000), "bands": [new_band]}}
    first = item(tmp_path / "a", old, platform="landsat-8", **{"landsat:correction": "L2SP"})
    second = item(tmp_path / "b", new, "2023-05-18", platform="LANDSAT_9")
    pair, before, after = values(first, second, bands=["red"])
    assert (before, after) == (pytest.approx([0.075]), pytest.approx([0.075]))
    assert [product.sensor for product in pair.products if product] == ["Landsat 8-9 OLI"] * 2


def test_a_file_of_several_bands_of_an_unknown_sensor(raster: Write, tmp_path: Path) -> None:
    stacked = np.arange(1, 5, dtype="uint16")[:, None, None] * np.full((4, 16, 16), 100, "uint16")
    raster(tmp_path / "stack.tif", stacked)
    bands = [{"name": f"b{number}", "common_name": name} for number, name in enumerate(("blue", "green", "red", "nir"))]
    path = item(tmp_path, {"analytic": {"href": "stack.tif", "eo:bands": bands}})
    assert values(path, path)[1] == [300, 200, 100]
    with pytest.raises(BadInput, match=r"bands of scene_2021-05-13: found none of them, expected swir1; .*blue, green"):
        values(path, path, bands=["swir1"])


def test_links_out_of_the_folder_are_followed_only_if_that_is_set(raster: Write, tmp_path: Path) -> None:
    constant(raster, tmp_path / "elsewhere.tif", 500)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link.tif").symlink_to(tmp_path / "elsewhere.tif")
    for href in (
        "../elsewhere.tif",
        str(tmp_path / "elsewhere.tif"),
        (tmp_path / "elsewhere.tif").as_uri(),
        "link.tif",
    ):
        path = item(tmp_path / "a", {"red": asset(href, "B04", "red")})
        with pytest.raises(
            BadInput, match=r"asset red: found .+, expected a file in the item's folder.+read.remote any"
        ):
            values(path, path, bands=["red"])
        assert values(path, path, bands=["red"], remote="any")[1] == [500]
    for href in ("/vsicurl/http://127.0.0.1:9/a.tif", "ftp://127.0.0.1/a.tif", 'NETCDF:"a.nc"', "/vsizip/a.zip/b.tif"):
        path = item(tmp_path / "a", {"red": asset(href, "B04", "red")})
        for remote in ("item", "any"):
            with pytest.raises(BadInput, match=r"asset red: found .+, expected an address"):
                values(path, path, bands=["red"], remote=remote)


def test_a_remote_link_and_a_remote_item(raster: Write, tmp_path: Path) -> None:
    constant(raster, tmp_path / "host" / "B04.tif", 2000)
    with serving(tmp_path / "host") as (host, served), serving(tmp_path / "host") as (other, requests):
        local = item(tmp_path / "local", {"red": asset(f"{host}/B04.tif", "B04", "red")})
        with pytest.raises(BadInput, match=r"asset red: found http://.+B04.tif, expected a file in the item's folder"):
            values(local, local, bands=["red"])
        assert values(local, local, bands=["red"], remote="any")[1] == [2000]

        item(tmp_path / "host" / "near", {"red": asset("../B04.tif", "B04", "red")}, **SENTINEL)
        item(tmp_path / "host" / "far", {"red": asset(f"{other}/B04.tif", "B04", "red")})
        item(tmp_path / "host" / "file", {"red": asset(f"file://{tmp_path}/host/B04.tif", "B04", "red")})
        pair, before, _ = values(f"{host}/near/item.json", f"{host}/near/item.json?a=1", bands=["red"])
        assert (before, pair.dates[0]) == (pytest.approx([0.1]), "2021-05-13")
        assert {name for name, _ in served.sent} == {"B04.tif", "near/item.json"}
        with pytest.raises(BadInput, match=r"asset red: found http://127.+expected 127.0.0.1:\d+; .*read.remote any"):
            values(f"{host}/far/item.json", f"{host}/far/item.json", bands=["red"])
        assert requests.sent == []
        assert values(f"{host}/far/item.json", f"{host}/far/item.json", bands=["red"], remote="any")[1] == [2000]
        with pytest.raises(BadInput, match="asset red: found file://"):
            values(f"{host}/file/item.json", f"{host}/file/item.json", bands=["red"], remote="any")


def test_an_item_that_cannot_be_fetched_is_named(tmp_path: Path) -> None:
    item(tmp_path / "other", {})
    with serving(tmp_path) as (host, handler), serving(tmp_path) as (other, requests):
        handler.moved["moved.json"] = f"{other}/other/item.json"
        for name, message in (("missing.json", "Not Found"), ("moved.json", f"a redirection to {other}")):
            with pytest.raises(BadInput, match=f"{host}/{name}: STAC item: found .*{message}"):
                values(f"{host}/{name}", f"{host}/{name}")
        assert requests.sent == []
    with pytest.raises(BadInput, match="STAC item: found s3, expected a file, http or https; download the item"):
        values("s3://bucket/item.json", "s3://bucket/item.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "found list, expected a JSON object"),
        ("{", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ('{"type": "FeatureCollection", "features": []}', "expected an item of STAC"),
        ('{"type": "Feature", "stac_version": "1.0.0", "id": 5, "assets": [1]}', "expected an item of STAC"),
    ],
)
def test_a_file_that_is_no_item_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadInput, match=rf"a\.json: STAC item: .*{message}"):
        values(tmp_path / "a.json", tmp_path / "a.json")


def test_an_item_without_a_named_band_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing: red, green, blue; no band of it is named$"):
        ChangeAdapter(ReadConfig()).cases(str(item(tmp_path / "a", {})), str(item(tmp_path / "b", {})))


def test_a_huge_item_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(BadInput, match=r"a\.json: size: found 1073741824 bytes"):
        values(tmp_path / "a.json", tmp_path / "a.json")
