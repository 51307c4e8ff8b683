"""Small satellite products, written in the layouts of their providers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

SIZE = 32


def write_raster(path: Path, values: np.ndarray, metres: float = 10, **profile: object) -> Path:
    """A raster (bands, height, width) whose upper left corner is that of all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jp2":
        profile = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES", **profile}
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        **{"driver": "GTiff", **profile},
        width=width,
        height=height,
        count=count,
        dtype=values.dtype,
        crs="EPSG:32632",
        transform=Affine(metres, 0, 7e5, 0, -metres, 5e6),
    ) as dataset:
        dataset.write(values)
    return path


def flat(value: float, size: int = SIZE, dtype: str = "uint16", count: int = 1) -> np.ndarray:
    """One value everywhere, and a gradient of 0..size-1 along the columns."""
    return np.broadcast_to(value + np.arange(size), (count, size, size)).astype(dtype)


@pytest.fixture
def safe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a `.SAFE` folder of level 2A or 1C; `stored` is the value of B02 at 10 m, and B03 is 100 above it."""

    def write(day: str, baseline: str, stored: float, metadata: str = "<x/>", level: str = "2A") -> Path:
        name = f"S2A_MSIL{level}_{day}T101031_N{baseline}_R022_T32TQM_{day}T134500.SAFE"
        images = tmp_path / name / "GRANULE" / f"L{level}_T32TQM_A030771_{day}T101559" / "IMG_DATA"
        for number, band in enumerate(("B02", "B03", "B04", "B08")):
            values = flat(stored + 100 * number)
            if level == "2A":
                write_raster(images / "R10m" / f"T32TQM_{day}T101031_{band}_10m.jp2", values)
                coarse = flat(60_000, SIZE // 2)  # must not be read
                write_raster(images / "R20m" / f"T32TQM_{day}T101031_{band}_20m.jp2", coarse, 20)
            else:
                write_raster(images / f"T32TQM_{day}T101031_{band}.jp2", values)
        if level == "2A":
            write_raster(images / "R20m" / f"T32TQM_{day}T101031_B11_20m.jp2", flat(stored + 500, SIZE // 2), 20)
            write_raster(images / "R20m" / f"T32TQM_{day}T101031_SCL_20m.jp2", flat(4, 16, "uint8") * 0 + 4, 20)
        quality = tmp_path / name / "GRANULE" / images.parent.name / "QI_DATA"
        write_raster(quality / "MSK_CLDPRB_20m.jp2", flat(0, 16, "uint8"), 20)
        (tmp_path / name / f"MTD_MSIL{level}.xml").write_text(metadata)
        return tmp_path / name

    return write


@pytest.fixture
def landsat(tmp_path: Path) -> Callable[..., Path]:
    """Writes the bands of a scene, the value of each by its suffix, and the metadata and quality band if given."""

    def write(
        scene: str, values: dict[str, float], metadata: str = "", quality: str = "", dtype: str = "uint16"
    ) -> Path:
        folder = tmp_path / scene
        for band, value in values.items():
            write_raster(folder / f"{scene}_{band}.TIF", flat(value, dtype=dtype), 30)
        if metadata:
            (folder / f"{scene}_MTL.txt").write_text(metadata)
        if quality:
            write_raster(folder / f"{scene}_{quality}.TIF", flat(0) * 0, 30)
        return folder

    return write


@pytest.fixture
def raster() -> Callable[..., Path]:
    """Writes a raster: (path, (bands, height, width) values, pixel size)."""
    return write_raster
