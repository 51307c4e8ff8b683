"""A tiny data set and a model trained on it, shared by the tests of the road."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TINY = [
    *("--model.name", "siamese_difference", "--model.encoder", "timm-mobilenetv3_small_minimal_100"),
    *("--tile", "64", "--overlap", "8", "--train.epochs", "2", "--train.batch_size", "8", "--train.precision", "fp32"),
    *("--precision", "fp32"),
]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a tracking store of its own."""
    folder = tmp_path_factory.mktemp("workplace")
    before, old = os.getcwd(), os.environ.get("MLFLOW_TRACKING_URI")
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    yield folder
    os.chdir(before)
    if old is None:
        del os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture(scope="session")
def transect(workplace: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, in a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=workplace, **options)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="session")
def pairs(workplace: Path) -> Path:
    """Twelve synthetic pairs in the layout of LEVIR-CD."""
    from data_adapters.change_detection.phantom import write_phantom

    write_phantom(workplace / "pairs", 12, 3)
    return workplace / "pairs"


@pytest.fixture(scope="session")
def trained(pairs: Path, transect: Callable[..., subprocess.CompletedProcess[str]]) -> tuple[str, Path]:
    """The run and the model folder of two epochs on the tiny data set."""
    done = transect("train", "change_detection", "--data", pairs, *TINY)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    return lines["run"], Path(lines["model"])


@pytest.fixture(scope="session")
def champion(trained: tuple[str, Path], transect: Callable[..., subprocess.CompletedProcess[str]]) -> str:
    """The address of the trained model in the registry."""
    done = transect("register", trained[0], "--name", "tiny", "--alias", "champion")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Settings of a model that trains in seconds."""
    return TINY
