"""The installed code of Transect, which is stored with a registered model."""

import hashlib
from pathlib import Path

import transect
from transect.data_adapters.files import sha256

PACKAGE = Path(transect.__file__).parent
"""The folder of the package."""


def code_sha256() -> str:
    """The SHA-256 of the Python files of the package, to detect that a model runs with other code than its own."""
    digest = hashlib.sha256()
    for folder in (PACKAGE, *sorted(PACKAGE.iterdir())):  # `rglob` does not follow the links of a checkout
        for file in sorted(folder.glob("*.py") if folder == PACKAGE else folder.rglob("*.py")):
            digest.update(f"{file.relative_to(PACKAGE).as_posix()}\0{sha256(file)}\n".encode())
    return digest.hexdigest()
