"""The Python interface gives the results of the command line."""

import subprocess
import sys

import numpy as np
import pytest

import transect
from transect.data_adapters.base import BadInput
from transect.pipelines.errors import UsageError
from transect.pipelines.predict import predict


def test_importing_transect_is_quick_and_imports_nothing_heavy():
    heavy = {"torch", "numpy", "yaml", "mlflow", "transect.pipelines"}
    code = f"import sys, transect; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    took = next(line for line in done.stderr.splitlines() if line.split("|")[-1].strip() == "transect")
    assert int(took.split("|")[1]) < 100_000, "microseconds"


def test_the_exceptions_are_imported_from_the_package():
    code = "import transect, sys; transect.UsageError, transect.BadInput; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
    assert (transect.UsageError, transect.BadInput) == (UsageError, BadInput)
    with pytest.raises(transect.UsageError):
        transect.app("weather")
    with pytest.raises(AttributeError, match="module 'transect' has no attribute 'Usageerror'"):
        _ = transect.Usageerror


@pytest.mark.parametrize("value", [object(), np.float32(1), {1, 2}, [float("nan"), object()]])
def test_a_settings_value_of_another_kind_is_one_clear_error(value):
    with pytest.raises(UsageError, match=r"^phantom\.points: found a value of type \w+, expected text, a num") as error:
        transect.app("pde", {"phantom.points": value})
    assert "\n" not in str(error.value)


def test_a_prediction_is_saved_as_the_command_line_writes_it(untrained, pairs, tmp_path):
    files = [pairs / "test" / side / "test_11.png" for side in "AB"]
    result = transect.load(str(untrained)).predict(*files)
    assert result.sample.grid.width == 256
    folder = result.save(tmp_path / "saved")
    (outcome,) = predict(str(untrained), [str(file) for file in files], tmp_path / "out")
    for name in ("mask.tif", "changes.gpkg"):
        assert (folder / name).stat().st_size == (tmp_path / "out" / outcome.case / name).stat().st_size
    assert (folder / "mask.tif").read_bytes() == (tmp_path / "out" / outcome.case / "mask.tif").read_bytes()
    assert result.save(folder) == folder  # over an earlier result


def test_saving_never_replaces_the_users_own_files(untrained, pairs, tmp_path):
    result = transect.load(str(untrained)).predict(*(pairs / "test" / side / "test_11.png" for side in "AB"))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="found other files, expected a new folder or an earlier result"):
        result.save(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    folder = result.save(tmp_path / "saved")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="found other files"):
        result.save(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "done.json").write_text("{}")
    with pytest.raises(UsageError, match="found other files"):
        result.save(tmp_path / "other")


def test_saving_to_a_link_fills_the_folder_that_it_points_to(untrained, pairs, tmp_path):
    result = transect.load(str(untrained)).predict(*(pairs / "test" / side / "test_11.png" for side in "AB"))
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for _ in range(2):
        result.save(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target" / "mask.tif").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]


def test_a_batch_is_what_predict_does(untrained, pairs, tmp_path):
    model = transect.load(str(untrained), {"write_score": True}, device="cpu")
    outcomes = model.predict_batch(pairs / "test", out=tmp_path / "out")
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert len(outcomes) == len(list((tmp_path / "out").glob("*/score.tif"))) == 2


def test_several_cases_are_a_batch(untrained, pairs):
    with pytest.raises(UsageError, match="found 2 cases, expected one; use predict_batch"):
        transect.load(str(untrained)).predict(pairs / "test")


def test_a_domains_files_are_read_without_a_model(tmp_path):
    reader = transect.app("pde", {"phantom.points": 16})
    reader.app.adapter.phantom(tmp_path, 3, 0)
    case, *_ = reader.cases(tmp_path)
    simulation = reader.read(*case.files)
    assert simulation.shape == (16,)
    assert np.isfinite(simulation.read(0, 2)).all()
    (tmp_path / "bad.nc").write_text("no simulation")
    with pytest.raises(BadInput, match=r"bad\.nc"):
        reader.read(tmp_path / "bad.nc")


def test_settings_that_do_not_exist_are_refused(untrained):
    with pytest.raises(UsageError, match="treshold: found no such setting"):
        transect.load(str(untrained), {"treshold": 0.5})
    with pytest.raises(UsageError, match="expected one of"):
        transect.app("weather")
