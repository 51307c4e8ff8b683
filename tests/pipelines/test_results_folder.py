"""A results folder never harms what is the user's, and several commands share it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import transect
from transect.apps.change_detection.app import ChangeDetection
from transect.data_adapters.base import BadInput
from transect.data_adapters.files import sha256
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.evaluate import evaluate
from transect.pipelines.predict import predict
from transect.pipelines.predict_rows import predict_rows
from transect.pipelines.results import require_own

PREDICT = """
import sys, time
from pathlib import Path
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.pipelines.predict import predict

model, data, out, log, gate = sys.argv[1:]
write = ChangeAdapter.write

def logged(self, case, *rest):
    with open(log, "a") as file:
        file.write(case.id + "\\n")
    while gate and not Path(gate).exists():
        time.sleep(0.01)
    return write(self, case, *rest)

ChangeAdapter.write = logged
outcomes = predict(model, [data], Path(out))
print(sum(outcome.status == "done" for outcome in outcomes), "done")
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a prediction that logs each case that it writes, and waits in the first one until a file exists."""
    command = [sys.executable, "-c", PREDICT, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(log: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a prediction has logged its first case."""
    while not (log.exists() and log.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}


def assert_all_whole(out: Path) -> None:
    """Assert that all twelve cases are there with the files of their records, and nothing half written."""
    assert {path.name for path in out.iterdir() if path.name.startswith(".")} == set()
    folders = [path for path in out.iterdir() if path.is_dir()]
    assert len(folders) == 12
    for folder in folders:
        for name, digest in json.loads((folder / "done.json").read_text())["outputs"].items():
            assert sha256(folder / name) == digest


@pytest.fixture
def data(pairs: Path, tmp_path: Path) -> Path:
    """A copy of the two pairs of the test split, in a folder of their own."""
    shutil.copytree(pairs / "test", tmp_path / "data" / "test")
    return tmp_path / "data"


def region(folder: Path) -> None:
    """A region in the layout of OSCD: its folder has the name of its case."""
    for seed, side in enumerate(("imgs_1_rect", "imgs_2_rect")):
        (folder / side).mkdir(parents=True)
        for band in ("B02", "B03", "B04"):
            pixels = np.random.default_rng(seed).integers(100, 3000, (1, 96, 96), dtype=np.uint16)
            profile = {"driver": "GTiff", "width": 96, "height": 96, "count": 1, "dtype": "uint16"}
            transform = from_origin(5e5, 5e6, 10, 10)
            with rasterio.open(
                folder / side / f"{band}.tif", "w", crs="EPSG:32633", transform=transform, **profile
            ) as f:
                f.write(pixels)


def test_a_region_is_not_replaced_by_its_own_prediction(untrained, tmp_path, command):
    region(tmp_path / "oscd" / "city1")
    before = tree(tmp_path)
    status, _, err = command("predict", untrained, tmp_path / "oscd", "--out", tmp_path / "oscd")
    assert (status, len(err.splitlines())) == (2, 1)
    assert f"{tmp_path / 'oscd'}, expected a folder apart from the inputs; choose another --out" in err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("place", ["data", ".", "data/test", "data/new/deep", "link", "link/test", "data/test/A"])
def test_results_are_apart_from_every_input(untrained, data, tmp_path, place):
    (tmp_path / "link").symlink_to(data)
    before, out = tree(tmp_path), tmp_path / place
    with pytest.raises(UsageError, match="expected a folder apart from the inputs"):
        predict(str(untrained), [str(data)], out)
    with pytest.raises(UsageError, match="expected a folder apart from the inputs"):
        evaluate(str(untrained), [str(data)], "test", out)
    with pytest.raises(UsageError, match="expected a folder apart from the inputs"):
        transect.load(str(untrained)).predict_batch(data, out)
    assert tree(tmp_path) == before
    assert not (tmp_path / "data" / "new").exists()


def test_results_are_apart_from_the_files_that_a_table_names(untrained, data, tmp_path):
    (tmp_path / "table").mkdir()
    files = [data / "test" / side / "test_11.png" for side in "AB"]
    (tmp_path / "table" / "pairs.csv").write_text(f"id,before,after\nx,{files[0]},{files[1]}\n")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "before.png").symlink_to(files[0])
    for inputs, out in (
        ([tmp_path / "table" / "pairs.csv"], data),
        ([tmp_path / "links" / "before.png", files[1]], tmp_path / "links"),
        ([tmp_path / "links" / "before.png", tmp_path / "links" / "before.png"], data / "test" / "A"),
    ):
        with pytest.raises(UsageError, match="expected a folder apart from the inputs"):
            predict(str(untrained), [str(path) for path in inputs], out)
    assert not (data / "run.json").exists()


