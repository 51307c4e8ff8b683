"""Batch inference: complete folders or failed rows after any interruption; a repeated run does what is missing."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import psutil
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.transform import Affine
from torch import Tensor, nn

from transect.apps.change_detection.app import ChangeDetection
from transect.data_adapters.files import sha256
from transect.pipelines.errors import UsageError
from transect.pipelines.model_folder import Model, load
from transect.pipelines.predict import predict
from transect.pipelines.predict_case import predict_case
from transect.pipelines.results import Outcome


def rows(out: Path, name: str = "manifest.csv") -> dict[str, dict[str, str]]:
    with (out / name).open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def times(out: Path) -> dict[str, int]:
    """The modification time of each file in the folders of the cases."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.glob("*/*") if path.is_file()}


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.case: outcome.status for outcome in outcomes}


def assert_whole(folder: Path) -> None:
    """Assert that the files in a case's folder are those of its record, byte for byte."""
    done = json.loads((folder / "done.json").read_text())
    assert {"mask.tif", "changes.gpkg"} <= done["outputs"].keys()
    for name, digest in done["outputs"].items():
        assert sha256(folder / name) == digest, name
    assert {path.stem for path in (folder / "preview").iterdir()} == set(done["preview"])


def nothing_half_written(out: Path) -> bool:
    return not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def predicted(untrained: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of all twelve pairs; read-only for the tests."""
    out = tmp_path_factory.mktemp("predicted") / "out"
    assert set(statuses(predict(str(untrained), [str(pairs)], out)).values()) == {"done"}
    return out


@pytest.fixture
def out(predicted: Path, tmp_path: Path) -> Path:
    """A copy of the predictions that a test may change."""
    shutil.copytree(predicted, tmp_path / "out")
    return tmp_path / "out"


def test_a_registered_models_maps_open_with_the_fields_own_libraries(champion, pairs, tmp_path):
    outcomes = predict(champion, [str(pairs / "test")], tmp_path / "out", ["--write_score", "true"])
    assert statuses(outcomes) == {"test_11": "done", "test_12": "done"}
    assert {name: row["status"] for name, row in rows(tmp_path / "out").items()} == statuses(outcomes)
    assert "test_11" in (tmp_path / "out" / "report.html").read_text()
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["settings"]["threshold"] is None
    threshold = run["state"]["threshold"]
    for outcome in outcomes:
        folder = tmp_path / "out" / outcome.case
        assert_whole(folder)
        with rasterio.open(folder / "mask.tif") as mask, rasterio.open(folder / "score.tif") as score:
            classes, levels = mask.read(1), score.read(1)
            assert (mask.nodata, classes.shape, mask.profile["compress"]) == (255, (256, 256), "deflate")
            assert np.array_equal(classes, levels * score.scales[0] >= threshold - 1e-9)
        polygons = geopandas.read_file(folder / "changes.gpkg")
        facts = json.loads((folder / "done.json").read_text())["facts"]
        assert (len(polygons), int((classes == 1).sum())) == (facts["polygons"], facts["changed_pixels"])
        assert polygons.area.sum() == pytest.approx((classes == 1).sum())
        with Image.open(folder / "preview" / "before.png") as picture:
            assert picture.size == (256, 256)


def test_a_second_run_does_nothing(out, untrained, pairs):
    before = times(out)
    outcomes = predict(str(untrained), [str(pairs)], out)
    assert len(outcomes) == 12
    assert times(out) == before
    assert {row["status"] for row in rows(out).values()} == {"done"}


def test_only_what_is_missing_or_damaged_or_changed_is_done_again(untrained, pairs, tmp_path):
    data, out = tmp_path / "pairs", tmp_path / "out"
    shutil.copytree(pairs / "train", data)
    predict(str(untrained), [str(data)], out)
    before = times(out)
    missing, damaged, changed, *left = sorted(path.name for path in out.iterdir() if path.is_dir())
    shutil.rmtree(out / missing)
    record = json.loads((out / damaged / "done.json").read_text())
    (out / damaged / "done.json").write_text(json.dumps({**record, "inputs": None}))
    (image,) = (data / "A").glob(f"{changed}.png")
    with Image.open(image) as picture:
        picture.transpose(Image.Transpose.ROTATE_180).save(image)
    old = sha256(out / changed / "mask.tif")
    assert len(predict(str(untrained), [str(data)], out)) == len(left) + 3
    redone = {name.partition("/")[0] for name, written in times(out).items() if before.get(name) != written}
    assert redone == {missing, damaged, changed}
    assert sha256(out / changed / "mask.tif") != old
    for folder in (missing, damaged, changed):
        assert_whole(out / folder)


@pytest.mark.parametrize("difference", ["model", "settings", "kind"])
def test_results_of_another_run_are_only_replaced_with_overwrite(
    out, untrained, pairs, tmp_path, small_config, difference
):
    other, overrides = untrained, []
    if difference == "model":
        other = tmp_path / "other"
        shutil.copytree(untrained, other)
        (other / "card.md").write_text("# another\n")
    elif difference == "settings":
        overrides = ["--threshold", "0.995"]
    else:
        record = json.loads((out / "run.json").read_text())
        (out / "run.json").write_text(json.dumps({**record, "kind": "evaluate"}))
    before = times(out)
    with pytest.raises(UsageError, match=rf"\({difference}.* differ\).*--overwrite"):
        predict(str(other), [str(pairs / "test")], out, overrides)
    assert times(out) == before
    predict(str(other), [str(pairs / "test")], out, overrides, overwrite=True)
    after = times(out)
    assert all(after[name] != before[name] for name in after if name.startswith("test_"))
    assert set(rows(out)) == {"test_11", "test_12"}
    report = (out / "report.html").read_text()
    assert "test_11" in report
    assert "train_1" not in report, "results of the other run must not be reported"
    train_1 = (out / "train_1" / "done.json").read_text()
    predict(str(other), [str(pairs / "train" / side / "train_1.png") for side in "AB"], out, overrides)
    assert (out / "train_1" / "done.json").read_text() != train_1, "results of the other run must not count as done"


def geotiff(path: Path, bands: int = 3, crs: str | None = "EPSG:32633", east: float = 500_000, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(100, 4000, (bands, 96, 80), dtype=np.uint16)
    profile = {"driver": "GTiff", "width": 80, "height": 96, "count": bands, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", crs=crs, transform=Affine(10, 0, east, 0, -10, 5_000_000), **profile) as raster:
        raster.write(pixels if "empty" not in path.name else pixels * 0)


BAD = {
    "alone": "after: found no raster, expected both dates",
    "bands": "found 1, expected at least 3",
    "crs": "crs",
    "empty": "found",
    "far": "extent: found no overlap",
    "truncated": "the file is truncated or damaged",
    "words": "expected a raster",
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two valid pairs among seven with different faults."""
    folder = tmp_path_factory.mktemp("mixed")
    for name in ("a_good", "z_good", *BAD):
        for seed, side in enumerate(("before", "after")):
            geotiff(folder / side / f"{name}.tif", seed=seed)
    (folder / "after" / "alone.tif").unlink()
    geotiff(folder / "before" / "bands.tif", bands=1)
    geotiff(folder / "before" / "crs.tif", crs=None)
    geotiff(folder / "before" / "far.tif", east=900_000)
    image = folder / "after" / "truncated.tif"
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    (folder / "before" / "words.tif").write_text("not a raster\n" * 40)
    return folder


def test_a_bad_case_fails_alone_with_one_line(mixed, untrained, command, tmp_path):
    out = tmp_path / "out"
    status, printed, log = command("predict", untrained, mixed, "--out", out)
    assert status == 1
    assert printed.splitlines()[0] == f"2 done, {len(BAD)} failed"
    table = rows(out)
    assert {name for name, row in table.items() if row["status"] == "done"} == {"a_good", "z_good"}
    for name, expected in BAD.items():
        message = table[name]["message"]
        assert expected.lower() in message.lower(), message
        assert f"{name}.tif" in message
        assert len(message.splitlines()) == 1
        assert log.count(f"failed: {name}: ") == 1
    assert "Traceback" not in log
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"a_good", "z_good"}
    assert nothing_half_written(out)
    assert all(f"{name}.tif" in (out / "report.html").read_text() for name in BAD)


def test_a_failed_case_is_retried_and_its_old_result_does_not_count_as_new(mixed, untrained, tmp_path):
    data, out = tmp_path / "mixed", tmp_path / "out"
    for side in ("before", "after"):
        (data / side).mkdir(parents=True)
        for name in ("a_good", "words"):
            shutil.copy(mixed / side / f"{name}.tif", data / side)
    assert statuses(predict(str(untrained), [str(data)], out)) == {"a_good": "done", "words": "failed"}
    geotiff(data / "before" / "words.tif", seed=5)
    (data / "before" / "a_good.tif").write_bytes(b"")
    assert statuses(predict(str(untrained), [str(data)], out)) == {"a_good": "failed", "words": "done"}
    assert_whole(out / "words")
    geotiff(data / "before" / "a_good.tif", seed=0)
    assert statuses(predict(str(untrained), [str(data)], out)) == {"a_good": "done", "words": "done"}


def run_until(first_done: Path, number: int, *arguments: object) -> tuple[int, str]:
    """Start a prediction, send a signal when the first case is done, and return the exit status and the log."""
    command = [sys.executable, "-m", "transect.pipelines.cli", "predict", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not first_done.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(number)
    _, log = process.communicate(timeout=60)
    return process.returncode, log


def test_a_killed_run_leaves_complete_folders_and_continues_when_repeated(untrained, pairs, tmp_path, predicted):
    out = tmp_path / "out"
    arguments = (untrained, pairs, "--out", out)
    status, log = run_until(out / "test_11" / "done.json", signal.SIGINT, *arguments)
    assert status == 130, log
    assert log.splitlines()[-1] == "transect: interrupted"
    interrupted = {path.name for path in out.iterdir() if path.is_dir()}
    assert nothing_half_written(out)
    assert 0 < len(interrupted) < 12

    next_case = min({path.name for path in predicted.iterdir() if path.is_dir()} - interrupted, key=natural)
    status, _ = run_until(out / next_case / "done.json", signal.SIGKILL, *arguments)
    assert status == -signal.SIGKILL
    whole = [path for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert "val_10" not in {path.name for path in whole}
    (out / ".val_10.partial").mkdir()  # what remains if the process is killed within a case
    (out / ".val_10.partial" / "mask.tif").write_bytes(b"half")
    assert len(interrupted) < len(whole) < 12
    for folder in whole:
        assert_whole(folder)

    before = times(out)
    assert set(statuses(predict(str(untrained), [str(pairs)], out)).values()) == {"done"}
    after = times(out)
    assert all(after[f"{folder.name}/mask.tif"] == before[f"{folder.name}/mask.tif"] for folder in whole)
    assert {path.name for path in out.iterdir() if path.is_dir()} == {path.name for path in predicted.glob("*/")}
    for folder in predicted.glob("*/"):
        assert (out / folder.name / "mask.tif").read_bytes() == (folder / "mask.tif").read_bytes()


