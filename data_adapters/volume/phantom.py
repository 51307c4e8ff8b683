"""Synthetic abdomens whose liver is known: NIfTI in nnU-Net's layout, and DICOM studies.

Organs are ellipsoids in world coordinates. Liver, spleen, heart and bowel are equally bright, under a bias field and
noise: a threshold does not find the liver, its place and shape do.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.files import write_json
from transect.data_adapters.listing import phantom_splits
from transect.data_adapters.volume.nifti import write_nifti
from transect.data_adapters.volume.resample import reorient
from transect.data_adapters.volume.volume import Grid, Volume

ORGANS: dict[str, tuple[tuple[float, ...], ...]] = {
    "fat": ((0, 0, 0, 165, 120, 400),),
    "muscle": ((0, 0, 0, 145, 100, 400),),
    "spine": ((0, -62, 0, 22, 20, 400),),
    "stomach": ((-48, 38, 15, 38, 28, 34),),
    "heart": ((-25, 25, 98, 60, 52, 36),),
    "bowel": (
        (-60, 45, -60, 44, 30, 36),
        (25, 55, -62, 38, 28, 34),
        (-5, 20, -92, 50, 34, 22),
        (85, 20, -85, 40, 44, 30),
    ),
    "spleen": ((-98, -28, 22, 30, 44, 52),),
    "kidneys": ((66, -50, -45, 24, 26, 46), (-66, -50, -40, 24, 26, 46)),
    "liver": ((72, 8, 22, 62, 72, 68), (5, 42, 38, 62, 34, 30)),
}
"""Ellipsoids of each organ, the later over the earlier: centre (x, y, z) and half axes in mm, RAS. The patient's right,
where the liver is, has positive x."""

AS_BRIGHT_AS_LIVER = ("liver", "spleen", "bowel", "heart")

BRIGHTNESS = {
    False: {
        "fat": 0.85,
        "muscle": 0.48,
        "spine": 0.5,
        "stomach": 0.25,
        "heart": 0.6,
        "bowel": 0.6,
        "spleen": 0.6,
        "kidneys": 0.7,
        "liver": 0.6,
    },
    True: {
        "fat": 0.7,
        "muscle": 0.36,
        "spine": 0.4,
        "stomach": 0.9,
        "heart": 0.5,
        "bowel": 0.5,
        "spleen": 0.5,
        "kidneys": 0.8,
        "liver": 0.5,
    },
}
"""Mean signal of each organ, in training cases and in unseen ones."""


@dataclass(frozen=True)
class Abdomen:
    """One synthetic scan.

    Args:
        values: `(X, Y, Z)` int16.
        liver: `(X, Y, Z)` uint8, 1 where the centre of the voxel lies in the liver.
        grid: Their grid.
    """

    values: NDArray[np.int16]
    liver: NDArray[np.uint8]
    grid: Grid

    @property
    def liver_ml(self) -> float:
        """Volume of the liver in mL."""
        return float(self.liver.sum()) * self.grid.voxel_volume / 1000


def abdomen(
    rng: np.random.Generator,
    size: tuple[int, int, int] = (64, 64, 32),
    spacing: tuple[float, float, float] = (5.5, 4.5, 7.0),
    orientation: str = "LPS",
    unseen: bool = False,
) -> Abdomen:
    """Draw one patient.

    Args:
        rng: Decides anatomy, contrast, bias field and noise.
        size: Voxels to the left or right, front or back, and head or foot.
        spacing: Their distances in mm.
        orientation: The directions in which the indices grow, such as "LPS".
        unseen: Another contrast and stronger bias field than in training.
    """
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(size) - 1) / 2 * spacing + rng.uniform(-8, 8, 3)
    grid = Grid(size, affine)
    places = grid.world(np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)).astype(np.float32)
    scale, moved = rng.uniform(0.9, 1.1, 3), rng.uniform(-6, 6, 3)
    signal, liver = np.zeros(size, np.float32), np.zeros(size, bool)
    organ_bright = rng.uniform(0.9, 1.1)
    for name, ellipsoids in ORGANS.items():
        bright = organ_bright if name in AS_BRIGHT_AS_LIVER else rng.uniform(0.85, 1.15)
        inside = np.zeros(size, bool)
        for *centre, a, b, c in ellipsoids:
            own = rng.uniform(-4, 4, 3) if c < 400 else np.zeros(3)
            inside |= (((places - np.array(centre) * scale - moved - own) / (scale * (a, b, c))) ** 2).sum(-1) <= 1
        signal[inside] = BRIGHTNESS[unseen][name] * bright
        liver = inside if name == "liver" else liver
    along = rng.normal(size=3)
    wave = (places @ (along / np.linalg.norm(along))) / 250 + rng.uniform(0, 2 * np.pi)
    signal *= 1 + (0.45 if unseen else 0.4) * np.sin(wave)
    signal += rng.normal(0, 0.09, size)
    values = np.clip(np.round(signal * rng.uniform(600, 1400)), 0, 32767).astype(np.int16)
    values, turned = reorient(values, grid, orientation)
    mask, _ = reorient(liver.astype(np.uint8), grid, orientation)
    return Abdomen(np.ascontiguousarray(values), np.ascontiguousarray(mask), turned)


def write_nnunet(
    root: Path, count: int, seed: int, size: tuple[int, int, int] = (48, 48, 24), unseen: int | None = None
) -> list[float]:
    """Write cases as nnU-Net raw: those to train in `imagesTr`, unseen ones in `imagesTs`, with labels for both.

    The unseen ones differ in contrast, orientation and spacing.

    Args:
        root: Folder that holds the folder of the data set.
        count: Number of cases.
        seed: The same seed gives the same cases.
        size: Voxels of the training cases.
        unseen: Number of unseen cases, the last ones; None for 15 %.

    Returns:
        The volume of each liver in mL.
    """
    folder = root / "Dataset001_Phantom"
    known = count - (phantom_splits(count).count("test") if unseen is None else unseen)
    volumes = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        new = index >= known
        case = abdomen(rng, *_geometry(rng, size, new), new)
        part = "Ts" if new else "Tr"
        images, labels = folder / f"images{part}", folder / f"labels{part}"
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(exist_ok=True)
        write_nifti(images / f"liver_{index:03d}_0000.nii.gz", case.values, case.grid)
        write_nifti(labels / f"liver_{index:03d}.nii.gz", case.liver, case.grid)
        volumes.append(case.liver_ml)
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "liver": 1},
        "numTraining": known,
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", content)
    return volumes


def write_studies(root: Path, count: int, seed: int, size: tuple[int, int, int] = (48, 48, 24)) -> list[float]:
    """Write cases as DICOM studies of patients of their own, each with its liver as a SEG; else as `write_nnunet`."""
    from transect.data_adapters.volume.dicom_seg import write_seg
    from transect.data_adapters.volume.dicom_series import read_stack
    from transect.data_adapters.volume.dicom_slices import scan
    from transect.data_adapters.volume.dicom_stacks import stacks_of

    volumes = []
    for index, split in enumerate(phantom_splits(count)):
        rng = np.random.default_rng([seed, index])
        case = abdomen(rng, *_geometry(rng, size, split == "test"), split == "test")
        folder = root / (split or "train") / f"{index:03d}"
        write_series(folder / "series", case, f"PHANTOM-{seed}-{index}")
        (stack,) = stacks_of(scan(folder / "series").slices)
        write_seg(folder / "liver.dcm", case.liver, read_stack(stack), "phantom 1")
        volumes.append(case.liver_ml)
    return volumes


def _geometry(
    rng: np.random.Generator, size: tuple[int, int, int], unseen: bool
) -> tuple[tuple[int, int, int], tuple[float, float, float], str]:
    """Size, spacing and orientation; an unseen case has other ones, and covers the same body."""
    field = np.array([352.0, 288.0, 224.0])
    share = np.array([0.8, 0.8, 0.9]) if unseen else np.ones(3)
    new = [round(n * part) for n, part in zip(size, share, strict=True)]
    step = field / new * rng.uniform(0.97, 1.03, 3)
    orientations = ("RAS", "LAS", "RPI") if unseen else ("LPS", "RAS")
    x, y, z = new
    return (x, y, z), (float(step[0]), float(step[1]), float(step[2])), str(rng.choice(orientations))


def write_series(
    folder: Path, case: Abdomen | Volume, patient: str = "PHANTOM", number: int = 1, **elements: object
) -> Volume:
    """Write a scan as a series of one file a slice, of MR by default, under names that say nothing of the order.

    Args:
        folder: To write to; it is made.
        case: The scan, int16.
        patient: PatientID, from which all UIDs follow; PatientName is `PATIENT^ONE`.
        number: SeriesNumber.
        elements: Other DICOM elements by keyword.

    Returns:
        The scan as it will be read, without its images.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ case.grid.affine
    steps = case.grid.spacing
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(case.grid.shape[2]):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient, str(number), str(k)])
        image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        image.PatientID, image.PatientName, image.PatientBirthDate = patient, f"{patient}^ONE", "19501231"
        image.PatientSex, image.StudyID, image.AccessionNumber, image.ReferringPhysicianName = "", "", "", ""
        image.StudyDate, image.StudyTime, image.Modality, image.Manufacturer = "20260102", "101010", "MR", "Transect"
        image.StudyInstanceUID = generate_uid(entropy_srcs=[patient])
        image.SeriesInstanceUID = generate_uid(entropy_srcs=[patient, str(number)])
        image.FrameOfReferenceUID = generate_uid(entropy_srcs=[patient, "frame"])
        image.SeriesNumber, image.InstanceNumber, image.SeriesDescription = number, k + 1, "T2 phantom"
        image.ImageType, image.PositionReferenceIndicator = ["ORIGINAL", "PRIMARY"], ""
        image.ImagePositionPatient = [f"{value:.6f}" for value in affine[:3, 3] + k * affine[:3, 2]]
        image.ImageOrientationPatient = [f"{v:.8f}" for v in (*affine[:3, 0] / steps[0], *affine[:3, 1] / steps[1])]
        image.PixelSpacing, image.SliceThickness = [f"{steps[1]:.6f}", f"{steps[0]:.6f}"], f"{steps[2]:.6f}"
        image.Columns, image.Rows = case.grid.shape[:2]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        for keyword, value in elements.items():
            setattr(image, keyword, value)
        meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.PixelData = np.ascontiguousarray(case.values[:, :, k].T, "<i2").tobytes()
        image.save_as(folder / f"{generate_uid(entropy_srcs=[str(k)])[-12:]}.dcm", enforce_file_format=True)
    return Volume(case.values, case.grid, str(folder), "MR")
