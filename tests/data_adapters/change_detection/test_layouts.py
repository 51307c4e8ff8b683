"""Pairs are found in every layout as downloaded, and matched by name."""

import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.labels import LabelCoding
from transect.data_adapters.change_detection.layouts import LAYOUTS, find_pairs
from transect.data_adapters.change_detection.pairs import missing_partners
from transect.data_adapters.files import safe_name

OSCD_IMAGES = "Onera Satellite Change Detection dataset - Images"
OSCD_TRAIN, OSCD_TEST = (f"Onera Satellite Change Detection dataset - {split} Labels" for split in ("Train", "Test"))
OSCD_BANDS = [f"B{band:02}" for band in range(1, 13)] + ["B8A"]
WHU = "1. The two-period image data"


def sides(*folders: str, names: tuple[str, ...] = ("1.png", "2.png")) -> list[str]:
    return [f"{folder}/{name}" for folder in folders for name in names]


def by_split(*folders: str, root: str = "", names: tuple[str, ...] = ("1.png", "2.png")) -> list[str]:
    return sides(*(f"{root}{split}/{folder}" for split in ("train", "test") for folder in folders), names=names)


def oscd(region: str, labels: str, mask: str = "cm.png") -> list[str]:
    bands = [f"{OSCD_IMAGES}/{region}/imgs_{side}_rect/{band}.tif" for side in (1, 2) for band in OSCD_BANDS]
    return [*bands, f"{OSCD_IMAGES}/{region}/dates.txt", f"{labels}/{region}/cm/{mask}"]


def whu(split: str) -> list[str]:
    images = [f"{WHU}/{year}/whole_image/{split}/image/{year}_{split}.tif" for year in (2012, 2016)]
    return [*images, f"{WHU}/change_label/{split}/change_label.tif"]


BY_SPLIT = ["test_1", "test_2", "train_1", "train_2"]
NAMED = ("train_1.png", "train_2.png", "val_1.png", "test_1.png")
BIT = ("train_1_0_0.png", "train_1_0_256.png", "test_7_0_0.png")

# The files of each layout, and the expected identifiers and splits.
FILES: dict[str, tuple[list[str], list[str]]] = {
    "LEVIR-CD": (
        [f"{split}/{side}/{split}_1.png" for split in ("train", "val", "test") for side in ("A", "B", "label")],
        ["test_1", "train_1", "val_1"],
    ),
    "LEVIR-CD in one folder": (sides("A", "B", "label", names=NAMED), ["test_1", "train_1", "train_2", "val_1"]),
    "LEVIR-CD+": (
        by_split("A", "B", "label", root="LEVIR-CD+/"),
        BY_SPLIT,
    ),
    "BIT, names with extension": (
        [
            *sides("A", "B", "label", names=BIT),
            "list/train.txt=train_1_0_0.png\ntrain_1_0_256.png\n",
            "list/test.txt=test_7_0_0.png\n",
        ],
        ["test_7_0_0", "train_1_0_0", "train_1_0_256"],
    ),
    "BIT, names without extension": (
        [*sides("A", "B", "label"), "list/train.txt=1\r\n", "list/val.txt=\ufeff2"],
        ["train_1", "val_2"],
    ),
    "WHU-CD of rschange": (
        by_split("image1", "image2", "label"),
        BY_SPLIT,
    ),
    "WHU-CD as distributed": (whu("train") + whu("test"), ["test_whole_image", "train_whole_image"]),
    "DSIFN": (
        [
            *sides("train/t1", "train/t2", names=("1.jpg", "2.jpg")),
            *sides("train/mask"),
            *sides("test/t1", "test/t2", names=("1.jpg", "2.jpg")),
            *sides("test/mask", names=("1.tif", "2.tif")),
        ],
        BY_SPLIT,
    ),
    "CLCD of open-cd, SYSU-CD": (
        by_split("time1", "time2", "label"),
        BY_SPLIT,
    ),
    "S2Looking": (
        by_split("Image1", "Image2", "label", "label1", "label2"),
        BY_SPLIT,
    ),
    "SVCD": (
        by_split("A", "B", "OUT", names=("1.jpg", "2.jpg")),
        BY_SPLIT,
    ),
    "SECOND": (
        by_split("im1", "im2", "label1", "label2"),
        BY_SPLIT,
    ),
    "Landsat-SCD": (
        by_split("im1", "im2", "label1", "label2", "label"),
        BY_SPLIT,
    ),
    "RSIPAC": ([*sides("A", "B", names=("1.tif", "2.tif")), *sides("label")], ["1", "2"]),
    "OSCD": (
        [*oscd("paris", OSCD_TRAIN), *oscd("rio", OSCD_TEST), *oscd("bercy", OSCD_TRAIN, "bercy-cm.tif")],
        ["test_rio", "train_bercy", "train_paris"],
    ),
    "BRIGHT": (
        [
            *(f"dfc/train/{t}/{n}_{e}.tif" for n in ("x_01", "y_02") for t, e in (
                ("pre-event", "pre_disaster"), ("post-event", "post_disaster"), ("target", "building_damage"))),
            "dfc/val/pre-event/z_03_pre_disaster.tif",
            "dfc/val/post-event/z_03_post_disaster.tif",
            "dfc/train_setlevel.txt=x_01\n",
            "dfc/holdout_setlevel.txt=y_02\n",
            "dfc/val_setlevel.txt=z_03\n",
        ],
        ["test_z_03", "train_x_01", "val_y_02"],
    ),
    "a user's own": (sides("before", "after", "label", names=("north.tif", "south.tif")), ["north", "south"]),
    "a user's own, without labels": (sides("Before", "AFTER", names=("north.tif",)), ["north"]),
    "splits below the sides": (
        sides(*(f"{side}/{split}" for side in ("A", "B", "label") for split in ("Train", "valid"))),
        ["train_1", "train_2", "val_1", "val_2"],
    ),
    "several places": (
        sides("north/A", "north/B", "south/A", "south/B"),
        ["north_1", "north_2", "south_1", "south_2"],
    ),
}  # fmt: skip


