"""Real PET series and digital reference objects."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference_objects(shared_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digital reference objects of IBSI-SUV, a folder each."""
    return _unpacked(shared_file("data/medical/ibsi_suv_dro_part.tar.xz"), tmp_path_factory) / "DRO"


@pytest.fixture(scope="session")
def sts_001(shared_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real whole-body series of a GE scanner, 267 images in 6 beds, with an RTSTRUCT."""
    return _unpacked(shared_file("data/medical/sts001_fdg_pet_dicom_rtstruct.tar.xz"), tmp_path_factory) / "FDG_PET"


def _unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(archive.name.split(".")[0])
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder
