"""Files that several tests read: reference numbers, and real files of each domain."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / "shared"


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The files that the repository holds for tests; what they are and where they come from: PROVENANCE.md there."""
    return TESTS / "fixtures"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The sample data of the repository."""
    return TESTS.parent / "samples"


@pytest.fixture(scope="session")
def shared_file() -> Callable[[str], Path]:
    """Finds what is too large for the repository or may not be in it: `../shared/NAME`, or a skip that names it."""

    def find(name: str) -> Path:
        __tracebackhide__ = True  # report the skip at the line of the test
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs ../shared/{name}, which is not in the repository")
        return path

    return find
