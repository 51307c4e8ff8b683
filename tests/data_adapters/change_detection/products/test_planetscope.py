"""PlanetScope images: surface reflectance, radiance with coefficients, 4 and 8 bands."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.pairs import Pair

Write = Callable[..., Path]

METADATA = """<ps:EarthObservation xmlns:ps="http://schemas.planet.com/ps/v1/planet_product_metadata_geocorrected_level">
{}</ps:EarthObservation>""".format(
    "".join(
        f"<ps:bandSpecificMetadata><ps:bandNumber>{band}</ps:bandNumber>"
        f"<ps:reflectanceCoefficient>{band}.0E-5</ps:reflectanceCoefficient></ps:bandSpecificMetadata>"
        for band in range(1, 5)
    )
)
FOUR, EIGHT = "20200518_101559_0f22_3B", "20230518_101559_12_2405_3B"


def image(raster: Write, path: Path, count: int) -> Path:
    """Band k is 1000 k."""
    return raster(path, np.full((count, 8, 8), 1000, "uint16") * np.arange(1, count + 1, dtype="uint16")[:, None, None])


def values(*inputs: Path, **settings: object) -> tuple[Pair, list[float], list[float]]:
    adapter = ChangeAdapter(ReadConfig(**settings))  # type: ignore[arg-type]
    (pair,) = adapter.cases(*map(str, inputs))
    strip = adapter.read(pair).window(0, 0, 8, 8)
    return pair, *(side[:, 3, 3].round(5).tolist() for side in (strip.before, strip.after))  # type: ignore[return-value]


def test_4_and_8_bands_by_name(raster: Write, tmp_path: Path) -> None:
    image(raster, tmp_path / f"{FOUR}_AnalyticMS_SR_clip.tif", 4)
    image(raster, tmp_path / f"{EIGHT}_AnalyticMS_SR_8b_harmonized_clip.tif", 8)
    raster(
        tmp_path / f"{EIGHT}_udm2_clip.tif", np.eye(8, dtype="uint8")[0][:, None, None] * np.ones((8, 8, 8), "uint8")
    )
    pair, before, after = values(tmp_path, bands=["red", "nir", "green"])
    assert (before, after) == (pytest.approx([0.3, 0.4, 0.2]), pytest.approx([0.6, 0.8, 0.4]))
    assert pair.dates == ("2020-05-18", "2023-05-18")
    assert [product.sensor for product in pair.products if product] == ["PlanetScope 4-band", "PlanetScope 8-band"]
    assert pair.products[1]
    assert pair.products[1].quality
    assert (pair.products[1].quality.kind, pair.products[1].fill) == ("udm2", 0)
    # In a folder the numbers mean natural colour, of a file that is named they are the file's own.
    assert values(tmp_path)[1] == pytest.approx([0.3, 0.2, 0.1])
    file = tmp_path / f"{FOUR}_AnalyticMS_SR_clip.tif"
    assert values(file, file)[1] == pytest.approx([0.1, 0.2, 0.3])
    with pytest.raises(BadInput, match=r"missing: rededge; choose with read.bands from blue 1, green 2, red 3, nir 4"):
        values(tmp_path, bands=["rededge"])


def test_radiance_by_the_coefficients_of_its_metadata(raster: Write, tmp_path: Path) -> None:
    file = image(raster, tmp_path / f"{FOUR}_AnalyticMS.tif", 4)
    adapter = ChangeAdapter(ReadConfig(bands=["red"]))
    (pair,) = adapter.cases(str(file), str(file))
    assert values(file, file, bands=["red"])[1] == [3000]
    assert "radiance, since there is no metadata.xml" in str(adapter.check(pair, adapter.read(pair), None)["warnings"])
    metadata = tmp_path / f"{FOUR}_AnalyticMS_metadata.xml"
    metadata.write_text(METADATA)
    assert values(file, file, bands=["red", "nir"])[1] == pytest.approx([3000 * 3e-5, 4000 * 4e-5])
    metadata.write_text(METADATA.replace("3.0E-5", "three"))
    with pytest.raises(BadInput, match=r"metadata.xml: reflectanceCoefficient: found three"):
        values(file, file, bands=["red"])
