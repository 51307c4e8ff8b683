"""Inputs of the bev adapter that the scripts of ../shared/cases/bev write."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


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
