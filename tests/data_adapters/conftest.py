"""Files that hospitals have, written by the scripts of ../shared/cases/medical, and one synthetic DICOM series."""

import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transect.data_adapters.volume.dicom_series import read_stack
from transect.data_adapters.volume.dicom_slices import scan
from transect.data_adapters.volume.dicom_stacks import stacks_of
from transect.data_adapters.volume.phantom import abdomen, write_series
from transect.data_adapters.volume.volume import Volume


@pytest.fixture(scope="session")
def hospital(shared_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the files of one script once, such as "01_two_echoes_one_series"; skips where there is none."""
    written: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in written:
            script = shared_file(f"cases/medical/{name}.py")
            out = tmp_path_factory.mktemp(name) / "files"
            subprocess.run([sys.executable, script, out, shared_file("data")], check=True)
            written[name] = out
        return written[name]

    return write


@pytest.fixture(scope="session")
def t2_series(shared_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real series: 33 images, T2, abdomen."""
    folder = tmp_path_factory.mktemp("t2")
    with tarfile.open(shared_file("data/medical/cmbcrc_scan001_abdomen_t2_dicom.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """A synthetic MR series of eight images."""
    case = abdomen(np.random.default_rng(3), (20, 16, 8), (17.0, 18.0, 28.0))
    write_series(tmp_path / "series", case)
    return tmp_path / "series"


@pytest.fixture
def read() -> Callable[[Path], Volume]:
    """Reads a folder that holds one volume."""

    def volume(folder: Path) -> Volume:
        (stack,) = stacks_of(scan(folder).slices)
        return read_stack(stack)

    return volume
