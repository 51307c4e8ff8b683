"""What is tabulated of a study: a row for each slice, and measurements of the tumour where there is a label."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import Study, TumourLabel
from transect.data_adapters.petct.suv import Suv
from transect.data_adapters.volume.volume import Grid

COLUMNS = (
    *("slice", "position_mm", "sop_instance_uid", "probability", "flag"),
    *("suv_max", "suv_mean", "label", "area_mm2"),
)


@dataclass(frozen=True)
class Tumour:
    """Measurements of a labelled tumour.

    Args:
        slices: How many slices hold tumour.
        mtv_ml: Metabolic tumour volume: that of the labelled voxels, mL.
        tlg_g: Total lesion glycolysis, or the like with another tracer: the mean SUV of these voxels times their
            volume, g.
        suv_max: The largest SUV of these voxels; None where no voxel is labelled.
    """

    slices: int
    mtv_ml: float
    tlg_g: float
    suv_max: float | None


def rows(scores: SliceScores, label: TumourLabel | None) -> list[dict[str, Any]]:
    """The slices from the feet to the head: values of `COLUMNS`, "" where one is unknown.

    `position_mm` is the slice's own position along the normal of the slices in DICOM's patient coordinates, z of axial
    slices. `suv_max` and `suv_mean` are over all voxels of the slice, the air around the body included. `area_mm2` is
    that of the labelled voxels; it may be 0 in a slice with tumour, where a contour is smaller than a voxel.
    """
    study = scores.study
    images = study.pet.slices
    largest = study.pet.values.max(axis=(0, 1))
    mean = study.pet.values.mean(axis=(0, 1), dtype=np.float64)
    areas = None if label is None else _areas(label, study.pet.grid)
    return [
        {
            "slice": k,
            "position_mm": f"{position:.8g}",
            "sop_instance_uid": images[k].uid if images else "",
            "probability": f"{scores.probability[k]:.9g}",
            "flag": int(scores.flags[k]),
            "suv_max": f"{largest[k]:.6g}",
            "suv_mean": f"{mean[k]:.6g}",
            "label": "" if label is None else int(label.positive[k]),
            "area_mm2": "" if areas is None else f"{areas[k]:.6g}",
        }
        for k, position in enumerate(study.positions)
    ]


def tumour_of(study: Study, label: TumourLabel) -> Tumour:
    """Measure the labelled tumour; each slice is as thick as half the distances to its neighbours together."""
    thickness = _thickness(study)
    volumes = _areas(label, study.pet.grid) * thickness / 1000
    voxel_ml = _area(study.pet.grid) * thickness / 1000
    inside = label.mask > 0
    sums = np.where(inside, study.pet.values, 0).sum(axis=(0, 1), dtype=np.float64)
    largest = float(study.pet.values[inside].max()) if inside.any() else None
    return Tumour(int(label.positive.sum()), float(volumes.sum()), float((sums * voxel_ml).sum()), largest)


def suv_facts(suv: Suv | None) -> dict[str, Any]:
    """How the SUV was computed; empty where the file has SUV."""
    if suv is None:
        return {}
    lowest, highest = float(suv.factors.min()), float(suv.factors.max())
    return {
        "units": suv.units,
        "factor": lowest if lowest == highest else [lowest, highest],
        "rule": suv.rule,
        "reference_time": suv.reference_time,
        "other_reference_time": suv.other_reference_time,
        "half_life_s": suv.half_life_s,
        "dose_bq": suv.dose_bq,
        "weight_kg": suv.weight_kg,
    }


def _area(grid: Grid) -> float:
    """Of a voxel within its slice, mm2."""
    return float(np.linalg.norm(np.cross(grid.affine[:3, 0], grid.affine[:3, 1])))


def _areas(label: TumourLabel, grid: Grid) -> NDArray[np.float64]:
    """Of the labelled voxels of each slice, mm2."""
    return np.count_nonzero(label.mask, axis=(0, 1)) * _area(grid)


def _thickness(study: Study) -> NDArray[np.float64]:
    if len(study.positions) < 2:
        return np.array([study.pet.grid.voxel_volume / _area(study.pet.grid)])
    return np.abs(np.gradient(study.positions))
