"""Paths of files for the tests: reference numbers, sample data, and real files of each domain."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSECT_SALT", "tests")  # else a secret file is made in the home folder

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the few files that take minutes first, so that parallel workers end together."""
    items.sort(key=lambda item: (item.path.name != "test_package.py", "pipelines" not in item.path.parts))


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The test fixtures in the repository, described in their PROVENANCE.md."""
    return TESTS / "fixtures"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The sample data of the repository."""
    return TESTS.parent / "samples"


@pytest.fixture(scope="session")
def shared_file() -> Callable[[str], Path]:
    """Finds `../shared/NAME`, a file that cannot be in the repository; skips the test if it is missing."""

    def find(name: str) -> Path:
        __tracebackhide__ = True  # report the skip at the line in the test
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs ../shared/{name}, which is not in the repository")
        return path

    return find
