"""The contract of apps, tested on every app; a new app is included automatically."""

import ast
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from tests.pipelines.settings import settings
from transect.apps.base import App
from transect.data_adapters.base import Case
from transect.pipelines import config as configs
from transect.pipelines import model_folder
from transect.pipelines.config import TrainConfig
from transect.pipelines.errors import UsageError
from transect.pipelines.find import ROOT, app_class, app_names, app_summary
from transect.pipelines.predict import predict
from transect.pipelines.predict_case import predict_case
from transect.pipelines.splits import with_splits


@pytest.fixture(scope="module", params=app_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def unfitted(name: str) -> App[Any, Any]:
    """The app, before training."""
    return app_class(name)(settings(name))


@pytest.fixture(scope="module")
def data(name: str, unfitted: App[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(name) / "phantom"
    unfitted.adapter.phantom(root, 6, 1)
    return root


@pytest.fixture(scope="module")
def cases(unfitted: App[Any, Any], data: Path) -> Sequence[Case]:
    return unfitted.adapter.cases(str(data))


@pytest.fixture(scope="module")
def app(unfitted: App[Any, Any], cases: Sequence[Case]) -> App[Any, Any]:
    """The app, fitted to the training cases."""
    return type(unfitted)(unfitted.config, unfitted.fit([case for case in cases if case.split in ("train", "")]))


@pytest.fixture(scope="module")
def saved(name: str, app: App[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("saved") / "model"
    model_folder.save(folder, name, app, app.model(), "# card\n")
    return folder


def test_an_app_is_one_class_with_a_line_for_the_command_line(name, app):
    assert isinstance(app, App)
    assert 10 < len(app_summary(name)) < 120
    assert app.adapter.columns
    assert len(set(app.adapter.columns)) == len(app.adapter.columns)


def test_settings_load_without_torch(name):
    code = (
        f"import sys, transect.apps.{name}.config; print(sorted({{'torch', 'numpy', 'rasterio'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_settings_are_plain_enough_for_a_file(app):
    assert json.loads(json.dumps(asdict(app.config)))


def test_every_size_has_an_upper_limit_so_that_settings_from_elsewhere_cannot_claim_all_memory(name, unfitted):
    sizes = [key for key, value in leaves(asdict(unfitted.config)) if type(value) is int]
    assert sizes
    for key in sizes:
        with pytest.raises(UsageError, match=key.rpartition(".")[2]):
            configs.load(name, None, [f"--{key}", str(10**15)])


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        yield from leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]


def test_an_app_imports_its_own_folder_its_adapter_the_core_and_the_base(name):
    allowed = (
        f"transect.apps.{name}",
        "transect.apps.base",
        "transect.apps.canvas",
        "transect.apps.parity",
        "transect.apps.prepared",
        "transect.apps.published",
        "transect.apps.reliability",
        "transect.core",
        "transect.data_adapters",
    )
    other_apps = tuple(f"transect.data_adapters.{other}" for other in app_names() if other != name)
    for file in (ROOT / name).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                assert not module.startswith(("transect.pipelines", "mlflow", "lightning", *other_apps)), (
                    file,
                    node.lineno,
                )
                assert module not in ("transect", "transect.apps"), (file, node.lineno)  # these hide what is imported
                if module.startswith("transect."):
                    assert module.startswith(allowed), (file, node.lineno)


def test_cases_are_stable_unique_and_safe_as_folders(app, data, cases):
    assert app.adapter.cases(str(data)) == cases
    ids = [case.id for case in cases]
    assert len(ids) == len(set(ids)) == 6
    assert all(Path(case_id).name == case_id and not case_id.startswith(".") for case_id in ids)
    for case in cases:
        assert case.files
        assert all(Path(file).exists() for file in case.files)
        assert any(Path(file).is_file() for file in case.files)


def test_phantoms_repeat_for_a_seed_and_differ_for_another(app, data, tmp_path):
    for seed, expected in ((1, True), (2, False)):
        app.adapter.phantom(tmp_path / str(seed), 6, seed)
        assert (contents(tmp_path / str(seed)) == contents(data)) is expected


def contents(root: Path) -> dict[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_no_group_is_in_two_splits(cases):
    split_cases = with_splits(cases, TrainConfig().validation_share, 0)
    splits_of: dict[str, set[str]] = {}
    for case in split_cases:
        splits_of.setdefault(case.group, set()).add(case.split)
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert {"train", "val"} <= {case.split for case in split_cases}


def test_training_changes_every_weight(app, cases):
    torch.manual_seed(0)
    model = app.model()
    examples = app.dataset([case for case in cases if case.split in ("train", "")])
    optimizer = torch.optim.AdamW(app.parameter_groups(model), lr=1e-3, weight_decay=0)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _ in range(3):  # stochastic depth may leave out a block in one step
        loss = app.loss(model, default_collate([examples[index] for index in range(2)]))
        loss.backward()
        optimizer.step()
        unchanged = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
        if not unchanged:
            break
    assert torch.isfinite(loss)
    assert loss.ndim == 0
    assert unchanged == []
    grouped = [parameter for group in app.parameter_groups(model) for parameter in group["params"]]
    assert len(grouped) == len({id(parameter) for parameter in grouped}) == len(before)


def test_training_examples_are_deterministic(app, cases):
    dataset = app.dataset(cases[:1])
    first, again = default_collate([dataset[0]]), default_collate([dataset[0]])
    for key in first:
        assert torch.equal(first[key], again[key])


def test_weights_of_a_summary_equal_repeated_cases(app, cases):
    model = app.model().eval()
    samples = [app.adapter.read(case) for case in cases[:3]]
    contributions = [app.metric.contribution(app.predict(model, sample), sample) for sample in samples]
    assert all(isinstance(values, np.ndarray) for contribution in contributions for values in contribution.values())
    repeated = app.metric.summary([contributions[0]] * 2 + [contributions[2]] * 3)
    weighted = app.metric.summary(contributions, np.array([2.0, 0.0, 3.0]))
    assert weighted == pytest.approx(repeated, rel=1e-12, nan_ok=True)
    assert app.metric.monitor in repeated
    assert app.metric.monitor in app.metric.summary([])


def test_what_is_calibrated_is_the_state_of_the_app(app, cases):
    model = app.model().eval()
    samples = [app.adapter.read(case) for case in cases[:3]]
    contributions = [app.metric.contribution(app.predict(model, sample), sample) for sample in samples]
    state = app.metric.calibrate(contributions)
    assert state is None or type(state) is type(app.state)


def test_the_state_is_kept_apart_from_the_settings_and_survives_a_file(name, app):
    assert json.loads(json.dumps(asdict(app.state), allow_nan=False))
    assert configs.load_state(name, json.loads(json.dumps(asdict(app.state)))) == app.state
    with pytest.raises(FrozenInstanceError):
        app.state.anything = 1
    given = {name for name, value in asdict(app.config).items() if value is not None}
    assert not given & {field.name for field in fields(app.state)}


def test_a_prediction_is_whole_readable_and_not_made_twice(app, saved, data, tmp_path):
    first = predict(str(saved), [str(data)], tmp_path / "out", shard=(1, 3))
    assert [outcome.status for outcome in first] == ["done"] * 2, first
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*") if path.is_file()}
    for outcome in first:
        folder = tmp_path / "out" / outcome.case
        done = json.loads((folder / "done.json").read_text())
        assert set(done["outputs"]) == {p.name for p in folder.iterdir() if p.is_file()} - {"done.json"}
        assert all(isinstance(value, int | float | str) for value in done["facts"].values())
        assert done["preview"]
    predict(str(saved), [str(data)], tmp_path / "out", shard=(1, 3))
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*") if path.is_file()}


def test_a_saved_model_predicts_what_it_did_before(app, saved, cases, tmp_path):
    torch.manual_seed(0)
    model, loaded = app.model().eval(), model_folder.load(str(saved))
    assert (loaded.app.config, loaded.app.state) == (app.config, app.state)
    assert not loaded.module.training
    for folder, made, module in (("before", app, model), ("after", loaded.app, loaded.module)):
        (tmp_path / folder).mkdir()
        time.sleep(1)  # no file may hold the time at which it was written
        sample = made.adapter.read(cases[0])
        made.adapter.write(cases[0], made.predict(module, sample), tmp_path / folder, "a model")
    files = sorted(path.name for path in (tmp_path / "before").iterdir())
    assert files
    for file in files:
        assert (tmp_path / "before" / file).read_bytes() == (tmp_path / "after" / file).read_bytes(), file


def test_a_prediction_that_is_not_finite_fails_its_case_by_name(saved, cases, tmp_path):
    model = model_folder.load(str(saved))
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.fill_(torch.nan)
    outcome = predict_case(model, cases[0], tmp_path)
    assert outcome.status == "failed"
    assert Path(cases[0].files[0]).name in outcome.message
    assert "prediction: found" in outcome.message
    assert "not finite" in outcome.message
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("damage", ["empty", "half", "text", "gone"])
def test_a_broken_file_fails_by_name_and_leaves_nothing(name, app, saved, data, tmp_path, damage):
    copied, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(data, copied)
    broken, *others = app.adapter.cases(str(copied))
    own = [Path(file) for file in broken.files if not any(file in other.files for other in others)]
    # A folder without the only file of a case does not show that case, so the cases are listed one by one.
    several = len(app.adapter.columns) > 1 or name == "bev"
    inputs = [str(copied)] if several else [case.files[0] for case in (broken, *others)]
    for file in own if name == "bev" else own[:1]:  # a camera without an image is left out, if there are others
        content = file.read_bytes()
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes({"empty": b"", "half": content[: len(content) // 2], "text": b"words\n" * 99}[damage])
    outcomes = {outcome.case: outcome for outcome in predict(str(saved), inputs, out, shard=(1, 5))}
    failed = outcomes.pop(broken.id)
    assert failed.status == "failed"
    assert own[0].stem in failed.message
    assert "\n" not in failed.message
    assert not (out / broken.id).exists()
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    assert {path.name for path in out.iterdir() if path.is_dir()} == set(outcomes)
