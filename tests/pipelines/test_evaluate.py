"""Evaluation: metrics equal torchmetrics on the same pixels, and the bootstrap resamples scenes, not tiles."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from mlflow import MlflowClient
from PIL import Image
from rasterio.transform import Affine
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryF1Score,
    BinaryJaccardIndex,
    BinaryPrecision,
    BinaryRecall,
)

from transect.apps.change_detection.metrics import ChangeMetric
from transect.data_adapters.change_detection.maps import LEVELS
from transect.pipelines.errors import UsageError
from transect.pipelines.evaluate import bootstrap, evaluate
from transect.pipelines.predict import predict

METRICS = {
    "precision": BinaryPrecision,
    "recall": BinaryRecall,
    "f1": BinaryF1Score,
    "iou": BinaryJaccardIndex,
    "overall_accuracy": BinaryAccuracy,
}


def torchmetrics_of(masks: list[np.ndarray], labels: list[np.ndarray]) -> dict[str, float]:
    """Each metric over all pixels at once; pixels with label 255 are ignored."""
    predicted, target = (
        torch.from_numpy(np.concatenate([part.ravel() for part in parts])) for parts in (masks, labels)
    )
    return {name: float(metric(ignore_index=255)(predicted, target.long())) for name, metric in METRICS.items()}


def mask_of(folder: Path) -> np.ndarray:
    with rasterio.open(folder / "mask.tif") as raster:
        return raster.read(1)


def table_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def evaluated(untrained: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of the training split, which has enough groups for intervals."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    evaluate(str(untrained), [str(pairs)], "train", out)
    return out


@pytest.fixture(scope="module")
def masks(untrained: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of the same cases by `predict`."""
    out = tmp_path_factory.mktemp("masks") / "out"
    predict(str(untrained), [str(pairs)], out)
    return out