def natural(name: str) -> tuple[str, int]:
    split, _, number = name.partition("_")
    return split, int(number)


def kill_readers(image: Path, stop: threading.Event, killed: list[int]) -> None:
    """Kill each child process that has `image` open, until `stop` is set."""
    while not stop.wait(0.01):
        for child in psutil.Process().children(recursive=True):
            if image.resolve() in open_files(child.pid):
                killed.append(child.pid)
                child.kill()
                child.wait()


def open_files(pid: int) -> set[Path]:
    """The files that a process has open; empty if it has ended."""
    with suppress(OSError):
        return {link.resolve() for link in Path("/proc", str(pid), "fd").iterdir()}
    return set()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker that has a file open in /proc")
def test_workers_write_the_same_bytes_and_one_that_dies_fails_its_case_alone(untrained, pairs, tmp_path, predicted):
    deadly = tmp_path / "deadly.png"
    Image.fromarray(np.zeros((4096, 4096, 3), np.uint8)).save(deadly)  # large, so that it is open for seconds
    table = tmp_path / "pairs.csv"
    cases = {name: tuple(pairs / "train" / side / f"{name}.png" for side in "AB") for name in ("train_1", "train_3")}
    cases["train_2"] = (deadly, deadly)
    table.write_text("id,before,after\n" + "".join(f"{name},{a},{b}\n" for name, (a, b) in cases.items()))
    stop, killed = threading.Event(), []
    watcher = threading.Thread(target=kill_readers, args=(deadly, stop, killed))
    watcher.start()
    try:
        outcomes = predict(str(untrained), [str(table)], tmp_path / "out", workers=2)
    finally:
        stop.set()
        watcher.join()
    assert statuses(outcomes) == {"train_1": "done", "train_2": "failed", "train_3": "done"}
    assert len(killed) == 2, "once with other cases, once alone"
    assert "worker process died" in rows(tmp_path / "out")["train_2"]["message"]
    for name in ("train_1", "train_3"):
        assert_whole(tmp_path / "out" / name)
        actual, expected = (folder / name / "mask.tif" for folder in (tmp_path / "out", predicted))
        assert actual.read_bytes() == expected.read_bytes()
    assert not (tmp_path / "out" / "train_2").exists()
    assert nothing_half_written(tmp_path / "out")


def test_shards_share_the_cases_and_miss_none(untrained, pairs, tmp_path, predicted):
    halves = [set(statuses(predict(str(untrained), [str(pairs)], tmp_path, shard=(i, 2)))) for i in (1, 2)]
    assert not halves[0] & halves[1]
    assert len(halves[0]) == len(halves[1]) == 6
    assert halves[0] | halves[1] == {folder.name for folder in predicted.glob("*/")}
    for index, half in enumerate(halves, start=1):
        assert set(rows(tmp_path, f"manifest-{index}-of-2.csv")) == half
    assert all(f"{name}/" in (tmp_path / "report.html").read_text() for name in halves[0] | halves[1])


def test_a_folder_that_cannot_be_written_is_one_line_and_exits_with_2(untrained, pairs, command, tmp_path):
    # File modes do not restrict the superuser, but a folder below a file is impossible for every user.
    (tmp_path / "file").write_text("")
    status, out, err = command("predict", untrained, pairs, "--out", tmp_path / "file" / "out")
    assert (status, out) == (2, "")
    assert err.splitlines() == [f"transect: {tmp_path}/file/out: Not a directory; choose a writable --out"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_one_line(untrained, pairs, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        predict(str(untrained), [str(pairs)], tmp_path / "closed" / "out")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit the size of files to `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_fails_the_case_and_leaves_nothing_of_it(untrained, pairs, tmp_path, predicted):
    out, case = tmp_path / "out", [str(pairs / "test" / side / "test_11.png") for side in "AB"]
    with files_of_at_most((predicted / "test_11" / "changes.gpkg").stat().st_size - 1):
        (failed,) = predict(str(untrained), case, out)
    assert failed.status == "failed"
    assert "changes.gpkg: could not be written whole" in failed.message
    assert rows(out)["test_11"]["message"] == failed.message
    assert [path for path in out.iterdir() if path.is_dir()] == []
    (done,) = predict(str(untrained), case, out)
    assert done.status == "done"
    assert_whole(out / done.case)


class Pointwise(nn.Module):
    """Scores each pixel independently."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.4))

    def score(self, before: Tensor, after: Tensor) -> Tensor:
        change = (after - before).abs() * self.gain
        return (change[:, 0] + change[:, 1] - change[:, 2]).clamp(0, 1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A georeferenced pair of 500 x 300 pixels whose second image is shifted, with a region of nodata."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(1)
    for side, corner in (("before", 0), ("after", 3)):
        pixels = rng.integers(1, 3000, (3, 300, 500), dtype=np.uint16)
        pixels[:, 40:90, 200:330] = 0
        profile = {"driver": "GTiff", "width": 500, "height": 300, "count": 3, "dtype": "uint16", "nodata": 0}
        transform = Affine(30, 0, 300_000 + 30 * corner, 0, -30, 4_000_000)
        (folder / side).mkdir()
        with rasterio.open(folder / side / "s.tif", "w", crs="EPSG:32633", transform=transform, **profile) as raster:
            raster.write(pixels)
    return folder


def test_streamed_tiles_give_the_bytes_of_the_whole_scene_at_once(scene, small_config, tmp_path):
    module = Pointwise()
    written: dict[tuple[int, int, int], Path] = {}
    for tile, overlap, batch in ((64, 8, 4), (64, 0, 1), (96, 48, 7), (512, 8, 1)):
        config = replace(small_config, tile=tile, overlap=overlap, tiles_per_batch=batch, write_score=True)
        model = Model("pointwise", Path(), "0" * 64, ChangeDetection(config), module)
        (case,) = model.app.adapter.cases(str(scene))
        out = tmp_path / f"{tile}-{overlap}-{batch}"
        out.mkdir()
        outcome = predict_case(model, case, out)
        assert outcome.status == "done", outcome.message
        written[tile, overlap, batch] = out / case.id
    whole = written.pop((512, 8, 1))
    with rasterio.open(whole / "score.tif") as score:
        levels = score.read(1)
        assert score.transform.c == 300_090
        assert (score.width, score.height, score.crs.to_epsg()) == (497, 300, 32633)
    assert len(np.unique(levels)) > 150, "a nearly constant map would test little"
    assert (levels[40:90, 200:327] == 255).all()
    for folder in written.values():
        for name in ("mask.tif", "score.tif"):
            assert (folder / name).read_bytes() == (whole / name).read_bytes(), folder


def test_a_signal_that_a_failing_clean_up_hides_still_ends_the_command(untrained, pairs, tmp_path, monkeypatch):
    model = load(str(untrained))

    def read(case):
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("the library could not clean up")

    monkeypatch.setattr(model.app.adapter, "read", read)
    (case, *_) = model.app.adapter.cases(str(pairs))
    with pytest.raises(KeyboardInterrupt):
        predict_case(model, case, tmp_path)