def test_a_model_folder_is_no_results_folder(untrained, data, tmp_path):
    shutil.copytree(untrained, tmp_path / "model")
    before = tree(tmp_path)
    for out in (tmp_path / "model", tmp_path / "model" / "out"):
        with pytest.raises(UsageError, match="found the model folder"):
            predict(str(tmp_path / "model"), [str(data)], out)
    assert tree(tmp_path) == before


def test_check_is_as_careful_as_predict(untrained, data, tmp_path, command):
    before = tree(tmp_path)
    status, _, err = command("check", "change_detection", data, "--out", data)
    assert status == 2
    assert "expected a folder apart from the inputs" in err
    assert tree(tmp_path) == before
    predict(str(untrained), [str(data)], tmp_path / "predicted")
    before = tree(tmp_path)
    status, _, err = command("check", "change_detection", data, "--out", tmp_path / "predicted")
    assert status == 2
    assert "found results of predict, expected an empty folder or those of check" in err
    assert tree(tmp_path) == before
    for _ in range(2):
        assert command("check", "change_detection", data, "--out", tmp_path / "checked")[0] == 0
    (tmp_path / "checked" / "test_11" / "mine.txt").write_text("mine")
    status, printed, _ = command("check", "change_detection", data, "--out", tmp_path / "checked")
    assert status == 1
    assert "found other files, expected a new folder or an earlier result of test_11" in printed
    assert (tmp_path / "checked" / "test_11" / "mine.txt").read_text() == "mine"
    assert command("predict", untrained, data, "--out", tmp_path / "checked")[0] == 2


def test_a_served_request_writes_apart_from_its_inputs(untrained, data):
    before = tree(data)
    files = [str(data / "test" / side / "test_11.png") for side in "AB"]
    (answer,) = predict_rows(model_folder.load(str(untrained)), [files], data, None)
    assert (answer["status"], "expected a folder apart from the inputs" in answer["message"]) == ("failed", True)
    assert tree(data) == before


@pytest.mark.parametrize("name", ["mine.txt", "config.yaml"])
def test_a_model_replaces_only_a_model(untrained, tmp_path, name):
    model = model_folder.load(str(untrained))
    for _ in range(2):
        model_folder.save(tmp_path / "model", "change_detection", model.app, model.module, "# card\n")
    (tmp_path / "model" / "mine.txt").write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text("mine")
    (tmp_path / "data" / "a.tif").write_text("mine")
    before = tree(tmp_path)
    for folder in ("model", "data", f"data/{name}"):
        with pytest.raises((UsageError, FileExistsError), match=r"found (other files|a file)"):
            model_folder.save(tmp_path / folder, "change_detection", model.app, model.module, "# card\n")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["folder", "file", "other case", "added", "changed"])
def test_what_is_the_users_in_a_cases_place_fails_the_case_and_stays(untrained, data, tmp_path, kind):
    out = tmp_path / "out"
    predict(str(untrained), [str(data)], out)
    place = out / "test_11"
    if kind in ("folder", "file"):
        shutil.rmtree(place)
    if kind == "folder":
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    elif kind == "file":
        place.write_text("mine")
    elif kind == "other case":
        record = json.loads((place / "done.json").read_text())
        (place / "done.json").write_text(json.dumps({**record, "case": "another"}))
    elif kind == "added":
        (place / "preview" / "mine.txt").write_text("mine")
    elif kind == "changed":
        (place / "mask.tif").write_bytes(b"edited")
    before = tree(place) if kind != "file" else place.read_text()
    predicted = predict(str(untrained), [str(data)], out, overwrite=True)
    *_, evaluated = evaluate(str(untrained), [str(data)], "test", out, overwrite=True)
    for outcomes in (predicted, evaluated):
        messages = {outcome.case: outcome.message for outcome in outcomes}
        assert "found other files, expected a new folder or an earlier result of test_11" in messages["test_11"]
        assert "choose another --out" in messages["test_11"]
        assert messages["test_12"] == ""
    assert (tree(place) if kind != "file" else place.read_text()) == before


