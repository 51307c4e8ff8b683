"""A new app consists of two folders: every command works on it without changes elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "data_adapters/line/__init__.py": '"""Tables of x and y."""\n',
    "data_adapters/line/adapter.py": '''"""Read tables of x and y, write the fitted y."""
from pathlib import Path
import numpy as np
from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.listing import split_of

class TableAdapter:
    columns = ("table",)
    def cases(self, *inputs):
        (root,) = map(Path, inputs)
        files = sorted(root.rglob("*.csv")) if root.is_dir() else [root]
        return [Case(file.stem, file.stem, (str(file),), split_of(file, root)) for file in files]
    def read(self, case):
        try:
            return np.loadtxt(case.files[0], np.float32, delimiter=",", ndmin=2)
        except (OSError, ValueError) as error:
            raise BadInput(case.files[0], "table", error, "rows of x,y") from error
    def write(self, case, prediction, folder, source):
        np.savetxt(folder / "line.csv", prediction, delimiter=",", header=source)
        return {"rows": len(prediction)}
    def phantom(self, root, count, seed):
        rng = np.random.default_rng(seed)
        for number in range(count):
            x = rng.uniform(-1, 1, 16)
            folder = root / ("train", "val", "test")[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            np.savetxt(folder / f"{number}.csv", np.stack([x, 2 * x + 1], 1), delimiter=",")
''',
    "apps/line/__init__.py": '"""A straight line through a table of x and y."""\n',
    "apps/line/config.yaml": "scale: 1.0\n",
    "apps/line/config.py": '''"""Settings of the line app."""
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    """Settings.

    Args:
        scale: Factor of y.
    """
    scale: float = 1.0

@dataclass(frozen=True)
class State:
    mean: float = 0.0
''',
    "apps/line/app.py": '''"""Fit a line."""
import numpy as np
import torch
from torch import nn
from transect.apps.base import App, Metric
from transect.apps.line.config import State
from transect.data_adapters.line.adapter import TableAdapter

class ErrorMetric(Metric):
    monitor = "negative_error"
    def contribution(self, prediction, sample):
        return {"square": np.square(prediction - sample[:, 1]).sum(), "rows": np.array(len(sample))}
    def summary(self, contributions, weights=None):
        weights = np.ones(len(contributions)) if weights is None else weights
        square, rows = (weights @ np.array([item[key] for item in contributions]) for key in ("square", "rows"))
        error = np.sqrt(square / rows) if rows else np.nan
        return {"negative_error": float(-error if error < 0.5 else np.nan)}

class Line(App):
    def __init__(self, config, state=None):
        super().__init__(config, state or State())
        self.adapter, self.metric = TableAdapter(), ErrorMetric()
    def fit(self, cases):
        return State(float(np.mean([self.adapter.read(case)[:, 1].mean() for case in cases])))
    def model(self):
        return nn.Linear(1, 1)
    def dataset(self, cases):
        return [torch.from_numpy(self.adapter.read(case)) for case in cases]
    def loss(self, model, batch):
        return (model(batch[..., :1])[..., 0] + self.state.mean - batch[..., 1]).square().mean()
    def predict(self, model, sample):
        with torch.inference_mode():
            return self.config.scale * (model(torch.from_numpy(sample[:, :1]))[:, 0] + self.state.mean).numpy()
    @classmethod
    def ensemble(cls, members):
        return cls(members[0].config)
    def average(self, predictions):
        return np.mean(predictions, axis=0)
''',
}

WALK = """
import glob, json, pathlib
from transect.pipelines.cli import main

def transect(words, status=0):
    try:
        main(words.split())
    except SystemExit as ended:
        assert ended.code == status, (words, ended.code)

transect("list")
transect("phantom line --out data --count 12")
settings = "--train.learning_rate 0.2 --train.batch_size 2 --train.patience 40 --train.precision bf16"
transect(f"train line --data data --train.epochs 40 {settings}")
run = glob.glob("checkpoints/*")[0].partition("/")[2]
transect(f"train line --resume {run}")
transect(f"register {run} --name line")
transect("evaluate models:/line@champion --data data --out evaluation")
transect("predict models:/line@champion data/test --out predictions --workers 2")
transect("report predictions")
transect(f"ensemble {run} models:/line@champion --out ensemble")
transect("predict ensemble data/test --out averaged")
transect("import-weights line --from data/test/2.csv --out weights", status=1)
(pathlib.Path("data/test") / "bad.csv").write_text("x")
transect("predict models:/line@champion data/test --out predictions --scale 2.0", status=2)
transect("predict models:/line@champion data/test --out doubled --scale 2.0", status=1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package `transect` of the two folders of the new app and links to everything else."""
    folder = tmp_path_factory.mktemp("new_app")
    for part in ("apps", "data_adapters"):
        (folder / "transect" / part).mkdir(parents=True)
        for path in (ROOT / part).iterdir():
            (folder / "transect" / part / path.name).symlink_to(path)
    for path in (ROOT / "transect" / "__init__.py", ROOT / "core", ROOT / "pipelines"):
        (folder / "transect" / path.name).symlink_to(path)
    for name, text in FILES.items():
        (folder / "transect" / name).parent.mkdir(exist_ok=True)
        (folder / "transect" / name).write_text(text)
    return folder


def test_it_takes_less_than_eighty_lines():
    lines = [line for text in FILES.values() for line in text.splitlines() if line.strip()]
    assert len(lines) < 80


def test_every_command_works_on_it(folder):
    """Its metric is undefined in the first epochs and negative afterwards: neither ends training or selects a model."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = str(folder)
    command = [sys.executable, "-c", WALK]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "line                 A straight line through a table of x and y." in done.stdout
    (fitted,) = (folder / "predictions" / "2").glob("line.csv")
    table = [line.split(",") for line in (folder / "data" / "test" / "2.csv").read_text().splitlines()]
    predicted = [float(line) for line in fitted.read_text().splitlines() if not line.startswith("#")]
    assert predicted == pytest.approx([float(y) for _, y in table], abs=0.2)
    averaged = (folder / "averaged" / "2" / "line.csv").read_text().splitlines()[1:]
    assert [float(line) for line in averaged] == pytest.approx(predicted, abs=1e-6)
    doubled = [float(line) for line in (folder / "doubled" / "2" / "line.csv").read_text().splitlines()[1:]]
    assert doubled == pytest.approx([2 * y for y in predicted], abs=1e-4)
    assert "bad.csv: table: found" in (folder / "doubled" / "manifest.csv").read_text()
