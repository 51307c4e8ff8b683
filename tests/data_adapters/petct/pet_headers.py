"""Headers of PET images as a scanner writes them, for tests of SUV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from transect.data_adapters.petct.suv import suv
from transect.data_adapters.volume.dicom_headers import read_headers

DOSE, HALF_LIFE, WEIGHT = 370e6, 6586.2, 70.0
AN_HOUR = DOSE * 0.5 ** (3600 / HALF_LIFE) / (WEIGHT * 1000)
"""Bq/mL of an SUV of 1 an hour after the injection of `image`."""


def tracer(**changes: Any) -> Dataset:
    """The injection of `image`, at 10:00."""
    item = Dataset()
    item.Radiopharmaceutical = "FDG"
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = f"{DOSE:.0f}", f"{HALF_LIFE}"
    item.RadiopharmaceuticalStartTime = "100000"
    return changed(item, **changes)


def image(injection: Dataset | None = None, **changes: Any) -> Dataset:
    """A corrected image of 11:00, of which the values are right an hour after the injection."""
    header = Dataset()
    header.Units, header.DecayCorrection, header.CorrectedImage = "BQML", "START", ["DECY", "ATTN", "SCAT"]
    header.SeriesDate = header.AcquisitionDate = "20250101"
    header.SeriesTime = header.AcquisitionTime = "110000"
    header.ActualFrameDuration, header.FrameReferenceTime = "120000", "59937"
    header.PatientWeight, header.PatientSize, header.PatientSex = f"{WEIGHT:g}", "1.75", "O"
    header.RescaleSlope, header.RescaleIntercept = "1", "0"
    header.RadiopharmaceuticalInformationSequence = [injection or tracer()]
    return changed(header, **changes)


def changed(header: Dataset, **changes: Any) -> Dataset:
    """A header with other values; None removes an element."""
    for keyword, value in changes.items():
        if value is None:
            del header[keyword]
        else:
            setattr(header, keyword, value)
    return header


def with_private(header: Dataset, tag: tuple[int, int], vr: str, value: Any, creator: str = "") -> Dataset:
    """A header with a private element, and with its creator unless that is empty."""
    if creator:
        header.add_new((tag[0], tag[1] >> 8), "LO", creator)
    header.add_new(tag, vr, value)
    return header


def of_an_hour(*headers: Dataset) -> float:
    """SUV of the value that has an SUV of 1 an hour after the injection."""
    return float(suv(headers).factors[0]) * AN_HOUR


def read_suv(folder: Path) -> tuple[NDArray[np.float64], Sequence[Dataset]]:
    """SUV of all images of a folder, by pydicom, and their headers."""
    paths = sorted(path for path in folder.rglob("*.dcm") if read_headers(path).Modality == "PT")
    headers = [read_headers(path, whole=True) for path in paths]
    slopes = suv(headers).factors * [float(header.RescaleSlope) for header in headers]
    return np.stack([dcmread(path).pixel_array for path in paths]) * slopes[:, None, None], headers
