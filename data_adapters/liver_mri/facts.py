"""Facts about a volume and its label as they were read, and both as NIfTI files."""

from pathlib import Path
from typing import Any

from transect.data_adapters.liver_mri.statistics import edges_of
from transect.data_adapters.volume.cases import LabelledVolume
from transect.data_adapters.volume.facts import omitted, volume_facts
from transect.data_adapters.volume.nifti import write_nifti

VOLUME, LABEL = "volume.nii.gz", "label.nii.gz"


def facts_of(sample: LabelledVolume) -> dict[str, Any]:
    """Describe a volume.

    Returns:
        Format, series, geometry and range of values; `label_ml` where there is a label; `left_out`, the other volumes
        of a study, and `skipped`, the files that are no images, each with the reason; and `warnings`.
    """
    volume = sample.volume
    facts = volume_facts(volume)
    facts |= {"images": len(volume.slices)} if volume.slices else {}
    facts["values"] = f"{volume.values.dtype}, {float(volume.values.min()):g} to {float(volume.values.max()):g}"
    warnings = [*volume.warnings, *sample.label_notes]
    if sample.label is not None:
        facts["label_ml"] = round(float(sample.label.sum(dtype=int)) * volume.grid.voxel_volume / 1000, 4)
        if edges := edges_of(sample.label, volume.grid):
            warnings.append(f"the label touches the edge of the field of view ({', '.join(edges)})")
    facts |= omitted(sample.left_out, sample.skipped)
    return facts | ({"warnings": "; ".join(warnings)} if warnings else {})


def write_as_read(sample: LabelledVolume, folder: Path) -> None:
    """Write the volume with its own values and geometry, and its label.

    Raises:
        OSError: a file cannot be written.
    """
    write_nifti(folder / VOLUME, sample.volume.values, sample.volume)
    if sample.label is not None:
        write_nifti(folder / LABEL, sample.label, sample.volume)
