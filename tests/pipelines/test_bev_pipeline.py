"""The bev app from the command line: training, evaluation with faults, prediction of a drive and of another rig."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.rig_faults import Scorer, curves
from transect.apps.bev.app import BirdsEyeView
from transect.data_adapters.bev.config import PhantomConfig
from transect.data_adapters.bev.phantom import write_phantom
from transect.data_adapters.bev.rig.write import write_rig
from transect.pipelines import model_folder

TINY = [
    *("--model.name", "bilinear", "--model.backbone.name", "residual", "--model.backbone.widths", "[4,8,8]"),
    *("--model.bilinear.dim", "8", "--model.bilinear.decoder", "[8,8]", "--classes", "[vehicle,road]"),
    *("--read.height", "48", "--read.width", "84", "--read.grid.height", "64", "--read.grid.width", "64"),
    *("--train.batch_size", "4", "--train.precision", "fp32", "--train.decay_power", "0", "--precision", "fp32"),
]


@pytest.fixture(scope="module")
def drives(workplace: Path) -> Path:
    """Four drives of two samples, one of them for validation and one a test."""
    write_phantom(workplace / "drives", 4, 0, PhantomConfig(height=48, width=84, samples=2))
    return workplace / "drives"


@pytest.fixture
def model(drives: Path, command) -> Path:
    if not (drives.parent / "model.txt").exists():
        status, out, log = command("train", "bev", "--data", drives, *TINY, "--train.epochs", "2")
        assert status == 0, log
        (drives.parent / "model.txt").write_text(dict(line.split(maxsplit=1) for line in out.splitlines())["model"])
    return Path((drives.parent / "model.txt").read_text())


def test_a_resumed_training_gives_the_weights_of_an_uninterrupted_one(command, drives, model):
    status, out, log = command("train", "bev", "--data", drives, *TINY, "--train.epochs", "1")
    assert status == 0, log
    run = dict(line.split(maxsplit=1) for line in out.splitlines())["run"]
    status, out, log = command("train", "bev", "--resume", run, "--train.epochs", "2")
    assert status == 0, log
    resumed = Path(dict(line.split(maxsplit=1) for line in out.splitlines())["model"])
    assert (resumed / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    state = json.loads((model / "state.json").read_text())
    assert state == json.loads((resumed / "state.json").read_text())
    assert state["cameras"] == [6, 6]
    assert len(state["thresholds"]) == 2


def test_an_evaluation_names_threshold_and_filter_and_faults_change_it(command, drives, model, tmp_path):
    summaries = []
    for words in ([], ["--faults.missing", "5"], ["--thresholds", "[0.01,0.01]"]):
        out = tmp_path / str(len(summaries))
        status, _, log = command("evaluate", model, "--data", drives, "--out", out, "--split", "val", *words)
        assert status == 0, log
        summaries.append(json.loads((out / "metrics.json").read_text())["summary"])
    plain, fewer, low = summaries
    assert {"vehicle_iou_visible_calibrated", "vehicle_iou_all_at_50", "road_iou_at_40"} < set(plain)
    assert "road_iou_visible_calibrated" not in plain
    assert set(plain) == set(fewer)
    pictures = [next((tmp_path / out).glob("*_000/preview/prediction.png")).read_bytes() for out in ("0", "1")]
    assert pictures[0] != pictures[1]
    assert (low["road_threshold"], low["road_recall_calibrated"]) == (0.01, 1.0)
    assert {path.name for path in (tmp_path / "0" / "charts").iterdir()} == {
        "iou_by_threshold.png",
        "iou_by_range.png",
        "iou_by_class.png",
    }


def test_a_drive_becomes_maps_and_a_film_and_another_rig_is_named(command, drives, model, tmp_path):
    adapter = model_folder.app_for(model).adapter
    write_rig(adapter.read(adapter.cases(str(drives))[0]), tmp_path)
    rig = yaml.safe_load((tmp_path / "rig.yaml").read_text())
    rig["cameras"] = rig["cameras"][:2]
    rig["cameras"][0]["camera_to_ego"][2][3] = 3.1
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(rig))
    status, _, log = command(
        "predict", model, drives, tmp_path / "rig.yaml", "--out", tmp_path / "maps", "--pictures", "1"
    )
    assert status == 0, log
    with (tmp_path / "maps" / "manifest.csv").open() as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    assert statuses == ["done"] * 9
    assert len(list((tmp_path / "maps" / "drives").glob("*/drive.mp4"))) == 4
    (other,) = [path.parent for path in (tmp_path / "maps").glob("rig*/done.json")]
    facts = json.loads((other / "done.json").read_text())["facts"]
    assert "2 cameras, in the training data 6" in facts["unlike_training_data"]
    assert "a camera 3.1 m above the ground" in facts["unlike_training_data"]
    with np.load(other / "map.npz") as maps:
        assert maps["classes"].tolist() == ["vehicle", "road"]
        assert maps["probability"].shape == (2, 64, 64)


def test_curves_of_faults_begin_with_what_an_evaluation_reports(drives, model):
    loaded = model_folder.load(str(model), device="cpu")
    assert isinstance(loaded.app, BirdsEyeView)
    cases = [case for case in loaded.app.adapter.cases(str(drives)) if case.split == "val"]
    scorer = Scorer(loaded.app, cases)
    summary = scorer.summary(loaded.app, loaded.module)
    lines = curves(scorer, loaded.module)
    expected = f"{summary['vehicle_iou_visible_calibrated']:.3f} {summary['road_iou_calibrated']:.3f}"
    assert lines[0] == f"without faults {expected}"
    assert [line.split()[0] for line in lines] == ["without", "views", "views", "calibration", "pose", "pose"]
