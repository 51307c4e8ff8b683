"""Synthetic PET/CT studies: NIfTI in the layout of FDG-PET-CT-Lesions (autoPET), and DICOM with the tumour as a SEG.

Every sixth patient has two studies. DICOM studies are from two hospitals.
"""

from pathlib import Path

import numpy as np

from transect.data_adapters.listing import phantom_splits
from transect.data_adapters.petct.body import Body, body
from transect.data_adapters.petct.config import PhantomConfig
from transect.data_adapters.volume.nifti import write_nifti
from transect.data_adapters.volume.phantom import write_series
from transect.data_adapters.volume.volume import Volume

PATIENTS = 5
"""The first of every five patients has two studies."""

WEIGHT_KG, DOSE_BQ, HALF_LIFE_S, WAITED_S = 70.0, 3.5e8, 6586.2, 3600.0


def write_phantom(root: Path, count: int, seed: int, config: PhantomConfig) -> list[Body]:
    """Write studies, unseen ones in the folder `test`.

    Args:
        root: Folder to write to.
        count: Number of studies.
        seed: The same seed gives the same studies.
        config: Their format, kind and size.

    Returns:
        The bodies, in the order of the studies.
    """
    bodies, patients = [], _patients(count)
    for index, (patient, split) in enumerate(zip(patients, phantom_splits(count), strict=True)):
        rng = np.random.default_rng([seed, index])
        one = body(rng, config.size, config.slices, config.context)
        number = index - patients.index(patient)
        folder = root / ("test" if split == "test" else "train")
        if config.format == "nifti":
            _write_nifti(folder / f"PETCT_{patient:08d}" / f"2026-01-0{number + 2}-phantom", one)
        else:
            _write_dicom(folder / f"{patient:03d}" / f"{number}", one, f"PHANTOM-{seed}-{patient}", number, patient)
        bodies.append(one)
    return bodies


def _patients(count: int) -> list[int]:
    """The patient of each study: every PATIENTS-th one has two studies, in one split."""
    splits, patients = phantom_splits(count), [0] * count
    for index in range(1, count):
        second = index % (PATIENTS + 1) == 1 and splits[index] == splits[index - 1]
        patients[index] = patients[index - 1] + (not second)
    return patients


def _write_nifti(folder: Path, one: Body) -> None:
    """The files of a study on the grid of its PET; the data set has CT and PET on their own grids too."""
    folder.mkdir(parents=True)
    write_nifti(folder / "SUV.nii.gz", one.suv, one.grid)
    write_nifti(folder / "CTres.nii.gz", one.ct, one.grid)
    write_nifti(folder / "SEG.nii.gz", one.tumour, one.grid)


def _write_dicom(folder: Path, one: Body, patient: str, number: int, centre: int) -> None:
    """The PET in Bq/mL, the CT, and the tumour as a SEG."""
    from pydicom.dataset import Dataset
    from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage, generate_uid

    from transect.data_adapters.volume.dicom_seg import Segment, write_seg
    from transect.data_adapters.volume.dicom_series import read_stack
    from transect.data_adapters.volume.dicom_slices import scan
    from transect.data_adapters.volume.dicom_stacks import stacks_of

    day = f"2026010{number + 2}"
    study: dict[str, object] = {
        "StudyInstanceUID": generate_uid(entropy_srcs=[patient, "study", str(number)]),
        "FrameOfReferenceUID": generate_uid(entropy_srcs=[patient, "frame", str(number)]),
        "StudyDate": day,
        "InstitutionName": f"Hospital {centre % 2 + 1}",
        "PatientWeight": str(WEIGHT_KG),
        "PatientSex": "FM"[centre % 2],
        "PatientSize": "1.7",
        "SeriesDate": day,
        "SeriesTime": "110000",
        "AcquisitionDate": day,
        "AcquisitionTime": "110000",
        "RescaleIntercept": "0",
    }
    ct = Volume(one.ct, one.grid)
    write_series(
        folder / "ct",
        ct,
        patient,
        10 * number + 1,
        **study,
        SOPClassUID=CTImageStorage,
        Modality="CT",
        SeriesDescription="CT phantom",
        RescaleSlope="1",
    )
    tracer = Dataset()
    tracer.Radiopharmaceutical, tracer.RadionuclideTotalDose = "FDG", str(DOSE_BQ)
    tracer.RadionuclideHalfLife, tracer.RadiopharmaceuticalStartTime = str(HALF_LIFE_S), "100000"
    bq_per_suv = DOSE_BQ * 0.5 ** (WAITED_S / HALF_LIFE_S) / (1000 * WEIGHT_KG)
    slope = float(f"{bq_per_suv * float(one.suv.max()) / 32767:.9g}")
    stored = np.round(one.suv * (bq_per_suv / slope)).clip(0, 32767).astype(np.int16)
    write_series(
        folder / "pet",
        Volume(stored, one.grid),
        patient,
        10 * number + 2,
        **study,
        SOPClassUID=PositronEmissionTomographyImageStorage,
        Modality="PT",
        SeriesDescription="PET phantom",
        RescaleSlope=f"{slope:.9g}",
        Units="BQML",
        SeriesType=["WHOLE BODY", "IMAGE"],
        CorrectedImage=["DECY", "ATTN", "SCAT"],
        DecayCorrection="START",
        FrameReferenceTime="0",
        RadiopharmaceuticalInformationSequence=[tracer],
    )
    (stack,) = stacks_of(scan(folder / "pet").slices)
    tumour = Segment("Tumour", ("49755003", "SCT", "Morphologically abnormal structure"), ("108369006", "SCT", "Tumor"))
    write_seg(folder / "tumour.dcm", one.tumour, read_stack(stack), "phantom 1", (tumour,))
