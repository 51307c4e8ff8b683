"""Labels of one data set share a coding, wherever their values leave it open in a single file."""

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import label_sets
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.pairs import Pair

ADAPTER = ChangeAdapter(ReadConfig(bands=[1]))


def image(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """Write (rows, width), or (bands, rows, width) to a TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".tif":
        Image.fromarray(values).save(path, **profile)
        return path
    bands = values[None] if values.ndim == 2 else values
    profile = {"driver": "GTiff", "dtype": bands.dtype, "count": len(bands), **profile}
    with rasterio.open(path, "w", height=8, width=8, **profile) as raster:
        raster.write(bands)
    return path


def data_set(root: Path, extension: str = "png", **labels: np.ndarray) -> Path:
    """Pairs of 8 x 8 pixels in `test`, except those named `train...`, with the given labels."""
    for name, label in labels.items():
        split = root / ("train" if name.startswith("train") else "test")
        for side in ("before", "after"):
            image(split / side / f"{name}.png", np.arange(64, dtype=np.uint8).reshape(8, 8))
        image(split / "label" / f"{name}.{extension}", label)
    return root


def tile(*rows: int, dtype: Any = np.uint8) -> np.ndarray:
    """8 x 8 pixels whose first rows have these values; 0 below."""
    return np.repeat(np.array([*rows, *[0] * (8 - len(rows))], dtype)[:, None], 8, axis=1)


def counts(*inputs: str) -> dict[str, tuple[int, int, int]]:
    """By pair: rows of no change, change and unknown."""
    found = {}
    for pair in ADAPTER.cases(*inputs):
        scene = pickle.loads(pickle.dumps(ADAPTER.read(pickle.loads(pickle.dumps(pair)))))
        labels = scene.labels(0, 8)
        found[Path(pair.label).stem] = tuple(int((labels == value).sum()) // 8 for value in (0, 1, 255))
    return found


def warnings(root: Path) -> dict[str, str]:
    """By pair: what `check` warns of."""
    found = {}
    for pair in ADAPTER.cases(str(root)):
        facts = ADAPTER.check(pair, ADAPTER.read(pair), None)
        found[Path(pair.label).stem] = str(facts.get("warnings", ""))
    return found


def test_255_is_unknown_in_every_tile_of_a_set_that_has_1(tmp_path: Path) -> None:
    data_set(tmp_path, train_a=tile(1, 255), b=tile(255, 255), c=tile(1), d=tile(), all255=tile(*[255] * 8))
    assert counts(str(tmp_path)) == {
        "train_a": (6, 1, 1), "b": (6, 0, 2), "c": (7, 1, 0), "d": (8, 0, 0), "all255": (0, 0, 8),
    }  # fmt: skip
    # A pair that is read alone belongs to its data set.
    pair = next(pair for pair in ADAPTER.cases(str(tmp_path)) if pair.id == "test_b")
    assert (ADAPTER.read(pair).labels(0, 2) == 255).all()


def test_255_is_change_in_a_set_without_1(tmp_path: Path) -> None:
    data_set(tmp_path, a=tile(255), b=tile(255, 255), c=tile())
    assert counts(str(tmp_path)) == {"a": (7, 1, 0), "b": (6, 2, 0), "c": (8, 0, 0)}
    assert set(warnings(tmp_path).values()) == {""}


def test_a_set_of_0_1_and_0_255_reads_255_as_unknown_and_warns(tmp_path: Path, caplog) -> None:
    data_set(tmp_path, a=tile(1), b=tile(255), c=tile(255, 255))
    with caplog.at_level(logging.WARNING, "transect"):
        assert counts(str(tmp_path)) == {"a": (7, 1, 0), "b": (7, 0, 1), "c": (6, 0, 2)}
    said = f"255 is read as unknown, since {tmp_path}/test/label/a.png has 1 for change"
    assert warnings(tmp_path) == {"a": "", "b": f"label: {said}", "c": f"label: {said}"}
    assert [record.getMessage() for record in caplog.records] == [f"labels in {tmp_path}/test/label: {said}"]


def test_a_table_is_a_data_set_too(tmp_path: Path) -> None:
    data_set(tmp_path, a=tile(1, 255), b=tile(255))
    rows = [f"test/before/{name}.png,test/after/{name}.png,test/label/{name}.png" for name in "ab"]
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(["before,after,label", *rows]))
    assert counts(str(table)) == {"a": (6, 1, 1), "b": (7, 0, 1)}
    table.write_text("\n".join(["before,after,label", rows[1]]))
    assert counts(str(table)) == {"b": (7, 1, 0)}


def test_other_data_sets_below_one_folder_have_a_coding_of_their_own(tmp_path: Path) -> None:
    data_set(tmp_path / "one", a=tile(1, 255))
    data_set(tmp_path / "two", b=tile(255))
    assert counts(str(tmp_path)) == {"a": (6, 1, 1), "b": (7, 1, 0)}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_types_of_one_set_may_differ(tmp_path: Path, dtype: str) -> None:
    data_set(tmp_path, a=tile(1, 255))
    data_set(tmp_path, extension="tif", b=tile(255, dtype=dtype), c=tile(1, dtype=dtype))
    assert counts(str(tmp_path)) == {"a": (6, 1, 1), "b": (7, 0, 1), "c": (7, 1, 0)}


def test_change_that_is_declared_as_nodata_is_not_lost(tmp_path: Path) -> None:
    data_set(tmp_path, a=tile(), b=tile())
    for name, rows in (("a", (255,)), ("b", (255, 255))):
        label = tmp_path / f"test/label/{name}.png"
        label.unlink()
        image(label.with_suffix(".tif"), tile(*rows), nodata=255)
    assert counts(str(tmp_path)) == {"a": (7, 1, 0), "b": (6, 2, 0)}
    said = "label: 255 is declared as nodata but read as change, since no label of the data set has 1 for change"
    assert warnings(tmp_path) == {"a": said, "b": said}


def test_nodata_255_is_unknown_in_a_set_that_has_1(tmp_path: Path) -> None:
    data_set(tmp_path, a=tile(), b=tile(1))
    (tmp_path / "test/label/a.png").unlink()
    image(tmp_path / "test/label/a.tif", tile(255), nodata=255)
    assert counts(str(tmp_path)) == {"a": (7, 0, 1), "b": (7, 1, 0)}
    assert set(warnings(tmp_path).values()) == {""}


@pytest.mark.parametrize("nodata", [0, 1])
def test_nodata_that_is_a_class_is_still_the_class(tmp_path: Path, nodata: int) -> None:
    data_set(tmp_path, a=tile())
    (tmp_path / "test/label/a.png").unlink()
    image(tmp_path / "test/label/a.tif", tile(1, 255), nodata=nodata)
    assert counts(str(tmp_path)) == {"a": (6, 1, 1)}


def test_nan_and_transparent_pixels_are_unknown(tmp_path: Path) -> None:
    data_set(tmp_path, **{name: tile() for name in ("nan", "nan255", "rgba", "la")})
    for name in ("nan", "nan255", "rgba", "la"):
        (tmp_path / f"test/label/{name}.png").unlink()
    folder = tmp_path / "test/label"
    image(folder / "nan.tif", tile(1, np.nan, dtype=np.float32))
    image(folder / "nan255.tif", tile(255, np.nan, dtype=np.float32))
    white, opaque = tile(255, 255), 255 - tile(0, 255)
    image(folder / "rgba.png", np.stack([white, white, white, opaque], axis=-1))
    image(folder / "la.png", np.stack([tile(255, 255), opaque], axis=-1))
    # "nan" has 1, so 255 is unknown in the set.
    assert counts(str(tmp_path))["nan"] == (6, 1, 1)
    for file in tmp_path.glob("test/*/nan.*"):
        file.unlink()
    assert counts(str(tmp_path)) == {name: (6, 1, 1) for name in ("nan255", "rgba", "la")}


def test_a_mask_inside_the_label_is_unknown(tmp_path: Path) -> None:
    data_set(tmp_path, a=tile())
    (tmp_path / "test/label/a.png").unlink()
    label = image(tmp_path / "test/label/a.tif", tile(1))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(label, "r+") as raster:
        raster.write_mask(tile(255, 255, 0) > 0)
    assert counts(str(tmp_path)) == {"a": (1, 1, 6)}


BLACK, ONE, WHITE, RED, BLUE = (0, 0, 0), (1, 1, 1), (255, 255, 255), (255, 0, 0), (0, 0, 255)


def paletted(root: Path, extension: str, **palettes: tuple[tuple[int, ...], ...]) -> None:
    """Labels whose first row has index 1, the second 2 where there are three colours, and the others index 0."""
    data_set(root, **{name: tile() for name in palettes})
    for name, colours in palettes.items():
        (root / f"test/label/{name}.png").unlink()
        indices, path = tile(*range(1, len(colours))), root / f"test/label/{name}.{extension}"
        with rasterio.open(
            path, "w", driver={"png": "PNG", "tif": "GTiff"}[extension], height=8, width=8, count=1, dtype="uint8"
        ) as raster:
            raster.write(indices, 1)
            raster.write_colormap(
                1, {index: (*colour[:3], *(colour[3:] or (255,))) for index, colour in enumerate(colours)}
            )


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_a_palette_is_expanded(tmp_path: Path, extension: str) -> None:
    paletted(tmp_path, extension, a=(BLACK, WHITE), b=(WHITE, BLACK), red=(BLACK, RED), ramp=(BLACK, ONE))
    assert counts(str(tmp_path)) == {"a": (7, 1, 0), "b": (1, 7, 0), "red": (7, 1, 0), "ramp": (7, 1, 0)}


def test_a_transparent_entry_of_a_palette_is_unknown(tmp_path: Path) -> None:
    paletted(tmp_path, "png", a=(WHITE, BLACK, (9, 9, 9, 0)))
    assert counts(str(tmp_path)) == {"a": (1, 6, 1)}


def test_a_palette_of_more_colours_is_refused_by_name(tmp_path: Path) -> None:
    paletted(tmp_path, "png", a=(BLACK, RED, BLUE))
    with pytest.raises(BadInput, match=r"a\.png: colours of the label's palette: found \(0, 0, 0\), \(0, 0, 255\)"):
        counts(str(tmp_path))


def test_one_bit_images_are_read_as_they_look(tmp_path: Path) -> None:
    data_set(tmp_path, a=tile(), b=tile(), png=tile())
    folder = tmp_path / "test/label"
    for name in "ab":
        (folder / f"{name}.png").unlink()
    image(folder / "a.tif", tile(1), nbits=1)
    image(folder / "b.tif", 1 - tile(1), nbits=1, photometric="miniswhite")
    Image.fromarray(tile(255)).convert("1").save(folder / "png.png")
    assert counts(str(tmp_path)) == {"a": (7, 1, 0), "b": (7, 1, 0), "png": (7, 1, 0)}


def test_images_of_one_bit_say_nothing_about_255_in_others(tmp_path: Path) -> None:
    data_set(tmp_path, a=tile(1), b=tile(255))
    Image.fromarray(tile(255)).convert("1").save(tmp_path / "test/label/a.png")
    assert counts(str(tmp_path)) == {"a": (7, 1, 0), "b": (7, 1, 0)}
    data_set(tmp_path, a=tile(), extension="tif")
    (tmp_path / "test/label/a.png").unlink()
    image(tmp_path / "test/label/a.tif", tile(1), nbits=1)
    assert counts(str(tmp_path)) == {"a": (7, 1, 0), "b": (7, 1, 0)}


def test_a_jpeg_decides_nothing_about_the_others(tmp_path: Path) -> None:
    data_set(tmp_path, b=tile(255), a=tile())
    (tmp_path / "test/label/a.png").unlink()
    image(tmp_path / "test/label/a.jpg", tile(*[255] * 4), quality=60)
    assert counts(str(tmp_path)) == {"a": (4, 4, 0), "b": (7, 1, 0)}


def test_a_jpeg_of_0_and_1_is_warned_of(tmp_path: Path) -> None:
    data_set(tmp_path, a=tile(), b=tile(), c=tile())
    for name, label in (("a", tile(*[1] * 8)), ("b", tile(*[255] * 4)), ("c", tile())):
        (tmp_path / f"test/label/{name}.png").unlink()
        image(tmp_path / f"test/label/{name}.jpg", label, quality=90)
    said = "label: nothing is read as change, since no value of the JPEG is 128 or more; the largest is 1"
    assert warnings(tmp_path) == {"a": said, "b": "", "c": ""}


def test_a_broken_label_fails_alone_and_decides_nothing(tmp_path: Path) -> None:
    data_set(tmp_path, b=tile(255), c=tile(1, 7), d=tile())
    (tmp_path / "test/label/d.png").write_bytes(b"no image")
    pairs = {pair.id: pair for pair in ADAPTER.cases(str(tmp_path))}
    assert (ADAPTER.read(pairs["test_b"]).labels(0, 1) == 1).all()
    for name, message in (("test_c", "label values: found 0, 1, 7"), ("test_d", r"d\.png")):
        with pytest.raises(BadInput, match=message):
            ADAPTER.read(pairs[name]).labels(0, 1)


def test_a_pair_of_a_large_set_stays_small(tmp_path: Path) -> None:
    labels = {f"t{number}": tile(255) for number in range(200)}
    pairs = [pair for pair in ADAPTER.cases(str(data_set(tmp_path, **labels))) if isinstance(pair, Pair)]
    assert len(pickle.dumps(pairs[0])) < 2000
    assert pairs[0].label_set == (str(tmp_path / "test/label"),)


def test_a_set_is_scanned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_set(tmp_path, **{f"t{number}": tile(255) for number in range(5)})
    scanned = []
    monkeypatch.setattr(label_sets, "with_one", lambda path: scanned.append(path))
    assert set(counts(str(tmp_path)).values()) == {(7, 1, 0)}
    assert len(scanned) == 5
    data_set(tmp_path, new=tile(255))
    assert set(counts(str(tmp_path)).values()) == {(7, 1, 0)}
    assert len(scanned) == 5 + 6
