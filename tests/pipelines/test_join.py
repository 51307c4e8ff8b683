"""Results of a group that are joined when all of its cases are done, whole and only when they changed."""

import base64
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transect.apps.base import View
from transect.apps.change_detection.app import ChangeDetection
from transect.data_adapters.files import sha256
from transect.pipelines.model_folder import Model, load
from transect.pipelines.predict import predict_cases
from transect.pipelines.report import write_report


class Sites(ChangeDetection):
    """Change detection whose pairs belong to two sites: those with an even number, and the others."""

    joined = "sites"
    broken = ""

    def join(self, group: str, folders: Sequence[Path], folder: Path) -> list[View]:
        if group == self.broken:
            raise OSError("no space left")
        (folder / "names.txt").write_text("\n".join(path.name for path in folders))
        frames = [f"frames/{index}.webp" for index in range(len(folders))]
        (folder / "frames").mkdir()
        for index, name in enumerate(frames):
            Image.fromarray(np.full((8, 8, 3), 40 * index, np.uint8)).save(folder / name)
        return [View("film", tuple(frames), f"{len(folders)} maps", milliseconds=250)]


@pytest.fixture
def model(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model of the app `Sites`."""
    found = load(str(untrained), [], "cpu")
    app = Sites(found.app.config, found.app.state)
    listed = app.adapter.cases

    def cases(*inputs: str) -> list[Any]:
        return [replace(case, group="odd" if case.id[-1] in "13579" else "even") for case in listed(*inputs)]

    monkeypatch.setattr(app.adapter, "cases", cases)
    return replace(found, app=app)


@pytest.fixture
def four(pairs: Path, tmp_path: Path) -> Path:
    """Four pairs."""
    for side in ("A", "B"):
        (tmp_path / "four" / side).mkdir(parents=True)
        for path in sorted((pairs / "train" / side).iterdir())[:4]:
            shutil.copy(path, tmp_path / "four" / side)
    return tmp_path / "four"


def names(out: Path, group: str) -> list[str]:
    return (out / "sites" / group / "names.txt").read_text().split()


def test_every_group_is_joined_and_linked_from_the_report(model: Model, four: Path, tmp_path: Path) -> None:
    outcomes = predict_cases(model, [str(four)], tmp_path / "out")
    out, done = tmp_path / "out", sorted(outcome.case for outcome in outcomes)
    assert sorted(names(out, "odd") + names(out, "even")) == done
    record = json.loads((out / "sites" / "odd" / "done.json").read_text())
    assert record["outputs"] == {name: sha256(out / "sites" / "odd" / name) for name in ("frames", "names.txt")}
    page = (out / "sites" / "odd" / "views" / "film-1.html").read_text()
    assert "const milliseconds = 250;" in page
    for index in range(len(names(out, "odd"))):
        assert base64.b64encode((out / "sites" / "odd" / "frames" / f"{index}.webp").read_bytes()).decode() in page
    html = (out / "report.html").read_text()
    assert 'href="sites/even/names.txt"' in html
    assert html.index('href="sites/odd/views/film-1.html"') < html.index('data-case="')
    (out / "report.html").unlink()
    write_report(out)
    assert (out / "report.html").read_text() == html


def test_a_group_is_joined_again_only_if_its_results_changed(model: Model, four: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_cases(model, [str(four)], out)
    before = {group: (out / "sites" / group / "done.json").read_bytes() for group in ("odd", "even")}
    predict_cases(model, [str(four)], out)
    assert before == {group: (out / "sites" / group / "done.json").read_bytes() for group in ("odd", "even")}
    shutil.rmtree(out / names(out, "odd")[0])
    predict_cases(model, [str(four)], out)
    assert before["even"] == (out / "sites" / "even" / "done.json").read_bytes()
    assert before["odd"] != (out / "sites" / "odd" / "done.json").read_bytes()


def test_shards_leave_a_group_to_the_one_that_ends_last(model: Model, four: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (four / "B" / sorted((four / "B").iterdir())[1].name).write_bytes(b"broken")
    outcomes = predict_cases(model, [str(four)], out, shard=(1, 3))  # the first and the fourth
    assert not (out / "sites").exists() or not list((out / "sites").iterdir())
    outcomes += predict_cases(model, [str(four)], out, shard=(2, 3))  # the broken one
    outcomes += predict_cases(model, [str(four)], out, shard=(3, 3))
    done = [outcome.case for outcome in outcomes if outcome.status == "done"]
    assert len(done) == 3
    (joined,) = (path.name for path in (out / "sites").iterdir())  # the other group has one case left
    assert len(names(out, joined)) == 2
    assert set(names(out, joined)) < set(done)


def test_a_group_that_cannot_be_joined_is_a_warning(
    model: Model, four: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Sites, "broken", "odd")
    monkeypatch.setattr(logging.getLogger("transect"), "propagate", True)
    out = tmp_path / "out"
    outcomes = predict_cases(model, [str(four)], out)
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert [path.name for path in (out / "sites").iterdir()] == ["even"]
    assert "sites: odd was not joined: OSError: no space left" in caplog.text


def test_no_foreign_folder_is_replaced(model: Model, four: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "sites" / "odd").mkdir(parents=True)
    (out / "sites" / "odd" / "precious.txt").write_text("mine")
    predict_cases(model, [str(four)], out)
    assert [path.name for path in (out / "sites" / "odd").iterdir()] == ["precious.txt"]
    assert (out / "sites" / "even" / "done.json").is_file()
