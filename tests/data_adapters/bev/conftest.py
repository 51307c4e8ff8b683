"""Inputs of the bev adapter: those that the scripts of ../shared/cases/bev write, and synthetic drives."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transect.data_adapters.bev.config import PhantomConfig
from transect.data_adapters.bev.phantom import write_phantom


@pytest.fixture(scope="session")
def given(shared_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Writes the input of one script once, such as "01_camera_exposed_at_another_time": its folder and right values.

    Skips the test where there is no such script.
    """
    written: dict[str, tuple[Path, Any]] = {}

    def write(name: str) -> tuple[Path, Any]:
        __tracebackhide__ = True
        if name not in written:
            script = shared_file(f"cases/bev/{name}.py")
            folder = tmp_path_factory.mktemp(name)
            subprocess.run([sys.executable, script, folder], check=True)
            written[name] = folder, json.loads((folder / "right.json").read_text())
        return written[name]

    return write


@pytest.fixture(scope="session")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic drives of two samples in the layout of nuScenes, with small images; not to be changed."""
    root = tmp_path_factory.mktemp("drives")
    write_phantom(root, 2, 0, PhantomConfig(height=48, width=84, samples=2))
    return root


@pytest.fixture
def folder(drives: Path, tmp_path: Path) -> Path:
    """A copy of `drives`."""
    return shutil.copytree(drives, tmp_path / "drives")


@pytest.fixture(scope="session")
def edit() -> Callable[..., None]:
    """Changes the records of a table of nuScenes, such as "sample_data", or the content of another JSON file."""

    def run(root: Path, table: str, change: Callable[[Any], object]) -> None:
        path = root / (table if table.endswith(".json") else f"v1.0-mini/{table}.json")
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        state = path.stat()  # changes within one tick of the clock are to be seen too
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + next(_ticks)))

    return run


_ticks = itertools.count(1)
