"""An ensemble is a model folder that averages the predictions of its members and writes their spread."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
import yaml

import transect
from transect.apps.base import App
from transect.apps.peptide.config import Calibration
from transect.data_adapters.base import Case
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_names

STATES = {
    "change_detection": [
        {"threshold": 0.3, "pixel_sizes": [10.0, 20.0], "dtypes": ["uint8"]},
        {"threshold": 0.5, "pixel_sizes": [0.5, 15.0], "dtypes": ["uint16"]},
    ],
    "liver_mri": [
        {"modalities": ["MR"], "thickest": 10.0, "spacing": [9.0, 9.0, 9.0]},
        {"modalities": [], "thickest": 12.0, "spacing": [12.0, 9.0, 9.0]},
    ],
    "pde": [{}, {}],
    "petct": [
        {"threshold": 0.3, "tracers": ["FDG"], "slice_distance": [3.0, 4.0]},
        {"threshold": 0.4, "tracers": ["PSMA"], "slice_distance": [5.0, 8.0]},
    ],
    "bev": [
        {"thresholds": [0.3, 0.5], "cameras": [6, 6], "tilt": [-4.0, 1.0]},
        {"thresholds": [0.4, 0.4], "cameras": [1, 3], "tilt": [-2.0, 2.0]},
    ],
    "peptide": [
        {"calibration": {"bias": 1.0, "log_score": 0.5, "margin": 2.0, "agreement": 0.0, "fits": 1.0}},
        {"calibration": {"bias": -2.0, "log_score": 1.5, "margin": 0.0, "agreement": 1.0, "fits": 0.0}},
    ],
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(params=app_names(), scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def members(name: str, fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models of an app with different weights and states; those of change detection have different tiles."""
    loaded, folders = model_folder.load(str(fixtures / "models" / name)), []
    for number, values in enumerate(STATES[name]):
        torch.manual_seed(number)
        for parameter in loaded.module.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter)
        folder = tmp_path_factory.mktemp("members") / "model"
        model_folder.save(folder, name, loaded.app, loaded.module, "# member\n")
        rewrite(folder / "state.json", values)
        if name == "change_detection":
            settings = yaml.safe_load((folder / "config.yaml").read_text()) | {"tile": 64 + 32 * number, "overlap": 8}
            (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        folders.append(folder)
    return folders


def rewrite(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.fixture(scope="module")
def folder(members: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transect.pipelines.ensemble import ensemble

    folder = tmp_path_factory.mktemp("ensemble") / "model"
    ensemble(list(map(str, members)), folder)
    return folder


@pytest.fixture(scope="module")
def data(name: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data") / name
    size = ["--phantom.spectra", "12"] if name == "peptide" else []
    model_folder.app_for(folder, size).adapter.phantom(data, 3, 0)
    return data


@pytest.fixture(scope="module")
def case(folder: Path, data: Path) -> Case:
    return next(iter(model_folder.app_for(folder).adapter.cases(str(data))))


def values(app: App[Any, Any], prediction: Any) -> Any:
    """The numbers of a prediction in a fixed order: levels, probabilities, frames, or deviations of candidates."""
    if type(app).__name__ == "ChangeDetection":
        return np.concatenate([block.levels for block in prediction.blocks]).astype(float)
    if type(app).__name__ == "LiverMRI":
        return np.concatenate([slab.probability for slab in prediction.slabs], axis=2)
    if type(app).__name__ in ("PetCT", "BirdsEyeView"):
        return prediction.probability
    if type(app).__name__ == "PDE":
        return np.concatenate(list(prediction.blocks))
    ranked = [sorted(block.ranking, key=lambda each: each.candidate.peptide.proforma) for block in prediction.blocks]
    return np.array([each.deviation for ranking in ranked for each in ranking])


def predict(path: Path, case: Case) -> Any:
    model = model_folder.load(str(path), ["--precision", "fp32"] if "pde" not in str(case.files) else [])
    return values(model.app, model.predict(case, model.app.adapter.read(case)))


@pytest.fixture(scope="module")
def predicted(members: list[Path], case: Case) -> list[Any]:
    """The prediction of each member."""
    return [predict(member, case) for member in members]


def test_predictions_are_the_mean_of_the_members(name, folder, predicted, case):
    first, second = predicted
    averaged = predict(folder, case)
    assert np.abs(first - second).max() > 0
    if name == "change_detection":
        np.testing.assert_array_equal(averaged, np.floor((first + second) / 2 + 0.5))
    elif name == "pde":
        channels = first.shape[1]
        np.testing.assert_allclose(averaged[:, :channels], (first + second) / 2, atol=1e-5)
        np.testing.assert_allclose(averaged[:, channels:], np.abs(first - second) / np.sqrt(2), atol=1e-5)
    else:
        np.testing.assert_allclose(averaged, (first + second) / 2, atol=1e-7 if name == "bev" else 1e-9)


def test_the_state_is_made_of_those_of_the_members(name, folder, members):
    state, first = model_folder.app_for(folder).state, model_folder.app_for(members[0]).state
    if name == "change_detection":
        assert state.threshold == pytest.approx(0.4)
        assert (state.pixel_sizes, state.dtypes) == ((0.5, 20.0), ("uint16", "uint8"))
    elif name == "liver_mri":
        assert (state.modalities, state.thickest) == (("MR",), 12.0)
    elif name == "bev":
        assert (state.thresholds, state.cameras, state.tilt) == ((0.35, 0.45), (1, 6), (-4.0, 2.0))
    elif name == "petct":
        assert (state.tracers, state.slice_distance) == (("FDG", "PSMA"), (3.0, 8.0))
        assert state.threshold == pytest.approx(0.35)
    elif name == "peptide":
        assert state.calibration == Calibration(-0.5, 1.0, 1.0, 0.5, 0.5)
    else:
        assert state == first


def test_every_command_takes_an_ensemble(name, members, folder, data, command, tmp_path):
    """The files have the spread, in the formats of the domain."""
    status, printed, error = command("ensemble", *members, "--out", tmp_path / "model")
    assert (status, printed.strip()) == (0, str(tmp_path / "model")), error
    assert model_folder.load(str(tmp_path / "model")).sha256 == model_folder.load(str(folder)).sha256
    status, printed, error = command("register", tmp_path / "model", "--name", f"{name}_ensemble")
    assert status == 0, error
    workers = ["--workers", "2"] if name == "pde" else []
    status, printed, error = command("predict", printed.strip(), data, "--out", tmp_path / "out", *workers)
    assert status == 0, error
    status, _, error = command("evaluate", folder, "--data", data, "--out", tmp_path / "scores")
    assert status == 0, error
    results = next(path for path in sorted((tmp_path / "out").iterdir()) if path.is_dir())
    if name == "change_detection":
        with rasterio.open(results / "spread.tif") as spread:
            assert spread.scales == (1 / 200,)
            assert 0 < spread.read(1, masked=True).max() <= 142
        assert (results / "preview" / "spread.png").is_file()
    elif name == "liver_mri":
        statistics = json.loads((results / "statistics.json").read_text())
        low, high = statistics["volume_range_ml"]
        assert low < high
    elif name == "bev":
        with np.load(results / "map.npz") as maps:
            assert maps["spread"].shape == maps["probability"].shape
            assert maps["spread"].max() > 0
    elif name == "petct":
        study = json.loads((results / "study.json").read_text())
        assert len(study["probability_spread"]) == study["slices"]
        assert max(study["probability_spread"]) > 0
    elif name == "pde":
        with xr.open_dataset(results / "rollout.nc") as rollout:
            names = [str(variable) for variable in rollout.data_vars if f"{variable}_spread" in rollout]
            assert names
            assert all(float(rollout[f"{variable}_spread"].max()) > 0 for variable in names)
            assert rollout[f"{names[0]}_spread"].attrs["cell_methods"] == "realization: standard_deviation"
    else:
        rows = list(csv.DictReader((results / "results.csv").open()))
        assert max(float(row["score_spread"] or 0) for row in rows) > 0
        (header,) = [line for line in (results / "results.mztab").read_text().splitlines() if line.startswith("PSH")]
        assert header.endswith("\topt_global_score_spread")


def test_an_ensemble_of_equal_members_is_the_member(name, members, predicted, case, tmp_path):
    from transect.pipelines.ensemble import ensemble

    ensemble([str(members[0])] * 3, tmp_path / "model")
    single, averaged = predicted[0], predict(tmp_path / "model", case)
    if name == "pde":
        assert not averaged[:, single.shape[1] :].any()
        averaged = averaged[:, : single.shape[1]]
    np.testing.assert_allclose(averaged, single, rtol=1e-7)


def test_settings_given_for_prediction_apply_to_every_member(name, folder, case):
    setting = {
        "change_detection": {"threshold": 0.7},
        "liver_mri": {"threshold": 0.7},
        "pde": {"steps": 3},
        "petct": {"threshold": 0.7},
        "bev": {"thresholds": (0.7, 0.2)},
        "peptide": {"candidates": 3},
    }[name]
    model = transect.load(str(folder), setting).model
    assert [vars(member.app.config) | setting for member in model.members] == [
        vars(member.app.config) for member in model.members
    ]
    prediction = model.predict(case, model.app.adapter.read(case))
    if name == "change_detection":
        assert prediction.threshold_level == 140
    elif name == "liver_mri":
        assert prediction.threshold == 0.7
    elif name == "bev":
        assert prediction.threshold.tolist() == [0.7, 0.2]
    elif name == "petct":
        assert (prediction.threshold, prediction.flags.tolist()) == (0.7, (prediction.probability >= 0.7).tolist())
    elif name == "pde":
        assert len(prediction.times) == 3
    else:
        assert prediction.top == 3


def test_the_members_are_listed_and_lie_in_the_folder(folder, members, tmp_path):
    assert yaml.safe_load((folder / "config.yaml").read_text())["members"] == ["members/0", "members/1"]
    for number, member in enumerate(members):
        assert str(member) in (folder / "card.md").read_text()
        for file in model_folder.FILES:
            assert (folder / "members" / str(number) / file).read_bytes() == (member / file).read_bytes()


@pytest.mark.parametrize("listed", [["../model"], ["members/1", "members/0"], "members/0", {"members/0": 1}])
def test_members_elsewhere_are_refused(listed, fixtures, tmp_path):
    (tmp_path / "members").mkdir()
    settings = yaml.safe_load((fixtures / "models" / "pde" / "config.yaml").read_text()) | {"members": listed}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(UsageError, match=r"config\.yaml: members: found .*, expected members/0"):
        model_folder.members_of(tmp_path)


def test_models_that_cannot_be_averaged_are_refused(fixtures, command, tmp_path):
    def refused(*sources: object) -> str:
        status, _, error = command("ensemble", *sources, "--out", tmp_path / "out")
        assert status == 2
        assert not (tmp_path / "out").exists()
        return error

    pde, peptide = (fixtures / "models" / name for name in ("pde", "peptide"))
    assert "found 1 model, expected two or more" in refused(pde)
    assert f"{peptide}: found a model of peptide, expected one of pde as {pde}" in refused(pde, peptide)
    assert "model nothing: found no config.yaml" in refused(pde, "nothing")
    loaded = model_folder.load(str(pde), ["--steps", "2"])
    model_folder.save(tmp_path / "other", "pde", loaded.app, loaded.module, "# other\n")
    assert "steps: found 2, expected 0 as in the first member" in refused(pde, tmp_path / "other")
    assert command("ensemble", pde, pde, "--out", tmp_path / "nested")[0] == 0
    assert "found an ensemble, expected a single model" in refused(pde, tmp_path / "nested")
