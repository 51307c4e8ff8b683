"""Read studies in tests, and change their files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom

from transect.data_adapters.petct.config import ReadConfig
from transect.data_adapters.petct.layouts import find_cases
from transect.data_adapters.petct.read import read_study
from transect.data_adapters.petct.study import Study


def read_one(*inputs: Path, **read: Any) -> Study:
    """The only study of `inputs`."""
    config = ReadConfig(**read)
    (case,) = find_cases(*map(str, inputs), config=config)
    return read_study(case, config)


def edit(folder: Path, change: Callable[[pydicom.FileDataset], object]) -> None:
    """Change every file of a folder."""
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        change(image)
        image.save_as(path)


def with_elements(**elements: Any) -> Callable[[pydicom.FileDataset], None]:
    """A change that sets elements; None removes one."""

    def change(image: pydicom.FileDataset) -> None:
        for keyword, value in elements.items():
            if value is None:
                del image[keyword]
            else:
                setattr(image, keyword, value)

    return change


def by_height(folder: Path) -> list[Path]:
    """The images of a folder from the feet to the head."""
    return sorted(folder.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
