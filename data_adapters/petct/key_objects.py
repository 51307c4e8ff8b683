"""A DICOM Key Object Selection of the flagged slices, which image archives and viewers list as key images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import generate_uid

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import writing
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, reason
from transect.data_adapters.volume.dicom_slices import Slice
from transect.data_adapters.volume.dicom_source import REQUIRED_BUT_EMPTY, series_number, source_headers
from transect.data_adapters.volume.volume import Volume

OF_INTEREST = ("113000", "DCM", "Of Interest")
"""The title of the document (DICOM CID 7010)."""

ADVICE = "write.key_images false leaves out this object"


def write_key_images(path: Path, volume: Volume, flags: NDArray[np.bool_], source: str, description: str) -> None:
    """Write references to the images of the flagged slices.

    The object keeps the patient and the study of the images, and is a series of its own. By template TID 2010 it has a
    title, the device that selected the images (the model), a description, and a reference to each image.

    Args:
        path: The file to write.
        volume: The DICOM volume.
        flags: bool `(Z,)`; at least one, since a selection of nothing is no valid object.
        source: Model name and version.
        description: For readers of the images, in a sentence.

    Raises:
        BadInput: the images cannot be referred to, or none is flagged.
        OSError: the file cannot be written.
    """
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    images = [volume.slices[k] for k in np.flatnonzero(flags)]
    if not images:
        raise BadInput(volume.name, "flags", "no flagged slice", "one or more")
    for image in images:
        if not image.uid or not image.text("SOPClassUID"):
            expected = "SOPInstanceUID and SOPClassUID of every flagged image"
            raise BadInput(image.path, "SOPInstanceUID", "none", expected, ADVICE)
    (header,) = source_headers(replace(volume, slices=volume.slices[:1]))
    references = [_reference(image, header) for image in images]
    for keyword in ("SpecificCharacterSet", *REQUIRED_BUT_EMPTY):  # highdicom takes the patient from the first one
        setattr(references[0], keyword, header[keyword].value)
    name, _, version = source.rpartition(" ")
    device = highdicom.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=highdicom.sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=["Transect", source]),
            name="Transect",
            manufacturer_name="Transect",
            model_name=source,
        ),
    )
    try:
        with quiet():
            document = highdicom.ko.KeyObjectSelectionDocument(
                evidence=references,
                content=highdicom.ko.KeyObjectSelection(
                    document_title=Code(*OF_INTEREST),
                    referenced_objects=references,
                    observer_device_context=device,
                    description=description,
                ),
                series_instance_uid=generate_uid(),
                series_number=series_number(header),
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer="Transect",
                manufacturer_model_name=(name or source)[:64],
                software_versions=version[:64] or "1",
                series_description="Slices flagged for tumour (automatic)",
            )
            document.copy_patient_and_study_information(header)
    except FAILURES as error:
        raise BadInput(volume.name, "header", reason(error), "images that can be referred to", ADVICE) from error
    with writing(path):
        document.save_as(path)


def _reference(image: Slice, first: Dataset) -> Dataset:
    """What identifies an image, with the identifiers of the first one where it lacks its own."""
    result = Dataset()
    result.SOPClassUID, result.SOPInstanceUID = image.text("SOPClassUID"), image.uid
    result.StudyInstanceUID = first.StudyInstanceUID
    result.SeriesInstanceUID = image.text("SeriesInstanceUID") or first.SeriesInstanceUID
    result.Rows, result.Columns = first.Rows, first.Columns  # without them it is no image to highdicom
    return result