def build(root: Path, files: list[str]) -> None:
    """Write the files; `path=text` sets their content. Rasters are empty, since finding pairs opens none."""
    for file in files:
        name, _, text = file.partition("=")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or ("date_1: 20161130\ndate_2: 20170829\n" if path.name == "dates.txt" else ""))


@pytest.mark.parametrize("layout", FILES)
def test_every_layout(tmp_path: Path, layout: str) -> None:
    files, ids = FILES[layout]
    build(tmp_path, files)
    build(tmp_path, [f"{Path(file).parent}/._{Path(file.partition('=')[0]).name}" for file in files if "=" not in file])
    pairs = find_pairs(str(tmp_path))
    assert [pair.id for pair in pairs] == ids
    assert missing_partners(pairs) == []
    for pair in pairs:
        assert pair.split == (pair.id.partition("_")[0] if pair.id.startswith(("train", "val", "test")) else "")
        assert safe_name(pair.id) == pair.id
        assert pair.files == (*pair.before, *pair.after, *([pair.label] if pair.label else []))
        assert all(Path(file).is_file() and not Path(file).name.startswith(".") for file in pair.files)
        assert set(pair.before).isdisjoint(pair.after)
        assert pickle.loads(pickle.dumps(pair)) == pair


RASTERS = [
    (layout, file)
    for layout, (files, _) in FILES.items()
    for file in files[:: 7 if layout == "OSCD" else 2]
    if file.endswith((".png", ".jpg", ".tif")) and "label2" not in file
    and not (layout in ("S2Looking", "Landsat-SCD") and "label1" in file)
    and not (layout == "OSCD" and "_rect" in file and Path(file).stem not in ("B02", "B03", "B04"))
]  # fmt: skip


@pytest.mark.parametrize(("layout", "file"), RASTERS, ids=[f"{layout}: {file}" for layout, file in RASTERS])
def test_a_missing_file_is_missed_by_its_own_pair_alone(tmp_path: Path, layout: str, file: str) -> None:
    build(tmp_path, FILES[layout][0])
    whole = {pair.id: pair for pair in find_pairs(str(tmp_path))}
    (tmp_path / file).unlink()
    (owner,) = [name for name, pair in whole.items() if str(tmp_path / file) in pair.files]
    left = {pair.id: pair for pair in find_pairs(str(tmp_path))}
    assert left.keys() == whole.keys()
    assert {name: pair for name, pair in left.items() if name != owner} == {
        name: pair for name, pair in whole.items() if name != owner
    }
    assert sum(bool(part) for part in (left[owner].before, left[owner].after, left[owner].label)) == (
        sum(bool(part) for part in (whole[owner].before, whole[owner].after, whole[owner].label)) - 1
    )
    if any(pair.label for name, pair in whole.items() if pair.split == whole[owner].split and name != owner):
        assert [line.partition(":")[0] for line in missing_partners(list(left.values()))] == [owner]


