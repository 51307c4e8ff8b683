"""Write the predicted liver: a NIfTI mask, DICOM objects for DICOM input, and its measurements."""

from pathlib import Path

from transect.data_adapters.files import write_json
from transect.data_adapters.liver_mri.config import WriteConfig
from transect.data_adapters.liver_mri.segmentation import Segmentation
from transect.data_adapters.liver_mri.statistics import statistics_of
from transect.data_adapters.volume.nifti import write_nifti

MASK, SEG, RTSTRUCT, STATISTICS = "mask.nii.gz", "liver.seg.dcm", "liver.rtstruct.dcm", "statistics.json"


def write_segmentation(
    prediction: Segmentation, folder: Path, source: str, config: WriteConfig
) -> dict[str, float | str]:
    """Write all files of a prediction.

    Args:
        prediction: Is computed here.
        folder: An empty folder.
        source: Model name and version.
        config: Which DICOM objects are written, in addition to the NIfTI mask on the grid of the input.

    Returns:
        Measurements for a report: see `statistics_of`.

    Raises:
        BadInput: the images of the series cannot be referred to.
        OSError: a file cannot be written.
    """
    volume, mask = prediction.volume, prediction.mask
    write_nifti(folder / MASK, mask, volume)
    if volume.slices:
        from transect.data_adapters.volume.dicom_seg import write_seg

        write_seg(folder / SEG, mask, volume, source, empty_frames=config.empty_frames)
        if config.rtstruct:
            from transect.data_adapters.volume.rtstruct import write_rtstruct

            write_rtstruct(folder / RTSTRUCT, mask, volume, source)
    statistics = statistics_of(volume, mask, prediction.range_ml)
    image = {**volume.facts, **volume.grid.facts(), "warnings": list(volume.warnings)}
    write_json(folder / STATISTICS, {"model": source, **statistics.content(), "image": image})
    return statistics.facts() | ({"warnings": "; ".join(volume.warnings)} if volume.warnings else {})
