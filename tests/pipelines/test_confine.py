"""What a server may read: no file outside its folders is opened, by any app."""

import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from transect.data_adapters.base import BadInput
from transect.pipelines import config
from transect.pipelines.confine import confined, confined_files, without_roots
from transect.pipelines.find import app_class, app_names
from transect.pipelines.model_folder import Model
from transect.pipelines.predict_rows import predict_rows

RED = ("--read.bands", "red")

recorded: list[str] | None = None


def record(event: str, arguments: tuple[Any, ...]) -> None:
    if recorded is not None and event in ("open", "os.listdir", "os.scandir"):
        recorded.append(os.path.realpath(str(arguments[0])))


sys.addaudithook(record)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The real paths that Python opens or lists during a test."""
    global recorded
    recorded = []
    yield recorded
    recorded = None


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A served folder next to private files, with links to them."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "run.csv").write_text("secret_header\nsecret\n")
    (tmp_path / "private" / "run.mgf").write_text("BEGIN IONS\nTITLE=secret\nEND IONS\n")
    with h5py.File(tmp_path / "private" / "run.h5", "w") as file:
        file["secret"] = [1.0]
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    for name in ("run.csv", "run.mgf", "run.h5"):
        (root / "folder" / name).symlink_to(f"../../private/{name}")
    (root / "private").symlink_to("../private")
    (root / "above").symlink_to("..")
    monkeypatch.chdir(root)
    return root


@cache
def app_of(name: str) -> Any:
    return app_class(name)(config.load(name, None, []))


def served(app: str, row: list[str], root: Path) -> str:
    """The message for one row of a request to a server of a model; only its files matter here."""
    return served_by(app_of(app), row, root)


def served_by(app: Any, row: list[str], root: Path) -> str:
    model = Model("model", root, "", app, torch.nn.Identity())
    (answer,) = predict_rows(model, [row], root / "out", [root])
    assert (answer["status"], answer["folder"]) == ("failed", "")
    assert not (root / "out").exists()
    return answer["message"]


@pytest.mark.parametrize("app", app_names())
@pytest.mark.parametrize("name", ["run.csv", "run.mgf", "run.h5", ""])
@pytest.mark.parametrize(
    "folder", ["../private", "{}/../private", "file://{}/../private", "private", "above/private", "folder"]
)
def test_no_app_opens_a_file_outside(root, opened, app, folder, name):
    text = folder.replace("{}", str(root)) + (f"/{name}" if name else "")
    message = served(app, [text, *[""] * (len(app_of(app).adapter.columns) - 1)], root)
    assert message.startswith(f"{text}: path: found a ")
    assert "outside the served folders" in message
    assert "secret" not in message
    assert not [path for path in opened if path.startswith(str(root.parent / "private"))]


def test_files_that_a_table_names_are_confined(root, opened):
    (root / "table.csv").write_text("spectra,candidates\n../private/run.mgf,private/run.csv\n")
    message = served("peptide", ["table.csv", ""], root)
    assert message == "table.csv: files: found one outside the served folders, expected files below them"
    assert not [path for path in opened if path.startswith(str(root.parent / "private"))]


@pytest.mark.parametrize("href", ["../private/run.tif", "folder/run.csv", "http://127.0.0.1:9/a.tif", "s3://b/a.tif"])
@pytest.mark.parametrize("remote", ["item", "any"])
def test_links_of_a_stac_item_are_confined(root, opened, href, remote):
    (root.parent / "private" / "run.tif").write_text("secret")
    content = {"type": "Feature", "stac_version": "1.0.0", "id": "a", "geometry": None, "links": []}
    content |= {"properties": {"datetime": "2021-05-13T10:10:31Z"}, "assets": {"red": {"href": href}}}
    (root / "a.json").write_text(json.dumps(content))
    app = app_class("change_detection")(config.load("change_detection", None, ["--read.remote", remote, *RED]))
    opened.clear()
    message = served_by(app, ["a.json", "a.json"], root)
    if remote == "any" or href == "folder/run.csv":
        assert message.endswith("found one outside the served folders, expected files below them") or "asset" in message
    else:
        assert "asset red: found" in message
    assert not [path for path in opened if path.startswith(str(root.parent / "private"))]


def test_products_are_confined(root, opened):
    name = "S2A_MSIL2A_20210513T101031_N0500_R022_T32TQM_20210513T134500.SAFE"
    images = root.parent / "private" / name / "GRANULE" / "L2A_T32TQM_A0_20210513T101559" / "IMG_DATA"
    images.mkdir(parents=True)
    for band in ("B02", "B03", "B04"):
        (images / f"T32TQM_20210513T101031_{band}_10m.jp2").write_text("secret")
    (root.parent / "private" / "a.zip").write_text("secret")
    (root / "linked").mkdir()
    (root / "linked" / name).symlink_to(root.parent / "private" / name)
    (root / "a.zip").symlink_to(root.parent / "private" / "a.zip")
    opened.clear()
    for text in (f"../private/{name}", "linked", f"linked/{name}", "a.zip", f"/vsizip/{{{root}/a.zip}}/x.jp2"):
        assert "outside the served folders" in served("change_detection", [text, text], root)
    assert not [path for path in opened if path.startswith(str(root.parent / "private"))]


def test_a_folder_of_several_cases_is_one_line(root):
    for name in ("a.mgf", "b.mgf"):
        (root / name).write_text("BEGIN IONS\nEND IONS\n")
    (root / "two.csv").write_text("spectra,candidates\na.mgf,\nb.mgf,\n")
    message = served("peptide", ["two.csv", ""], root)
    assert message == "two.csv: cases: found 2, expected one; send a row for each case"
    assert served("peptide", ["", ""], root).startswith("row: spectra and candidates: found nothing")


def test_paths_inside_are_kept_as_they_are(root):
    for name in ("a,b.tif", "c;d.tif", "e:f.tif", "g h.tif"):
        (root / name).touch()
        assert confined_files(name, [root]) == str(root / name)
    (root / "inside.tif").symlink_to("a,b.tif")
    assert confined_files("inside.tif", [root]) == str(root / "inside.tif")
    assert confined_files("inside.tif, nowhere.tif", [root]) == f"{root}/inside.tif,{root}/nowhere.tif"
    assert confined_files(f"above/{root.name}/inside.tif", [root]) == f"{root}/above/{root.name}/inside.tif"
    assert confined_files(" ", [root]) == ""


def test_no_absolute_path_is_a_virtual_one_of_gdal(monkeypatch):
    monkeypatch.chdir("/")
    for text in ("/vsicurl/http://127.0.0.1/x.tif", "vsimem/x.tif"):
        with pytest.raises(BadInput, match="without a scheme"):
            confined(text, [Path("/")])


def test_messages_name_no_folder_that_the_request_does_not(root):
    message = f"{root}/x.tif and {root} and {root}2/x.tif"
    assert without_roots(message, [root], ["x.tif"]) == f"x.tif and . and {root}2/x.tif"
    assert without_roots(message, [root], [f"{root}/x.tif"]) == message
