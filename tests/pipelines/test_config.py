"""Settings: the precedence of the layers, and messages that name the field, the value and what is allowed."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from transect.pipelines import config
from transect.pipelines.config import TrainConfig
from transect.pipelines.errors import UsageError
from transect.pipelines.find import ROOT, app_names
from transect.pipelines.model_folder import settings_of

APP = "change_detection"


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_overrides_go_over_the_file_and_the_file_over_the_defaults(tmp_path):
    file = written(tmp_path, "tile: 96\nmodel: {name: unet}\ntrain: {epochs: 7, batch_size: 3}\n")
    loaded, training, _ = config.load_training(APP, file, ["--model.name", "siamese_concat", "--train.epochs=9"])
    expected = asdict(config.load_training(APP, None, [])[0])
    expected["tile"], expected["model"]["name"] = 96, "siamese_concat"
    assert asdict(loaded) == expected
    assert training == TrainConfig(epochs=9, batch_size=3)


@pytest.mark.parametrize("app", app_names())
def test_a_setting_has_one_default(app):
    """That of the app's config.yaml, which is printed and is used by training without a file."""
    file = ROOT / app / "config.yaml"
    config_of_app, training, text = config.load_training(app, None, [])
    assert (config_of_app, training, text) == config.load_training(app, file, [])
    printed = yaml.safe_load(text)
    for key in config._leaves(config.read_yaml(file)):
        value, expected = printed, config.read_yaml(file)
        for part in key.split("."):
            value, expected = value[part], expected[part]
        assert value == expected, key


def test_a_models_own_settings_lie_between_defaults_and_overrides():
    loaded = config.load(APP, None, ["--threshold", "0.6"], base={"threshold": 0.3, "overlap": 8})
    assert (loaded.threshold, loaded.overlap, loaded.tile) == (0.6, 8, 256)


def test_values_of_every_kind_are_read_from_the_command_line():
    words = ["--read.bands", "[4, 3, 2]", "--read.nodata", "-9999", "--write_score", "true", "--stretch", "none"]
    loaded = config.load(APP, None, words)
    assert (loaded.read.bands, loaded.read.nodata, loaded.write_score, loaded.stretch) == (
        [4, 3, 2],
        -9999,
        True,
        "none",
    )


@pytest.mark.parametrize(
    ("words", "bands"),
    [
        (["--read.bands", "red,nir,swir1"], ["red", "nir", "swir1"]),
        (["--read.bands=4,3, 2"], [4, 3, 2]),
        (["--read.bands", "pan"], ["pan"]),
        (["--read.bands", "1"], [1]),
        (["--read.bands=[red, nir]"], ["red", "nir"]),
    ],
)
def test_a_list_needs_no_brackets(words, bands):
    assert config.load(APP, None, words).read.bands == bands