def test_files_of_interactive_pictures_belong_to_the_result(tmp_path):
    place = tmp_path / "a"
    for name in ("preview/volume.nii.gz", "views/volume-1.html"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("ours")
    view = {"kind": "volume", "page": "volume-1.html", "legend": "", "files": ["preview/volume.nii.gz"]}
    (place / "done.json").write_text(json.dumps({"case": "a", "outputs": {}, "preview": [], "views": [view]}))
    require_own(place, "a")
    (place / "preview" / "mine.nii.gz").write_text("mine")
    with pytest.raises(BadInput, match="mine"):
        require_own(place, "a")


@pytest.mark.parametrize("content", ["", "[]", "{", '"run"', '{"kind": 3}', "\xff", "[" * 100_000])
def test_a_run_json_that_is_not_ours_is_one_line_and_stays(untrained, data, tmp_path, command, content):
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(content, encoding="latin-1")
    before = tree(out)
    for options in ((), ("--overwrite",)):
        status, _, err = command("predict", untrained, data, "--out", out, *options)
        assert (status, len(err.splitlines())) == (2, 1)
        assert "run.json: found no record of a prediction or an evaluation, expected" in err
        assert "choose another --out" in err
    assert tree(out) == before


@pytest.mark.parametrize("name", ["manifest.csv", "report.html", "cases.csv"])
def test_a_users_file_with_the_name_of_ours_stays(untrained, data, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    for act, split in ((predict, ()), (evaluate, ("test",))):
        with pytest.raises(UsageError, match=f"found {name} but no run.json"):
            act(str(untrained), [str(data)], *split, out, overwrite=True)
    assert {path.name: path.read_text() for path in out.iterdir()} == {name: "mine"}


def test_two_commands_share_the_cases_of_one_folder(untrained, pairs, tmp_path):
    out, gate, logs = tmp_path / "out", tmp_path / "gate", [tmp_path / "log-1", tmp_path / "log-2"]
    processes = [start(untrained, pairs, out, log, gate) for log in logs]
    for log, process in zip(logs, processes, strict=True):
        wait_for(log, process)
    gate.touch()
    assert [process.communicate(timeout=120)[0] for process in processes] == ["12 done\n"] * 2
    written = [log.read_text().split() for log in logs]
    assert all(written), "both took part"
    assert len(written[0] + written[1]) == len({*written[0], *written[1]}) == 12, "no case was predicted twice"
    assert_all_whole(out)
    assert (out / "report.html").read_text().count("data-case=") == 12


def test_a_killed_command_loses_nothing_and_another_model_waits_its_turn(untrained, pairs, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    process = start(untrained, pairs, out, log, tmp_path / "never")
    wait_for(log, process)
    held = log.read_text().strip()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=rf"found a running predict \(process {process.pid} on .*model SHA-256"):
            predict(str(untrained), [str(pairs)], out, ["--threshold", "0.9"], overwrite=overwrite)
    with pytest.raises(UsageError, match=f"found a running predict .process {process.pid}"):
        evaluate(str(untrained), [str(pairs)], "test", out, overwrite=True)
    outcomes: list[object] = []
    other = threading.Thread(target=lambda: outcomes.extend(predict(str(untrained), [str(pairs)], out)))
    other.start()
    while len([path for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")]) < 11:
        assert other.is_alive()
        time.sleep(0.01)
    time.sleep(0.2)
    assert other.is_alive()
    assert not (out / held).exists(), "a case that another command is predicting is left to it"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    other.join(timeout=60)
    assert len(outcomes) == 12
    assert_all_whole(out)
    assert predict(str(untrained), [str(pairs / "test")], out, ["--threshold", "0.9"], overwrite=True)


def test_leftovers_of_killed_commands_are_removed(untrained, data, tmp_path):
    out = tmp_path / "out"
    predict(str(untrained), [str(data)], out)
    (out / ".gone.partial" / "99-0123abcd").mkdir(parents=True)
    (out / ".gone.partial" / "lock").touch()
    (out / ".report.html.99-0123abcd.partial").touch()
    (out / ".running-99-0.lock").write_text("{}")
    (out / ".mine.partial").mkdir()
    (out / ".mine.partial" / "download").touch()
    predict(str(untrained), [str(data)], out)
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == [".mine.partial"]


def test_a_whole_run_after_shards_counts_each_case_once(untrained, pairs, tmp_path):
    for shard in ((1, 2), (2, 2), (1, 1)):
        predict(str(untrained), [str(pairs)], tmp_path / "out", shard=shard, pictures=0)
    report = (tmp_path / "out" / "report.html").read_text()
    assert report.count("data-case=") == 12
    assert " ".join(report.split("cases done")[1].split())[:40].count("12") == 1


def test_pictures_are_drawn_only_of_the_cases_asked_for(untrained, pairs, tmp_path, command, monkeypatch):
    status, _, err = command("predict", untrained, pairs / "test", "--out", tmp_path / "one", "--pictures", "1")
    assert status == 0, err
    assert [path.parent.name for path in sorted((tmp_path / "one").glob("*/preview"))] == ["test_11"]
    (tmp_path / "one" / "test_12").rename(tmp_path / "moved")
    predict(str(untrained), [str(pairs / "test")], tmp_path / "one", pictures=None)
    assert (tmp_path / "one" / "test_12" / "preview").is_dir()
    monkeypatch.setattr(ChangeDetection, "preview", None)  # calling either is an error
    monkeypatch.setattr(ChangeDetection, "views", None)
    for verb, inputs in (("predict", (pairs / "test",)), ("evaluate", ("--data", pairs))):
        out = tmp_path / verb
        status, _, err = command(verb, untrained, *inputs, "--out", out, "--pictures", "none")
        assert status == 0, err
        assert not list(out.glob("*/preview"))
        assert (out / "report.html").is_file()
    model = transect.load(str(untrained))
    outcomes = model.predict_batch(pairs / "test", tmp_path / "batch", pictures=0)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]


def test_a_shard_pictures_the_first_cases_of_the_whole_list(untrained, pairs, tmp_path):
    predict(str(untrained), [str(pairs)], tmp_path / "out", shard=(2, 2), pictures=2)
    assert len(list((tmp_path / "out").glob("*/preview"))) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "m", "d", "--out", "o", "--workers", "0"),
        ("evaluate", "m", "--data", "d", "--out", "o", "--workers", "-2"),
        ("phantom", "pde", "--out", "o", "--count", "0"),
    ],
)
def test_numbers_below_one_are_refused(command, arguments):
    status, _, err = command(*arguments)
    assert status == 2
    assert err.splitlines()[-1].endswith(f"found '{arguments[-1]}', expected 1 or more")


