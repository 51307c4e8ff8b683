"""The start of a training: what the data set has is said first, and nothing is left behind where it cannot be used."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from transect.data_adapters.change_detection.phantom import write_phantom


@pytest.fixture
def empty_place(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without a tracking store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


@pytest.fixture
def crops(empty_place: Path) -> Path:
    write_phantom(empty_place / "data" / "crops", 3, 0)
    return empty_place / "data" / "crops"


def refusal(command, place: Path, data: Path, *options: str) -> str:
    """The message of a refused training, which must have left nothing in the working folder but the data."""
    before = sorted(place.rglob("*"))
    status, printed, error = command("train", "change_detection", "--data", data, *options)
    assert (status, printed) in ((1, ""), (2, ""))
    assert "Traceback" not in error
    assert sorted(place.rglob("*")) == before
    return error.splitlines()[-1]


def test_a_wrong_path(command, empty_place):
    assert "nothing_here" in refusal(command, empty_place, empty_place / "nothing_here")


def test_an_empty_folder(command, empty_place):
    (empty_place / "data").mkdir()
    assert "data: layout: found 0 files" in refusal(command, empty_place, empty_place / "data")


@pytest.mark.parametrize("splits", [("train", "val", "test"), ("train",), ("val",)])
def test_pairs_without_labels(command, empty_place, crops, splits):
    for split in splits:
        shutil.rmtree(crops / split / "label")
    message = refusal(command, empty_place, crops)
    assert f"{splits[0] if len(splits) == 1 else 'val'}_" in message
    assert "label" in message


@pytest.mark.parametrize(("split", "side"), [("train", "A"), ("train", "label"), ("val", "B")])
def test_a_missing_partner(command, empty_place, crops, split, side):
    write_phantom(empty_place / "more", 8, 1)
    for file in (empty_place / "more").rglob("*.png"):
        target = crops / file.relative_to(empty_place / "more")
        file.rename(target.with_stem(f"{target.stem}0"))
    shutil.rmtree(empty_place / "more")
    missing = sorted((crops / split / side).iterdir())[0]
    missing.unlink()
    name = {"A": "before", "B": "after", "label": "label"}[side]
    assert f"{missing.stem}: no {name}" in refusal(command, empty_place, crops)


def test_a_file_that_is_no_image(command, empty_place, crops):
    (broken := next((crops / "train" / "B").iterdir())).write_text("no image")
    assert broken.name in refusal(command, empty_place, crops)


def test_a_single_pair(command, empty_place, crops):
    for split in ("val", "test"):
        shutil.rmtree(crops / split)
    found = "found 1 training and 0 validation cases, expected at least one of each"
    assert found in refusal(command, empty_place, crops)


def test_training_says_what_it_has(command, empty_place, crops, tiny):
    lists = crops.parent / "listed" / "list"
    lists.mkdir(parents=True)
    for side in ("A", "B", "label"):
        (crops.parent / "listed" / side).mkdir()
    names = {"train": "abc", "val": "d", "test": "efghijkl"}
    for split, of_split in names.items():
        (lists / f"{split}.txt").write_text("".join(f"{name}.png\n" for name in of_split))
        for name in of_split:
            for side in ("A", "B", "label"):
                with Image.open(next((crops / "train" / side).iterdir())) as image:
                    image.crop((0, 0, 64, 64)).save(crops.parent / "listed" / side / f"{name}.png")
    status, _, error = command(
        "train", "change_detection", "--data", crops.parent / "listed", *tiny, "--train.epochs", "1"
    )
    assert status == 0, error
    lines = error.splitlines()
    assert lines[0].endswith("3 training, 1 validation, 8 test pairs, from list files")
    assert next(number for number, line in enumerate(lines) if "run " in line) > 0


def test_weights_that_do_not_fit(command, empty_place, crops):
    torch.save({"conv1.weight": torch.ones(1)}, empty_place / "w.pth")
    message = refusal(command, empty_place, crops, "--model.weights", str(empty_place / "w.pth"))
    assert "w.pth: conv1.weight: found shape [1]" in message