WRONG = [
    ("tile: 100", "tile: found 100, expected a multiple of 32"),
    ("tile: abc", "tile: found abc, expected int"),
    ("tile: 64.5", "tile: found 64.5, expected int"),
    ("tile: true", "tile: found True, expected int"),
    ("tile:", "tile: found nothing, expected a value such as 256"),
    ("threshold: high", "threshold: found high, expected float"),
    ("threshold: .nan", "threshold: found nan, expected 0.005 to 1"),
    ("write_score: maybe", "write_score: found maybe, expected bool"),
    ("read: {bands: [1, two]}", "read.bands: found [1, 'two'], expected band numbers counted from 1, or names"),
    ("read: {bands: [0]}", "read.bands: found [0], expected band numbers counted from 1"),
    ("read:", "read: found nothing, expected nested settings"),
    ("model: nonsense", "model: found nonsense, expected nested settings"),
    ("train: 5", "train: found 5, expected nested settings"),
    ("model: {name: resnet}", "model.name: found resnet, expected one of"),
    ("model: {name: resnet}", "'siamese_difference'"),
    ("model: {nam: unet}", "model.nam: found no such setting, expected one such as model.name"),
    ("titel: 64", "titel: found no such setting, expected one such as tile"),
    ("modle: {}", "modle: found no such setting, expected one such as model"),
    ("train: {epochs: x}", "train.epochs: found x, expected int"),
    ("train: {epochs: 0}", "train.epochs: found 0, expected at least 1"),
    ("train: {learning_rate: .inf}", "train.learning_rate: found inf"),
    ("train: {learning_rate: .nan}", "train.learning_rate: found nan"),
    ("train: {weight_decay: -1}", "train.weight_decay: found -1"),
    ("train: {precision: fp8}", "train.precision: found fp8, expected one of ['auto', 'fp32', 'bf16']"),
    ("train: {validation_share: 1}", "train.validation_share: found 1"),
    ("model: {cdmaskformer: {stages: 3}}", "model.cdmaskformer.stages: found 3"),
    ("- tile", "found a list, expected settings as key: value"),
    ("a: [", "settings.yaml: while parsing"),
    ("tile: 64\n\xff", "settings.yaml"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_file_is_reported_by_field_value_and_what_is_allowed(tmp_path, text, message):
    file = tmp_path / "settings.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as error:
        config.load_training(APP, file, [])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tile", "100"], "tile: found 100, expected a multiple of 32"),
        (["--tile=abc"], "tile: found abc, expected int"),
        (["--tile"], "--tile: expected one argument"),
        (["--tile", "null"], "tile: found None, expected int"),
        (["--til", "64"], "til: found no such setting, expected one such as tile"),
        (["--model", "nonsense"], "model: found nonsense, expected nested settings"),
        (["--model.name", "resnet"], "model.name: found resnet, expected one of"),
        (["--train.precision", "fp8"], "train.precision: found fp8"),
        (["stray"], "stray"),
    ],
)
def test_a_wrong_override_is_reported_the_same_way(words, message):
    with pytest.raises(UsageError) as error:
        config.load_training(APP, None, words)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"nowhere\.yaml.*No such file"):
        config.load(APP, Path("nowhere.yaml"), [])


def test_tags_that_would_run_code_are_refused(tmp_path):
    file = written(tmp_path, f"tile: !!python/object/apply:os.system ['touch {tmp_path}/ran']")
    with pytest.raises(UsageError, match="could not determine a constructor"):
        config.load(APP, file, [])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("app", app_names())
def test_the_printed_settings_say_what_they_mean_and_give_themselves_back(app, tmp_path):
    for number, file in enumerate([None, *sorted((ROOT / app).glob("*.yaml"))]):
        loaded, training, text = config.load_training(app, file, ["--train.seed", "5"])
        assert "# Passes over the training cases. (type: int, default: 50)" in text
        assert yaml.safe_load(text)["train"]["seed"] == 5
        again = config.load_training(app, written(tmp_path, text), [])
        assert again == (loaded, training, text), number


def test_a_models_settings_file_gives_them_back(small_config):
    content = yaml.safe_load(config.to_yaml(APP, small_config))
    assert content.pop("app") == APP
    assert config.load(APP, None, [], base=content) == small_config


def test_a_model_does_not_keep_the_area_of_interest_nor_follow_one(tmp_path):
    clipped = config.load(APP, None, ["--read.aoi", "here.gpkg"])
    text = config.to_yaml(APP, clipped)
    assert "aoi" not in text
    assert config.load(APP, None, [], base=without_app(text)) == config.load(APP, None, [])
    (tmp_path / "config.yaml").write_text(text.replace("read:\n", "read:\n  aoi: /elsewhere/there.gpkg\n"))
    settings = settings_of(tmp_path)
    assert settings == yaml.safe_load(text)


def without_app(text):
    return {key: value for key, value in yaml.safe_load(text).items() if key != "app"}


@pytest.mark.parametrize("app", app_names())
def test_settings_need_neither_torch_nor_what_tracks_runs(app):
    # A new process, since this one may have imported them already.
    code = f"""
import sys
from transect.pipelines import config
config.load_training({app!r}, None, [])
print(sorted({{"torch", "mlflow", "lightning", "rasterio", "geopandas", "pandas"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
