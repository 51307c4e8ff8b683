"""Real PET series, digital reference objects, and synthetic studies."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data_adapters.petct.reading import by_height
from transect.data_adapters.petct.config import PhantomConfig
from transect.data_adapters.petct.phantom import write_phantom


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


@pytest.fixture(scope="session")
def written_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic DICOM study: 32 PET images, 32 CT images, and the tumour as a SEG."""
    root = tmp_path_factory.mktemp("study")
    write_phantom(root, 1, 0, PhantomConfig(format="dicom", size=32, slices=32))
    (pet,) = root.rglob("pet")
    return pet.parent


@pytest.fixture(scope="session")
def written_short_study(written_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lowest 12 PET and CT images of the synthetic study."""
    folder = Path(shutil.copytree(written_study, tmp_path_factory.mktemp("short") / "study"))
    (folder / "tumour.dcm").unlink()
    for path in [*by_height(folder / "pet")[12:], *by_height(folder / "ct")[12:]]:
        path.unlink()
    return folder


@pytest.fixture
def short_study(written_short_study: Path, tmp_path: Path) -> Path:
    """A copy of a study of 12 PET and CT images, to change: `pet` and `ct`."""
    return Path(shutil.copytree(written_short_study, tmp_path / "study"))


@pytest.fixture
def study(written_study: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic study, to change: `pet`, `ct` and `tumour.dcm`."""
    return Path(shutil.copytree(written_study, tmp_path / "study"))