def test_a_report_of_no_results_is_one_line_and_writes_nothing(command, tmp_path):
    (tmp_path / "mine.txt").touch()
    status, out, err = command("report", tmp_path)
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"transect: {tmp_path}: run.json: found none, expected a folder that predict or evaluate wrote"
    ]
    assert os.listdir(tmp_path) == ["mine.txt"]


WORKERS = """
import os, sys
from pathlib import Path
from transect.pipelines import model_folder
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.workers import in_processes

def work(model, case):
    if case.id.endswith("1"):
        return lambda: None
    if case.id.endswith("2"):
        raise SystemExit(3)
    return case.id

def failed(case, message):
    return message

if __name__ == "__main__":
    model = model_folder.load(sys.argv[1], device="cpu")
    cases = model.app.adapter.cases(sys.argv[2])
    for case, result in in_processes(work, cases, model, 2, failed):
        print(case.id, result)
    Path(sys.argv[1], "model.safetensors").write_bytes(b"")
    try:
        list(in_processes(work, cases, model, 2, failed))
    except UsageError as error:
        print(error)
"""


def test_a_worker_that_fails_in_any_way_fails_its_case_and_one_that_cannot_start_says_why(untrained, pairs, tmp_path):
    shutil.copytree(untrained, tmp_path / "model")
    (tmp_path / "script.py").write_text(WORKERS)
    command = [sys.executable, tmp_path / "script.py", tmp_path / "model", pairs / "train"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["train_1"].startswith(("AttributeError: ", "PicklingError: "))
    assert lines["train_2"] == "SystemExit: 3"
    assert {lines[f"train_{number}"] for number in range(3, 9)} == {f"train_{number}" for number in range(3, 9)}
    assert "Traceback" not in done.stderr
    assert "model.safetensors" in lines["--workers:"]