def test_the_scores_are_those_of_the_written_masks(evaluated, masks, pairs):
    names = sorted(table_of(evaluated / "cases.csv"))
    assert names == sorted(path.stem for path in (pairs / "train" / "A").iterdir())
    predicted = [mask_of(masks / name) for name in names]
    labels = [np.array(Image.open(pairs / "train" / "label" / f"{name}.png")) // 255 for name in names]
    summary = json.loads((evaluated / "metrics.json").read_text())["summary"]
    assert 0 < summary.pop("ece") < 1
    assert summary == pytest.approx(torchmetrics_of(predicted, labels), abs=1e-6)
    assert 0.05 < summary["f1"] < 0.95
    for name, mask, label in zip(names, predicted, labels, strict=True):
        if label.any():  # without changed pixels F1 is zero in torchmetrics and empty in the table
            row = {metric: float(table_of(evaluated / "cases.csv")[name][metric]) for metric in METRICS}
            assert row == pytest.approx(torchmetrics_of([mask], [label]), abs=1e-6)
        else:
            assert table_of(evaluated / "cases.csv")[name]["recall"] == ""


def test_an_evaluation_leaves_numbers_tables_pictures_and_a_page(evaluated):
    content = json.loads((evaluated / "metrics.json").read_text())
    assert (content["cases"], content["split"]) == (8, "train")
    assert set(content["intervals"]) == set(content["summary"]) == {*METRICS, "ece"}
    for name, (low, high) in content["intervals"].items():
        assert low < content["summary"][name] < high
    assert {row["status"] for row in table_of(evaluated / "manifest.csv").values()} == {"done"}
    page = (evaluated / "report.html").read_text()
    for name in table_of(evaluated / "cases.csv"):
        assert {path.stem for path in (evaluated / name / "preview").iterdir()} >= {"before", "after", "score", "label"}
        assert f"{name}/preview/before.png" in page
    assert f"{content['summary']['f1']:.3f}" in page


def test_an_evaluation_is_a_run_with_its_metrics_intervals_and_files(evaluated, untrained, pairs):
    content = json.loads((evaluated / "metrics.json").read_text())
    client = MlflowClient()
    run = client.get_run(json.loads((evaluated / "run.json").read_text())["run"])
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("evaluate-change_detection-cdmaskformer-20")
    bounds = {
        name: {"": content["summary"][name], "/low": low, "/high": high}
        for name, (low, high) in content["intervals"].items()
    }
    assert run.data.metrics == {name + end: value for name, values in bounds.items() for end, value in values.items()}
    assert run.data.params["tile"] == "64"
    assert run.data.params["evaluate.split"] == "train"
    assert run.data.params["data.train_cases"] == "8"
    assert run.inputs.dataset_inputs[0].dataset.name == "pairs"
    artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert artifacts >= {"metrics.json", "cases.csv", "manifest.csv", "report.html"}
    tags = run.data.tags
    assert (tags["transect.kind"], tags["transect.model"]) == ("evaluation", str(untrained))
    assert "transect.training_run" not in tags, "its card names no run"


def test_workers_find_the_same_numbers_and_pictures(evaluated, untrained, pairs, tmp_path):
    evaluate(str(untrained), [str(pairs)], "train", tmp_path / "out", workers=2)
    for name in ("metrics.json", "cases.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (evaluated / name).read_bytes()
    pictures = {path.relative_to(evaluated) for path in evaluated.rglob("*.png")}
    assert pictures == {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png")} != set()


def test_unknown_and_invalid_pixels_count_for_nothing(untrained, tmp_path):
    rng = np.random.default_rng(3)
    label = rng.choice([0, 1, 255], (96, 128), p=[0.5, 0.3, 0.2]).astype(np.uint8)
    for side in ("before", "after", "label"):
        (tmp_path / "data" / side).mkdir(parents=True)
        pixels = label[None] if side == "label" else rng.integers(1, 4000, (3, 96, 128), dtype=np.uint16)
        if side == "before":
            pixels[:, 10:30, 20:50] = 0
        profile = {"driver": "GTiff", "width": 128, "height": 96, "count": len(pixels), "dtype": str(pixels.dtype)}
        nodata = None if side == "label" else 0
        transform = Affine(10, 0, 500_000, 0, -10, 5_000_000)
        path = tmp_path / "data" / side / "s.tif"
        with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, nodata=nodata, **profile) as raster:
            raster.write(pixels)
    predict(str(untrained), [str(tmp_path / "data")], tmp_path / "maps")
    mask = mask_of(tmp_path / "maps" / "s")
    counted = np.where(mask == 255, 255, label).astype(np.uint8)
    assert 0 < (mask == 1).sum() < (mask == 0).sum() * 10
    summary, intervals, _ = evaluate(str(untrained), [str(tmp_path / "data")], "test", tmp_path / "out")
    assert {name: summary[name] for name in METRICS} == pytest.approx(
        torchmetrics_of([mask % 255], [counted]), abs=1e-6
    )
    assert intervals == {}, "there is no interval for a single scene"


def test_a_label_that_cannot_be_read_fails_its_case_alone(untrained, pairs, command, tmp_path):
    data, out = tmp_path / "pairs", tmp_path / "out"
    shutil.copytree(pairs / "test", data / "test")
    (data / "test" / "label" / "test_12.png").write_bytes(b"no image")
    Image.fromarray(np.full((256, 256), 7, np.uint8)).save(data / "test" / "label" / "test_11.png")
    shutil.copytree(pairs / "train" / "A", data / "test" / "A", dirs_exist_ok=True)
    shutil.copytree(pairs / "train" / "B", data / "test" / "B", dirs_exist_ok=True)
    shutil.copy(pairs / "train" / "label" / "train_1.png", data / "test" / "label")
    status, printed, _ = command("evaluate", untrained, "--data", data, "--out", out)
    table = {case.removeprefix("test_"): row for case, row in table_of(out / "manifest.csv").items()}
    assert status == 1
    assert "1 done, 9 failed" in printed
    assert "label" in table["12"]["message"]
    assert "7" in table["11"]["message"]
    assert "label" in table["train_2"]["message"]
    assert json.loads((out / "metrics.json").read_text())["cases"] == 1


def test_a_split_that_is_not_there_names_those_that_are(untrained, pairs, tmp_path):
    with pytest.raises(UsageError, match=r"found test, train, val, expected 'holdout'"):
        evaluate(str(untrained), [str(pairs)], "holdout", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_prints_each_metric_with_its_interval(command, untrained, pairs, tmp_path):
    status, printed, _ = command("evaluate", untrained, "--data", pairs, "--split", "train", "--out", tmp_path / "out")
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert status == 0
    for line, name in zip(printed.splitlines(), METRICS, strict=False):
        low, high = content["intervals"][name]
        assert line.split() == [name, f"{content['summary'][name]:.4f}", f"[{low:.4f},", f"{high:.4f}]"]


def histograms(rng: np.random.Generator, size: int = 400) -> dict[str, np.ndarray]:
    """The contribution of a random case, whose changed pixels have higher scores by a random amount."""
    skill = rng.uniform(0, 60)
    changed = np.clip(rng.normal(100 + skill, 40, size), 0, LEVELS).astype(int)
    unchanged = np.clip(rng.normal(80, 40, 4 * size), 0, LEVELS).astype(int)
    parts = {"changed": changed, "unchanged": unchanged}
    return {name: np.bincount(levels, minlength=LEVELS + 1) for name, levels in parts.items()}


@pytest.mark.parametrize("seed", range(5))
def test_calibration_picks_the_threshold_of_the_best_f1(seed):
    rng = np.random.default_rng(seed)
    contributions = [histograms(rng, 50) for _ in range(4)]
    scores = {level: ChangeMetric(level / LEVELS).summary(contributions)["f1"] for level in range(1, LEVELS + 1)}
    chosen = ChangeMetric(0.5).calibrate(contributions).threshold
    assert scores[round(chosen * LEVELS)] == max(scores.values())


def test_calibration_without_change_leaves_the_threshold():
    still = {"changed": np.zeros(LEVELS + 1, int), "unchanged": np.full(LEVELS + 1, 9)}
    assert ChangeMetric(0.3).calibrate([still]) is None


def test_intervals_hold_the_value_and_shrink_with_more_scenes():
    metric, rng = ChangeMetric(0.5), np.random.default_rng(0)
    widths = {8: 0.0, 72: 0.0}
    for count in [*widths] * 4:
        contributions = [histograms(rng) for _ in range(count)]
        low, high = bootstrap(metric, [str(index) for index in range(count)], contributions)["f1"]
        assert low < metric.summary(contributions)["f1"] < high
        widths[count] += high - low
    # The width scales as 1 / sqrt(n): nine times the scenes give a third of it.
    assert 0.25 < widths[72] / widths[8] < 0.45


def test_scenes_are_drawn_and_not_their_tiles():
    metric, rng = ChangeMetric(0.5), np.random.default_rng(1)
    names, scenes = [str(index) for index in range(8)], [histograms(rng) for _ in range(8)]
    alone = bootstrap(metric, names, scenes)
    grouped = bootstrap(
        metric, [name for name in names for _ in range(25)], [scene for scene in scenes for _ in range(25)]
    )
    # Eight scenes of 25 equal tiles hold no more information: the same resamples, with each case 25 times.
    for name, bounds in alone.items():
        assert grouped[name] == pytest.approx(bounds, abs=1e-12)
    assert bootstrap(metric, ["g", "g"], scenes[:2]) == {}
