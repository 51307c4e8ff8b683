"""Fixtures for the pipelines: the command line, a tiny data set, and models trained or untrained on it."""

import io
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

TINY = [
    *("--model.name", "siamese_difference", "--model.encoder", "timm-mobilenetv3_small_minimal_100"),
    *("--tile", "64", "--overlap", "8", "--train.epochs", "2", "--train.batch_size", "8", "--train.precision", "fp32"),
    *("--precision", "fp32"),
]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with its own tracking store."""
    folder = tmp_path_factory.mktemp("workplace")
    old_folder, old_uri = os.getcwd(), os.environ.get("MLFLOW_TRACKING_URI")
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    yield folder
    os.chdir(old_folder)
    if old_uri is None:
        del os.environ["MLFLOW_TRACKING_URI"]


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which saves the import time of a new one."""
    from transect.pipelines.cli import main

    logger, on_terminate = logging.getLogger("transect"), signal.getsignal(signal.SIGTERM)
    handlers, propagate = logger.handlers, logger.propagate
    argv, out, err = [str(argument) for argument in arguments], io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(argv)
    finally:
        signal.signal(signal.SIGTERM, on_terminate)
        logger.handlers, logger.propagate = handlers, propagate
    return subprocess.CompletedProcess(argv, ended.value.code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def transect(workplace: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in the working folder of the tests."""
    return run_here


@pytest.fixture(scope="session")
def pairs(workplace: Path) -> Path:
    """Twelve synthetic image pairs in the layout of LEVIR-CD."""
    from transect.data_adapters.change_detection.phantom import write_phantom

    write_phantom(workplace / "pairs", 12, 3)
    return workplace / "pairs"


@pytest.fixture(scope="session")
def trained(pairs: Path, transect: Callable[..., subprocess.CompletedProcess[str]]) -> tuple[str, Path]:
    """The run and the model folder of training for two epochs on the tiny data set."""
    done = transect("train", "change_detection", "--data", pairs, *TINY)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    return lines["run"], Path(lines["model"])


@pytest.fixture(scope="session")
def champion(trained: tuple[str, Path], transect: Callable[..., subprocess.CompletedProcess[str]]) -> str:
    """The URI of the trained model in the registry."""
    done = transect("register", trained[0], "--name", "tiny", "--alias", "champion")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Settings of a model that trains in seconds."""
    return TINY


@pytest.fixture
def command(workplace: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in the working folder of the tests; returns exit status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        done = run_here(*arguments)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="session")
def small_config() -> Any:
    """Change detection with a tiny CDMaskFormer that loads quickly; no test depends on its accuracy."""
    from transect.apps.change_detection.config import Config
    from transect.apps.change_detection.models.config import CDMaskFormerConfig, ModelConfig, StageConfig

    stages = (
        StageConfig((16, 32), (1, 2)),
        *(StageConfig((32,), (2,), depth=depth, heads=2, key_dim=4) for depth in (0, 1, 1)),
    )
    sizes = CDMaskFormerConfig(
        stem=8, stages=stages, dim=32, heads=4, points=2, encoder_layers=1, decoder_layers=5, feedforward=32, queries=3
    )
    model = ModelConfig(name="cdmaskformer", cdmaskformer=sizes)
    return Config(model=model, tile=64, overlap=8, precision="fp32")


@pytest.fixture(scope="session")
def untrained(pairs: Path, small_config: Any) -> Path:
    """A model folder with random weights and a threshold within its scores, so that masks are not empty."""
    import numpy as np
    import torch

    from transect.apps.change_detection.app import ChangeDetection
    from transect.apps.change_detection.config import State
    from transect.data_adapters.change_detection.maps import LEVELS
    from transect.pipelines import model_folder

    torch.manual_seed(0)
    app = ChangeDetection(small_config)
    module = app.model().eval()
    case = app.adapter.cases(str(pairs / "test"))[0]
    levels = np.concatenate([block.levels for block in app.predict(module, app.adapter.read(case)).blocks])
    app = ChangeDetection(small_config, State(threshold=float(np.percentile(levels, 70)) // 1 / LEVELS))
    folder = pairs.parent / "untrained"
    model_folder.save(folder, "change_detection", app, module, "# untrained\n\nRandom weights.\n")
    return folder
