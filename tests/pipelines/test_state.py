"""Settings and learned state are separate, and model folders without `state.json` load."""

import json
import shutil

import pytest
import yaml

from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.config import Config, State
from transect.apps.pde.config import Scale
from transect.apps.peptide.config import Calibration
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_names
from transect.pipelines.predict import predict

LEARNED = {
    "change_detection": lambda state: state == State(threshold=0.615),
    "pde": lambda state: (
        [field.name for field in state.fields] == ["tensor"]
        and state.axes == ("x",)
        and state.time_step == 0.05000000074505806
        and state.scales == (Scale(-0.10800655157452477, 1.063801251919857),)
        and state.changes == (0.16335375631030885,)
    ),
    "peptide": lambda state: state.calibration == Calibration(1.5, 0.75, 2.25, 0.5, 0.125),
}


@pytest.mark.parametrize("name", sorted(LEARNED))
def test_a_model_folder_without_a_state_keeps_what_it_had_learned(name, fixtures, tmp_path):
    """The folders in `fixtures/models` were written before `state.json` was introduced."""
    loaded = model_folder.load(str(fixtures / "models" / name))
    assert LEARNED[name](loaded.app.state)
    model_folder.save(tmp_path / "model", name, loaded.app, loaded.module, "# again\n")
    again = model_folder.load(str(tmp_path / "model"))
    assert (again.app.config, again.app.state) == (loaded.app.config, loaded.app.state)
    settings = yaml.safe_load((tmp_path / "model" / "config.yaml").read_text())
    assert not {"fitted", "calibration"} & settings.keys()
    assert settings.get("threshold") is None


@pytest.mark.parametrize("name", sorted(LEARNED))
def test_a_model_folder_without_a_state_still_predicts(name, fixtures, tmp_path):
    loaded = model_folder.load(str(fixtures / "models" / name))
    loaded.app.adapter.phantom(tmp_path / "data", 2, 0)
    outcomes = predict(str(fixtures / "models" / name), [str(tmp_path / "data")], tmp_path / "out", shard=(1, 2))
    assert {outcome.status for outcome in outcomes} == {"done"}, outcomes


@pytest.mark.parametrize("name", sorted(LEARNED))
def test_training_starts_from_the_settings_of_such_a_folder_and_not_from_what_it_had_learned(name, fixtures, command):
    status, printed, error = command("train", name, "--from", fixtures / "models" / name, "--print-config")
    assert status == 0, error
    settings = yaml.safe_load(printed)
    assert not {"fitted", "calibration"} & settings.keys()
    assert settings.get("threshold") is None


def test_a_value_that_a_person_gives_wins_over_the_state():
    assert ChangeDetection(Config(), State(threshold=0.3)).threshold == 0.3
    assert ChangeDetection(Config(threshold=0.6), State(threshold=0.3)).threshold == 0.6


def test_results_name_the_value_that_was_used(untrained, pairs, tmp_path):
    case = [str(pairs / "test" / side / "test_11.png") for side in "AB"]
    learned = json.loads((untrained / "state.json").read_text())["threshold"]
    for overrides, given in (([], None), (["--threshold", "0.9"], 0.9)):
        predict(str(untrained), case, tmp_path / str(given), overrides)
        run = json.loads((tmp_path / str(given) / "run.json").read_text())
        assert (run["settings"]["threshold"], run["state"]["threshold"]) == (given, learned)
        page = (tmp_path / str(given) / "report.html").read_text()
        assert (f"{learned} (learned)" in page) == (given is None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": 4, "threshold": 0.5}', "version: found 4, expected 1 to 3; use a newer transect"),
        ('{"version": "1", "threshold": 0.5}', "version: found '1', expected 1 to 3"),
        ('{"threshold": 0.5}', "version: found None, expected 1"),
        ('{"version": 1}', "threshold: found none, expected a value"),
        ('{"version": 1, "threshold": "high"}', "threshold: found high, expected float"),
        ('{"version": 1, "threshold": 7}', "threshold: found 7"),
        ('{"version": 1, "threshold": 0.5, "limit": 1}', "limit"),
        ("[1]", "found a list, expected an object"),
        ("[" * 100_000, "recursion"),
        ("{", "Expecting"),
    ],
    ids=range(10),
)
def test_a_damaged_state_is_refused_in_one_line(untrained, tmp_path, content, message):
    folder = tmp_path / "model"
    shutil.copytree(untrained, folder)
    (folder / "state.json").write_text(content)
    with pytest.raises(UsageError) as error:
        model_folder.load(str(folder))
    assert message in str(error.value)
    assert "state.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", app_names())
def test_a_model_folder_that_lost_its_state_is_refused(name, fixtures, tmp_path):
    loaded = model_folder.load(str(fixtures / "models" / name))
    model_folder.save(tmp_path / "model", name, loaded.app, loaded.module, "# card\n")
    (tmp_path / "model" / "state.json").unlink()
    with pytest.raises(UsageError, match=r"state\.json: found none, expected the file that was saved with the model"):
        model_folder.load(str(tmp_path / "model"))


def test_settings_that_the_weights_or_the_state_contradict_are_one_short_line(fixtures):
    folder = str(fixtures / "models" / "liver_mri")
    for words, message in (
        (["--fast", "true"], "config.yaml: fast: found True, expected False, as the model was trained"),
        (["--model.name", "unet"], "model.safetensors: Error(s) in loading state_dict for Baseline: Missing key(s)"),
    ):
        with pytest.raises(UsageError) as error:
            model_folder.load(folder, words)
        assert message in str(error.value)
        assert len(str(error.value)) < len(folder) + 500
        assert "\n" not in str(error.value)