@pytest.mark.parametrize(
    ("layout", "identifier", "coding", "ending"),
    [
        ("LEVIR-CD", "train_1", LabelCoding.BINARY, "train/label/train_1.png"),
        ("SVCD", "train_1", LabelCoding.BINARY, "OUT/1.jpg"),
        ("DSIFN", "test_1", LabelCoding.BINARY, "test/mask/1.tif"),
        ("S2Looking", "train_1", LabelCoding.BINARY, "label/1.png"),
        ("SECOND", "train_1", LabelCoding.SEMANTIC, "label1/1.png"),
        ("Landsat-SCD", "train_1", LabelCoding.BINARY, "label/1.png"),
        ("OSCD", "train_paris", LabelCoding.BINARY, "cm.png"),
        ("OSCD", "train_bercy", LabelCoding.ONE_TWO, "bercy-cm.tif"),
        ("BRIGHT", "train_x_01", LabelCoding.DAMAGE, "target/x_01_building_damage.tif"),
        ("WHU-CD as distributed", "test_whole_image", LabelCoding.BINARY, "change_label/test/change_label.tif"),
    ],
)
def test_labels_and_what_they_mean(
    tmp_path: Path, layout: str, identifier: str, coding: LabelCoding, ending: str
) -> None:
    build(tmp_path, FILES[layout][0])
    pair = {pair.id: pair for pair in find_pairs(str(tmp_path))}[identifier]
    assert pair.coding is coding
    assert pair.label.endswith(ending)


def test_every_row_of_the_table_is_tested() -> None:
    written = {part.casefold() for files, _ in FILES.values() for file in files for part in Path(file).parts}
    for layout in LAYOUTS:
        assert {layout.before, layout.after, *layout.labels} <= written


def test_a_split_folder_alone_reads_the_same_pairs(tmp_path: Path) -> None:
    build(tmp_path, FILES["WHU-CD of rschange"][0])
    whole = {pair.files for pair in find_pairs(str(tmp_path)) if pair.split == "test"}
    assert {pair.files for pair in find_pairs(str(tmp_path / "test"))} == whole


def test_tiles_of_one_scene_share_a_group(tmp_path: Path) -> None:
    build(tmp_path, FILES["BIT, names with extension"][0])
    assert [pair.group for pair in find_pairs(str(tmp_path))] == ["test_7", "train_1", "train_1"]


# Real samples of the published layouts


def test_torchgeo_samples(shared_file) -> None:
    expected = {
        "levircd/levircd": ["test_0", "test_1", "train_0", "train_1", "val_0", "val_1"],
        "levircd/levircdplus": ["test_00", "test_01", "train_00", "train_01"],
        "oscd": ["test", "train_train1", "train_train2"],
        "bright": [
            "test_val-disaster_00000001",
            "test_val-disaster_00000002",
            "train_bata-explosion_00000014",
            "train_bata-explosion_00000047",
            "train_bata-explosion_00000049",
            "val_turkey-earthquake_00000413",
        ],
    }
    for folder, ids in expected.items():
        pairs = find_pairs(str(shared_file(f"data/change_detection/torchgeo_formats/{folder}")))
        assert [pair.id for pair in pairs] == ids
        assert missing_partners(pairs) == []
        assert all(Path(file).is_file() for pair in pairs for file in pair.files)
        assert [bool(pair.label) for pair in pairs] == [folder != "bright"] * len(ids)


def test_oscd_sample_in_full(shared_file) -> None:
    pair = find_pairs(str(shared_file("data/change_detection/torchgeo_formats/oscd")))[1]
    assert (pair.split, pair.dates) == ("train", ("2016-11-30", "2017-08-29"))
    assert [Path(path).parts[-2:] for path in pair.before] == [("imgs_1_rect", f"B0{band}.tif") for band in (4, 3, 2)]
    assert [Path(path).parts[-2:] for path in pair.after] == [("imgs_2_rect", f"B0{band}.tif") for band in (4, 3, 2)]
    assert Path(pair.label).parts[-4:] == (OSCD_TRAIN, "train1", "cm", "cm.png")


def test_chabud_says_why_it_cannot_be_read(shared_file) -> None:
    file = shared_file("data/change_detection/torchgeo_formats/chabud/train_eval.hdf5")
    for given_path in (file.parent, file):
        with pytest.raises(BadInput, match=r"train_eval\.hdf5: format: found HDF5, expected .+GeoTIFF"):
            find_pairs(str(given_path))


# List files


