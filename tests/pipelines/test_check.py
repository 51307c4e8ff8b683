"""`transect check` reads every case without a model, and compares it with the training data of one."""

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.pipelines.settings import settings
from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.config import State
from transect.data_adapters.change_detection.facts import pixel_size
from transect.data_adapters.change_detection.maps import Grid
from transect.pipelines import model_folder
from transect.pipelines.find import app_class, app_names, config_class
from transect.pipelines.predict import predict

SMALL = {"change_detection": [], "pde": [], "peptide": ["--phantom.spectra", "8"]}


@pytest.fixture(scope="module", params=app_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def data(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check") / "data"
    app_class(name)(settings(name)).adapter.phantom(folder, 3, 0)
    return folder


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_app_tells_what_was_read(name, data, command, tmp_path):
    status, printed, error = command("check", name, data, "--out", tmp_path / "out")
    assert status == 0, error
    assert "from names" in printed
    # The label of one phantom of petct is empty, and the dates of all pairs are shifted by more than half a pixel.
    warned = {"petct": 1, "change_detection": 3}.get(name, 0)
    assert f"3 of 3 cases can be used, {warned} of them with warnings" in printed
    table = rows(tmp_path / "out" / "cases.csv")
    assert list(table[0])[:6] == ["case", "group", "split", "files", "problem", "warnings"]
    splits = {"liver_mri": ["", "", "test"], "petct": ["test", "train", "train"]}  # their layouts name no validation
    assert sorted(row["split"] for row in table) == splits.get(name, ["test", "train", "val"])
    assert [row["status"] for row in rows(tmp_path / "out" / "manifest.csv")] == ["done"] * 3
    for row in table:
        facts = json.loads((tmp_path / "out" / row["case"] / "facts.json").read_text())
        assert facts.pop("case") == row["case"]
        warned = facts.get("positive_slices") == 0 if name == "petct" else facts.get("shift_pixels", 0) > 0.5
        assert len(facts.pop("warnings")) == warned
        assert {key: str(value) for key, value in facts.items()} == {key: row[key] for key in facts}
        assert len(facts) >= 5


def test_the_facts_are_those_of_the_files(data, name, command, tmp_path):
    command("check", name, data, "--out", tmp_path / "out")
    by_split = {row["split"]: row for row in rows(tmp_path / "out" / "cases.csv")}
    adapter = app_class(name)(config_class(name)()).adapter
    (case,) = [case for case in adapter.cases(str(data)) if case.split == "test"]
    sample, row = adapter.read(case), by_split["test"]
    if name == "change_detection":
        label = np.concatenate([sample.labels(strip.row, len(strip.valid)) for strip in sample.strips()])
        assert float(row["label"].split()[0]) == pytest.approx(100 * (label == 1).mean(), rel=1e-3)
        assert (row["size"], row["bands"], row["before"]) == ("256 x 256 pixels", "3", "uint8, 0 to 255")
    elif name == "pde":
        frames = sample.read(0, len(sample))
        assert row["tensor"] == f"{frames.min():.4g} to {frames.max():.4g}"
        assert row["axis_x"].endswith("spacing 0.01562, periodic")
        assert float(row["time_step"]) == pytest.approx(0.05)
    elif name == "liver_mri":
        assert float(row["label_ml"]) == pytest.approx(sample.label.sum() * sample.volume.grid.voxel_volume / 1000)
        assert row["shape"] == str(list(sample.volume.values.shape))
        assert (tmp_path / "out" / case.id / "label.nii.gz").is_file()
    elif name == "bev":
        assert int(row["vehicle_pixels"]) == sample.labels().masks["vehicle"].sum()
        assert (tmp_path / "out" / case.id / "overlay.png").is_file()
    elif name == "petct":
        assert float(row["suv_max"]) == pytest.approx(sample.pet.values.max(), abs=1e-4)
        assert int(row["tumour_voxels"]) == sample.label.mask.sum()
        assert (tmp_path / "out" / case.id / "ct.nii.gz").is_file()
    else:
        sets = list(sample.candidate_sets())
        assert int(row["spectra"]) == len(sets)
        assert int(row["candidates"]) == sum(len(each.candidates) for each in sets)
        assert (tmp_path / "out" / case.id / "omitted.csv").is_file()


def test_nothing_is_written_without_out(name, data, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(data.rglob("*"))
    status, _, error = command("check", name, data)
    assert status == 0, error
    assert not list(tmp_path.iterdir())
    assert sorted(data.rglob("*")) == before


def test_a_bad_case_is_named_and_the_others_are_read(name, data, command, tmp_path):
    file, *_ = [
        file for file in sorted(data.rglob("*")) if is_main(file) and re.search("train|imagesTr|phantom-0-0", str(file))
    ]
    content = file.read_bytes()
    try:
        file.write_bytes(b"\0" * 64)
        status, printed, _ = command("check", name, data, "--out", tmp_path / "out")
    finally:
        file.write_bytes(content)
    assert status == 1
    assert "2 of 3 cases can be used" in printed
    (bad,) = [row for row in rows(tmp_path / "out" / "cases.csv") if row["problem"]]
    assert file.name in bad["problem"]
    assert bad["split"] == ("" if name == "liver_mri" else "train")
    assert not (tmp_path / "out" / bad["case"]).exists()


def is_main(file: Path) -> bool:
    """Whether it is the one file of a case that every app's test may break."""
    return (
        file.suffix in (".mgf", ".hdf5")
        or file.parent.name in ("B", "CAM_FRONT")
        or file.name.endswith("_0000.nii.gz")
        or file.name == "SUV.nii.gz"
    )


def test_settings_and_files_of_settings_apply(pairs, command, tmp_path):
    (tmp_path / "settings.yaml").write_text("read:\n  nodata: 0\n")
    valid = {}
    for key, words in {
        "plain": (),
        "file": ("--config", tmp_path / "settings.yaml"),
        "word": ("--read.nodata", "0"),
    }.items():
        status, _, error = command("check", "change_detection", pairs, *words, "--out", tmp_path / key)
        assert status == 0, error
        valid[key] = [float(row["valid_percent"]) for row in rows(tmp_path / key / "cases.csv")]
    assert max(valid["plain"]) == 100
    assert min(valid["file"]) < 100
    assert valid["file"] == valid["word"]


@pytest.fixture
def mapped(tmp_path: Path) -> Path:
    """A georeferenced pair of 16-bit rasters with pixels of 60 m, a tenth of the second of which is zero."""
    (tmp_path / "pair").mkdir()
    for name in ("before", "after"):
        values = np.random.default_rng(0).integers(1, 3000, (3, 100, 100), dtype=np.uint16)
        values[:, :10] *= name == "before"
        profile: dict[str, Any] = {"driver": "GTiff", "width": 100, "height": 100, "count": 3, "dtype": "uint16"}
        profile |= {"crs": "EPSG:32633", "transform": Affine(60, 0, 5e5, 0, -60, 5e6)}
        with rasterio.open(tmp_path / "pair" / f"{name}.tif", "w", **profile) as raster:
            raster.write(values)
    return tmp_path / "pair"


@pytest.fixture
def model(tmp_path: Path, small_config: Any) -> Path:
    """A model that was trained on 8-bit pixels of 10 to 30 m."""
    app = ChangeDetection(small_config, State(pixel_sizes=(10.0, 30.0), dtypes=("uint8",)))
    model_folder.save(tmp_path / "model", "change_detection", app, app.model(), "# card\n")
    return tmp_path / "model"


def test_undeclared_nodata_is_found_or_suspected(mapped, command):
    words = "check", "change_detection", mapped / "before.tif", mapped / "after.tif"
    status, printed, _ = command(*words)
    assert status == 0
    found = "10 % of after, at its border, are filled with 0"
    assert f"{found}, which is taken as nodata: if it is data, set read.nodata none" in printed
    assert "valid_percent    90" in printed
    assert "pixel_size_m     60" in printed
    status, printed, _ = command(*words, "--read.nodata", "none")
    assert status == 0
    assert "10 % of the pixels of after are 0 in all bands: if 0 means no data, set read.nodata 0" in printed
    assert "valid_percent    100" in printed


def test_data_unlike_those_of_training_are_named_by_check_and_by_predict(mapped, model, command, tmp_path):
    words = [mapped / "before.tif", mapped / "after.tif"]
    status, printed, _ = command("check", model, *words)
    assert status == 0
    expected = [
        "pixels of 60 m, in the training data 10 to 30 m",
        "values of type uint16, in the training data uint8",
    ]
    for line in expected:
        assert line in printed
    predict(str(model), [str(word) for word in words], tmp_path / "out")
    (done,) = (tmp_path / "out").glob("*/done.json")
    facts = json.loads(done.read_text())["facts"]
    assert facts["unlike_training_data"] == "; ".join(expected)
    assert "10 % of after, at its border, are filled with 0, which is taken as nodata" in facts["warnings"]


def test_training_keeps_the_geometry_of_its_data(mapped, small_config):
    app = ChangeDetection(small_config)
    state = app.fit(app.adapter.cases(str(mapped / "before.tif"), str(mapped / "after.tif")))
    assert replace(state, limits=()) == State(pixel_sizes=(60.0, 60.0), dtypes=("uint16",))
    metric = ChangeDetection(small_config, state).metric
    histogram = {"changed": np.eye(201, dtype=int)[80], "unchanged": np.eye(201, dtype=int)[20]}
    calibrated = metric.calibrate([histogram])
    assert calibrated is not None
    assert replace(calibrated, probabilities=()) == replace(state, threshold=0.4)


def test_a_simulation_unlike_the_training_data_cannot_be_used(fixtures, command, tmp_path):
    folder = fixtures / "models" / "pde"
    command("phantom", "pde", "--out", tmp_path / "data", "--count", "1")
    assert command("check", folder, tmp_path / "data")[0] == 0
    (file,) = (tmp_path / "data").rglob("*.hdf5")
    with h5py.File(file, "r+") as simulation:
        simulation["t-coordinate"][...] *= 2
    status, printed, _ = command("check", folder, tmp_path / "data")
    assert status == 1
    assert "time step: found 0.1, expected 0.05" in printed


@pytest.mark.parametrize(
    ("crs", "transform", "size"),
    [
        ("EPSG:32633", Affine(10, 0, 5e5, 0, -10, 5e6), 10),
        ("EPSG:32633", Affine(6, 8, 5e5, 8, -6, 5e6), 10),
        ("EPSG:2263", Affine(10, 0, 1e6, 0, -10, 2e5), 3.048006),
        ("EPSG:4326", Affine(1e-4, 0, 15, 0, -1e-4, 60.005), 11.132 * np.sqrt(0.5)),
        (None, Affine.identity(), np.nan),
    ],
)
def test_pixel_sizes_are_in_metres(crs, transform, size):
    grid = Grid(100, 100, transform, crs and rasterio.CRS.from_string(crs))
    assert pixel_size(grid) == pytest.approx(size, rel=1e-6, nan_ok=True)


def test_files_that_belong_to_no_case_are_named(name, data, command):
    main = next(file for file in sorted(data.rglob("*")) if file.is_file() and is_main(file))
    side, stray = main.with_name(main.name + ".aux.xml"), data / "notes.docx"
    try:
        side.write_text("<PAMDataset/>")
        stray.write_text("x")
        status, printed, error = command("check", name, data)
    finally:
        side.unlink()
        stray.unlink()
    assert status == 0, error
    assert "left out: 1 file that belongs to no case: notes.docx\n" in printed
    assert "left out" not in command("check", name, data)[1]


def test_a_source_that_is_neither_an_app_nor_a_model_is_refused(command, tmp_path):
    status, _, error = command("check", "mars", os.devnull)
    assert status == 2
    assert "model mars: found no config.yaml" in error
