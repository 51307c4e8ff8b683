"""Facts about a study as it was read, and its SUV, CT and label as NIfTI files."""

from pathlib import Path
from typing import Any

from transect.data_adapters.petct.ct_series import AIR
from transect.data_adapters.petct.study import Study
from transect.data_adapters.petct.summary import suv_facts
from transect.data_adapters.volume.facts import omitted, volume_facts
from transect.data_adapters.volume.nifti import write_nifti

SUV, CT, LABEL = "suv.nii.gz", "ct.nii.gz", "label.nii.gz"


def facts_of(study: Study) -> dict[str, Any]:
    """Describe a study.

    Returns:
        Format, series, geometry, the first and the last position (all of them where slices are unevenly spaced); for
        DICOM how SUV follows from the stored values, see `suv_facts`; tracer, centre, the largest SUV; whether there is
        a CT; with a label `positive_slices`, `tumour_voxels` and `tumour_ml`; `left_out`, other series, and `skipped`,
        files that are no images, each with the reason; and `warnings`.
    """
    grid = study.pet.grid
    facts = volume_facts(study.pet)
    facts["slices"] = grid.shape[2]
    facts["unevenly_spaced"] = grid.positions is not None
    shown = study.positions if grid.positions is not None else study.positions[[0, -1]]
    facts["position_mm"] = [round(float(position), 4) for position in shown]
    warnings = list(study.pet.warnings)
    facts |= suv_facts(study.suv)
    warnings += study.suv.warnings if study.suv else ()
    facts |= {"tracer": study.tracer, "centre": study.centre, "suv_max": round(float(study.pet.values.max()), 4)}
    facts["ct"] = study.ct is not None
    if study.ct is not None and (outside := int((study.ct.max(axis=(0, 1)) <= AIR).sum())):
        warnings.append(f"the CT covers {grid.shape[2] - outside} of {grid.shape[2]} slices")
    if (label := study.label) is not None:
        voxels = int(label.mask.sum(dtype=int))
        facts |= {"positive_slices": int(label.positive.sum()), "tumour_voxels": voxels}
        facts["tumour_ml"] = round(voxels * grid.voxel_volume / 1000, 4)
        warnings += label.notes
        if not label.positive.any():
            warnings.append("the label marks no slice: a study without tumour")
    facts |= omitted(study.left_out, study.skipped)
    return facts | ({"warnings": "; ".join(warnings)} if warnings else {})


def write_as_read(study: Study, folder: Path) -> None:
    """Write the SUV, and the CT and the label where there are any, on the grid of the PET.

    Raises:
        BadInput: the CT or the label cannot be read.
        OSError: a file cannot be written.
    """
    write_nifti(folder / SUV, study.pet.values, study.pet)
    if study.ct is not None:
        write_nifti(folder / CT, study.ct, study.pet)
    if study.label is not None:
        write_nifti(folder / LABEL, study.label.mask, study.pet)
