"""What several tests need: the folders of reference numbers and real files, where they are at hand."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs the folder ../shared/{name}, which is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The small real files of each domain."""
    return _folder("data")


@pytest.fixture(scope="session")
def shared_parity() -> Path:
    """Numbers from the reference implementations."""
    return _folder("parity")