def test_listed_names_without_files_are_missing_pairs(tmp_path: Path) -> None:
    build(tmp_path, [*sides("A", "B", "label"), "list/train.txt=1.png\n2.png\n3.png\n"])
    assert missing_partners(find_pairs(str(tmp_path))) == ["train_3: no before and no after and no label"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b.png", "..\\b.png"])
def test_listed_names_stay_inside(tmp_path: Path, name: str) -> None:
    build(tmp_path, [*sides("A", "B"), f"list/train.txt=1.png\n{name}\n"])
    with pytest.raises(BadInput, match=r"train\.txt: name: found .+, expected a name inside the data set's folder"):
        find_pairs(str(tmp_path))


def test_a_name_in_two_splits_is_refused(tmp_path: Path) -> None:
    build(tmp_path, [*sides("A", "B"), "list/train.txt=1\n", "list/test.txt=1.png\n"])
    with pytest.raises(BadInput, match=r"test\.txt: split: found 1 in train and test"):
        find_pairs(str(tmp_path))


# Invalid data sets


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "layout: found 0 files, expected a/ and b/.+before/ and after/.+OSCD.+Landsat or Sentinel-2"),
        (["A/1.png", "notes.txt"], "layout: found a/, 1 files, expected a/ and b/"),
        (["A/.hidden.png", "B/notes.txt"], "pairs: found no rasters in its folders"),
        ([*sides("A", "B"), "A/1.tif"], "A: names: found 1.png and 1.tif, expected one raster of each name"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, files: list[str], message: str) -> None:
    build(tmp_path, files)
    with pytest.raises(BadInput, match=message) as caught:
        find_pairs(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_inputs_that_are_no_inputs(tmp_path: Path) -> None:
    build(tmp_path, ["one.tif"])
    for inputs, message in [
        ((), "number: found 0, expected a folder, a CSV of pairs, or two rasters"),
        (("a", "b", "c"), "number: found 3"),
        ((str(tmp_path / "one.tif"),), "one.tif: input: found one file"),
        ((str(tmp_path / "nowhere"),), "nowhere: folder: found no such file or directory"),
        ((str(tmp_path / "nowhere.csv"),), r"nowhere\.csv: table: found No such file"),
        (("nul\0byte",), "folder: found embedded null byte"),
    ]:
        with pytest.raises(BadInput, match=message):
            find_pairs(*inputs)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Drop the superuser's permission to read everything, if this process has it."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    build(tmp_path, sides("A", "B"))
    folder = tmp_path / "B"
    folder.chmod(0)
    try:
        temporary = Path(tempfile.gettempdir()).resolve()
        for parent in [tmp_path, *tmp_path.parents]:
            if temporary in parent.resolve().parents:
                parent.chmod(0o755)
        with (
            ordinary_user(),
            pytest.raises(BadInput, match="B: folder: found permission denied, expected a folder that"),
        ):
            find_pairs(str(tmp_path))
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("place", ["list/train.txt", "List/Train.TXT"])
def test_a_list_is_honoured_in_any_case(tmp_path: Path, place: str, caplog) -> None:
    build(tmp_path, [*sides("A", "B", "label"), f"{place}=1.png\n"])
    pairs = find_pairs(str(tmp_path))
    assert [(pair.id, pair.split, pair.split_source) for pair in pairs] == [
        ("2", "", "list files"),
        ("train_1", "train", "list files"),
    ]
    assert not caplog.records


@pytest.mark.parametrize(
    "place", ["train.txt", "splits/val.txt", "list/trainval_train.txt", "list/demo.txt", "lists/Validation.txt"]
)
def test_a_list_at_another_place_is_named_as_ignored(tmp_path: Path, place: str, caplog) -> None:
    build(tmp_path, [*sides("A", "B", "label"), f"{place}=1.png\n"])
    assert [pair.split for pair in find_pairs(str(tmp_path))] == ["", ""]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path}/{place}: ignored: lists are read from list/train.txt, list/val.txt, list/test.txt, "
        "train_setlevel.txt, holdout_setlevel.txt, val_setlevel.txt"
    )


def test_a_list_of_other_names_is_named_as_ignored(tmp_path: Path, caplog) -> None:
    build(tmp_path, [*sides("A", "B", "label"), "list/train.txt=x.png\ny.png\n", "list/test.txt=2.png\n", "notes.txt"])
    pairs = find_pairs(str(tmp_path))
    assert [(pair.id, pair.split) for pair in pairs] == [("1", ""), ("test_2", "test")]
    (record,) = caplog.records
    assert record.getMessage() == f"{tmp_path}/list/train.txt: ignored, since no pair has any of its names, such as x"
