"""Remote rasters are read by windows, and a server that does not answer is named."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.data_adapters.change_detection.products.server import serving
from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.opening import STRICT
from transect.data_adapters.change_detection.scene import Scene

SIDE = 4096


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiled GeoTIFF of 16 MB that does not compress; row by row, the values of a generator."""
    path = tmp_path_factory.mktemp("remote") / "large.tif"
    values = np.random.default_rng(0).integers(0, 255, (1, SIDE, SIDE), dtype=np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="uint8", crs="EPSG:32632", tiled=True,
        blockxsize=256, blockysize=256, transform=Affine(10, 0, 7e5, 0, -10, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(values)
    return path


def scene_of(*inputs: str) -> Scene:
    adapter = ChangeAdapter(ReadConfig(bands=[1]))
    (pair,) = adapter.cases(*inputs)
    return adapter.read(pair)


def window_agrees(scene: Scene, path: Path) -> None:
    with rasterio.open(path) as dataset:
        expected = dataset.read(window=((2000, 2200), (1000, 1200)))
    strip = scene.window(2000, 1000, 200, 200)
    np.testing.assert_array_equal(strip.before, expected)
    np.testing.assert_array_equal(strip.after, expected)


def test_one_window_of_a_web_server_takes_few_bytes(large: Path) -> None:
    with serving(large.parent) as (host, handler):
        window_agrees(scene_of(f"{host}/large.tif", f"{host}/large.tif?again"), large)
        taken = sum(count for _, count in handler.sent)
        names = {name for name, _ in handler.sent}
    assert 200 * 200 < taken < 0.05 * large.stat().st_size
    assert names == {"large.tif"}  # no side file is looked for


def test_a_server_without_the_file_and_one_that_hangs_are_named(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(large.parent) as (host, handler):
        with pytest.raises(BadInput, match=r"http://127.+/missing.tif: file: found .*404"):
            scene_of(f"{host}/missing.tif", f"{host}/large.tif")
        handler.slow = ("slow.tif",)
        for name in ("GDAL_HTTP_MAX_RETRY", "GDAL_HTTP_RETRY_DELAY"):
            monkeypatch.setitem(STRICT, name, 0)
        start = time.monotonic()
        with (
            rasterio.Env(GDAL_HTTP_TIMEOUT="0.3"),
            pytest.raises(BadInput, match=r"http://127.+/slow.tif: file: found"),
        ):
            scene_of(f"{host}/slow.tif", f"{host}/large.tif")
        assert time.monotonic() - start < 20


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A bucket of an S3 server on the loopback address, with the settings of the environment that name it."""
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_S3_ENDPOINT": f"{host}:{port}",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="scenes")
    yield client
    server.stop()


def test_an_s3_bucket_by_the_settings_of_the_environment(large: Path, bucket: object) -> None:
    bucket.put_object(Bucket="scenes", Key="2021/large.tif", Body=large.read_bytes())  # type: ignore[attr-defined]
    window_agrees(scene_of("s3://scenes/2021/large.tif", "s3://scenes/2021/large.tif"), large)
    assert "AWS_S3_ENDPOINT" in os.environ
    with pytest.raises(BadInput, match=r"s3://scenes/none.tif: file: found"):
        scene_of("s3://scenes/none.tif", "s3://scenes/2021/large.tif")


def test_a_server_that_stops_answering_is_named(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GDAL_HTTP_MAX_RETRY", "GDAL_HTTP_RETRY_DELAY"):
        monkeypatch.setitem(STRICT, name, 0)
    with serving(large.parent) as (host, handler):
        scene = scene_of(f"{host}/large.tif?stops", f"{host}/large.tif?stops")
        handler.slow = ("large.tif",)
        with rasterio.Env(GDAL_HTTP_TIMEOUT="0.3"), pytest.raises(BadInput, match=rf"{host}/large.tif\?stops: "):
            scene.window(2000, 1000, 200, 200)
