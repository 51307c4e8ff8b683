"""The tumour on the grid of the PET: RTSTRUCT, SEG and NIfTI masks, and what of them is lost."""

import numpy as np
import pydicom
import pytest

from tests.data_adapters.petct.reading import edit, read_one
from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_seg import Segment, write_seg
from transect.data_adapters.volume.dicom_series import read_stack
from transect.data_adapters.volume.dicom_slices import scan
from transect.data_adapters.volume.dicom_stacks import stacks_of
from transect.data_adapters.volume.nifti import write_nifti
from transect.data_adapters.volume.resample import reorient
from transect.data_adapters.volume.volume import Grid

MORPHOLOGY = ("49755003", "SCT", "Morphologically abnormal structure")
TUMOUR = Segment("Tumour", MORPHOLOGY, ("108369006", "SCT", "Tumor"))
NODE = Segment("Node", MORPHOLOGY, ("14799000", "SCT", "Neoplasm, Secondary"))


@pytest.mark.parametrize(("region", "slices", "voxels"), [("GTV_Mass", 31, 5095), ("gtv_edema", 43, 8058)])
def test_regions_of_a_real_structure_set_have_their_known_size(sts_001, region, slices, voxels) -> None:
    label = read_one(sts_001, label=region).label
    assert (int(label.positive.sum()), int(label.mask.sum())) == (slices, voxels)
    assert label.mask.shape[2] == 267
    np.testing.assert_array_equal(label.mask.any(axis=(0, 1)) | label.positive, label.positive)


def test_a_real_structure_set_with_several_regions_is_refused_with_their_names(sts_001) -> None:
    found = read_one(sts_001)
    with pytest.raises(BadInput, match=r"ROIName: found GTV_Mass, GTV_Edema, expected one region with contours"):
        assert found.label is None


def add_contours(path, plane, polygons, frame=None):
    """A structure set of one region, with polygons `(points, 2)` in mm at the heights `plane(k)`."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.Modality, dataset.PatientID = "RTSTRUCT", "PHANTOM-0-0"
    region, contours = pydicom.Dataset(), pydicom.Dataset()
    region.ROINumber, region.ROIName, contours.ReferencedROINumber = 1, "GTV", 1
    region.ReferencedFrameOfReferenceUID = frame or pydicom.dcmread(next((path / "pet").iterdir())).FrameOfReferenceUID
    contours.ContourSequence = []
    for k, polygon in polygons:
        contour = pydicom.Dataset()
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(polygon)
        contour.ContourData = [f"{v:.4f}" for x, y in polygon for v in (x, y, plane(k))]
        contours.ContourSequence.append(contour)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [region], [contours]
    dataset.save_as(path / "rt.dcm", enforce_file_format=True)


def square(corner, size):
    x, y = corner
    return [(x, y), (x + size, y), (x + size, y + size), (x, y + size)]


@pytest.fixture
def plain(short_study):
    """The study, and the first corner and the height of its first slice in DICOM's coordinates."""
    found = read_one(short_study)
    return short_study, found.pet.grid.affine[:3, 3] * [-1, -1, 1], found.pet.grid.spacing[0]


def test_contours_of_a_finer_series_share_the_nearest_slice_as_their_union(plain) -> None:
    """Slices are 8 mm apart, contours 2 mm: those at 14 to 18 mm belong to slice 2 at 16 mm; at 20 mm to the upper."""
    folder, corner, step = plain
    first, second = corner[:2] + step * 3.5, corner[:2] + step * 6.5
    shapes = [(14, square(first, 4 * step)), (16, square(first, 4 * step)), (18, square(second, 4 * step))]
    add_contours(
        folder, lambda height: corner[2] + height, [*shapes, (20, square(first, step)), (-3.9, square(first, step))]
    )
    label = read_one(folder).label
    assert np.flatnonzero(label.positive).tolist() == [0, 2, 3]
    assert label.mask.sum(axis=(0, 1))[:4].tolist() == [1, 0, 16 + 16 - 1, 1]  # even-odd over all would leave 30


def test_a_hole_is_a_hole_in_its_own_plane_alone(plain) -> None:
    folder, corner, step = plain
    outer, hole = square(corner[:2] + 3.5 * step, 6 * step), square(corner[:2] + 5.5 * step, 2 * step)
    add_contours(folder, lambda height: corner[2] + height, [(15, outer), (15, hole), (17.5, hole)])
    assert read_one(folder).label.mask.sum(axis=(0, 1))[2] == 36
    add_contours(folder, lambda height: corner[2] + height, [(15, outer), (15, hole)])
    assert read_one(folder).label.mask.sum(axis=(0, 1))[2] == 32


def test_contours_beyond_half_a_slice_distance_belong_to_no_slice(plain) -> None:
    folder, corner, step = plain
    inside = square(corner[:2] + 3.5 * step, 4 * step)
    last = 11 * 8.0
    add_contours(folder, lambda height: corner[2] + height, [(-4.1, inside), (last + 4, inside), (last + 4.1, inside)])
    label = read_one(folder).label
    assert np.flatnonzero(label.positive).tolist() == [11]
    assert len(label.notes) == 2
    assert all("outside of the image" in note for note in label.notes)


def test_a_polygon_smaller_than_a_voxel_makes_its_slice_positive(plain) -> None:
    folder, corner, step = plain
    add_contours(folder, lambda k: corner[2] + 8 * k, [(4, square(corner[:2] + 3.6 * step, 0.2 * step))])
    label = read_one(folder).label
    assert not label.mask.any()
    assert np.flatnonzero(label.positive).tolist() == [4]


def test_objects_of_another_frame_of_reference_are_left_out(plain) -> None:
    folder, corner, step = plain
    add_contours(folder, lambda k: corner[2] + 8 * k, [(4, square(corner[:2] + 3.5 * step, step))], frame="1.2.3")
    found = read_one(folder)
    assert found.label is None
    (why,) = found.left_out.values()
    assert why.startswith("FrameOfReferenceUID: found 1.2.3, expected")
    with pytest.raises(BadInput, match=r"ReferencedFrameOfReferenceUID: found 1\.2\.3, expected .*another scan"):
        assert read_one(folder, folder / "rt.dcm").label is None


def test_a_segment_is_chosen_by_label_or_code(study) -> None:
    found = read_one(study)
    before = found.label
    mask = before.mask.copy()
    mask[:3, :3, 30] = 2
    (study / "tumour.dcm").unlink()
    write_seg(study / "seg.dcm", mask, found.pet, "model 1", (TUMOUR, NODE))
    with pytest.raises(BadInput, match=r"Tumour \(108369006 Tumor\), Node .*, expected one segment; read\.label"):
        assert read_one(study).label is None
    for wanted in ("tumour", "108369006"):
        np.testing.assert_array_equal(read_one(study, label=wanted).label.mask, before.mask)
    for wanted in ("Node", "neoplasm, secondary"):
        assert np.flatnonzero(read_one(study, label=wanted).label.positive).tolist() == [30]
    with pytest.raises(BadInput, match="expected one called 'Liver'"):
        assert read_one(study, label="Liver").label is None


@pytest.mark.parametrize("share", [127, 128])
def test_fractions_count_from_half_of_their_maximum(study, share) -> None:
    import highdicom
    from pydicom.sr.coding import Code

    found = read_one(study)
    described = highdicom.seg.SegmentDescription(1, "Tumour", Code(*MORPHOLOGY), Code(*TUMOUR.kind), "MANUAL")
    images = [pydicom.dcmread(image.path) for image in found.pet.slices]
    fractions = np.zeros((32, 32, 32), np.float32)
    fractions[5, 3:6, 3:7] = share / 255
    fractions[9, 3:6, 3:7] = 1
    seg = highdicom.seg.Segmentation(
        images, fractions, "FRACTIONAL", [described], pydicom.uid.generate_uid(), 9, pydicom.uid.generate_uid(), 1,
        "maker", "model", "1", "1", max_fractional_value=255,
    )  # fmt: skip
    seg.save_as(study / "tumour.dcm")
    assert np.flatnonzero(read_one(study).label.positive).tolist() == ([5, 9] if share == 128 else [9])


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_label_maps_are_read_as_binary_segmentations_are(study, kind) -> None:
    import highdicom
    from pydicom.sr.coding import Code

    found = read_one(study)
    described = [
        highdicom.seg.SegmentDescription(n, s.label, Code(*s.category), Code(*s.kind), "MANUAL")
        for n, s in enumerate((TUMOUR, NODE), 1)
    ]
    images = [pydicom.dcmread(image.path) for image in found.pet.slices]
    numbers = np.zeros((32, 32, 32), np.uint8)
    numbers[5, 3:6, 3:7], numbers[6, 10:12, 3:7] = 1, 2
    seg = highdicom.seg.Segmentation(
        images, numbers, kind, described, pydicom.uid.generate_uid(), 9, pydicom.uid.generate_uid(), 1,
        "maker", "model", "1", "1",
    )  # fmt: skip
    seg.save_as(study / "tumour.dcm")
    for name, place, count in (("Tumour", 5, 12), ("Node", 6, 8)):
        label = read_one(study, label=name).label
        assert (np.flatnonzero(label.positive).tolist(), int(label.mask.sum())) == ([place], count)


def test_the_background_of_a_label_map_is_no_segment(study) -> None:
    """A segment called Background is what highdicom says of the value 0."""
    import highdicom
    from pydicom.sr.coding import Code

    found = read_one(study)
    kind, category = Code(*TUMOUR.kind), Code(*TUMOUR.category)
    images = [pydicom.dcmread(image.path) for image in found.pet.slices]
    seg = highdicom.seg.Segmentation(
        images, found.label.mask.transpose(2, 1, 0), "LABELMAP",
        [highdicom.seg.SegmentDescription(1, "Tumour", category, kind, "MANUAL")],
        pydicom.uid.generate_uid(), 9, pydicom.uid.generate_uid(), 1, "maker", "model", "1", "1",
    )  # fmt: skip
    assert "Background" in [item.SegmentLabel for item in seg.SegmentSequence]
    seg.save_as(study / "tumour.dcm")
    np.testing.assert_array_equal(read_one(study).label.mask, found.label.mask)


def test_a_segmentation_of_the_ct_is_sampled_at_the_voxels_of_the_pet(study) -> None:
    """The CT has slices 3 mm lower than those of the PET."""
    edit(study / "ct", lower)
    (stack,) = stacks_of(scan(study / "ct").slices)
    mask = np.zeros((32, 32, 32), np.uint8)
    mask[4:8, 10:14, 20] = 1
    (study / "tumour.dcm").unlink()
    write_seg(study / "seg.dcm", mask, read_stack(stack), "model 1", (TUMOUR,))
    label = read_one(study).label
    expected = np.zeros((32, 32, 32), np.uint8)
    expected[4:8, 10:14, 20] = 1
    np.testing.assert_array_equal(label.mask, expected)


def lower(image):
    x, y, z = image.ImagePositionPatient
    image.ImagePositionPatient = [x, y, z - 3]


def test_two_objects_are_refused_and_one_chosen_by_the_name_of_its_region(study) -> None:
    found = read_one(study)
    mask = np.zeros(found.pet.grid.shape, np.uint8)
    mask[2:5, 2:5, 3] = 1
    write_seg(study / "node.dcm", mask, found.pet, "model 1", (NODE,))
    with pytest.raises(BadInput, match=r"label: found node\.dcm, tumour\.dcm, expected one SEG or RTSTRUCT"):
        assert read_one(study).label is None
    assert np.flatnonzero(read_one(study, label="node").label.positive).tolist() == [3]
    np.testing.assert_array_equal(read_one(study, study / "node.dcm").label.mask, mask)


def test_an_object_without_frames_for_any_slice_is_a_study_without_tumour(study) -> None:
    found = read_one(study)
    write_seg(study / "tumour.dcm", np.zeros(found.pet.grid.shape, np.uint8), found.pet, "model 1", (TUMOUR,))
    label = read_one(study).label
    assert not label.mask.any()
    assert not label.positive.any()


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:3000], lambda data: b"\0" * len(data)])
def test_damaged_objects_fail_by_name(study, damage) -> None:
    path = study / "tumour.dcm"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadInput, match=r"tumour\.dcm"):
        assert read_one(study, path).label is None


# NIfTI


@pytest.fixture
def files(tmp_path):
    """A PET of 12 x 10 x 8 voxels of 4 x 4 x 3 mm, and its grid in RAS."""
    grid = Grid((12, 10, 8), np.array([[4.0, 0, 0, -20], [0, 4, 0, -10], [0, 0, 3, 100], [0, 0, 0, 1]]))
    write_nifti(tmp_path / "a_PET.nii.gz", np.random.default_rng(0).gamma(1, 1, grid.shape).astype(np.float32), grid)
    return tmp_path, grid


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_any_value_above_zero_is_tumour_in_any_orientation_of_the_file(files, dtype) -> None:
    folder, grid = files
    mask = np.zeros(grid.shape, dtype)
    mask[2, 3, 4], mask[7:9, 5, 6] = 255 if dtype == np.uint8 else 2, 1
    if dtype == np.int16:
        mask[0, 0, 0] = -1
    write_nifti(folder / "a_SEG.nii.gz", *reorient(mask, grid, "ASL"))
    found = read_one(folder)
    assert found.pet.grid.orientation == "LPS"
    assert np.flatnonzero(found.label.positive).tolist() == [4, 6]
    expected, _ = reorient((mask > 0).astype(np.uint8), grid, "LPS")
    np.testing.assert_array_equal(found.label.mask, expected)
    if dtype == np.int16:
        assert np.flatnonzero(read_one(folder, label="2").label.positive).tolist() == [4]


def test_a_mask_on_a_finer_grid_is_sampled_at_the_voxel_centres_and_lost_lesions_are_counted(files) -> None:
    folder, grid = files
    fine = Grid((48, 40, 24), np.array([[1.0, 0, 0, -21.5], [0, 1, 0, -11.5], [0, 0, 1, 99], [0, 0, 0, 1]]))
    mask = np.zeros(fine.shape, np.uint8)
    centre = np.round(fine.index(grid.world([[3, 4, 5]]))[0]).astype(int)
    mask[tuple(slice(c - 2, c + 3) for c in centre)] = 1  # 5 mm around the centre of voxel (3, 4, 5)
    mask[40, 30, 2], mask[41, 31, 3] = 1, 1  # joined at a corner, between slices 0 (at 1) and 1 (at 4)
    mask[20, 20, 21] = 1
    write_nifti(folder / "a_SEG.nii.gz", mask, fine)
    label = read_one(folder).label
    assert np.flatnonzero(label.positive).tolist() == [5]
    assert label.mask.sum() == 1
    assert label.notes == ("2 of 3 lesions of the mask reach no voxel centre of the PET",)


def test_masks_that_are_none_are_refused(files) -> None:
    folder, grid = files
    far = Grid(grid.shape, grid.affine + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 500], [0, 0, 0, 0]]))
    path = folder / "a_SEG.nii.gz"
    for values, place, message in (
        (np.full(grid.shape, 0.3, np.float32), grid, "values: found fractions, expected whole numbers"),
        (np.ones(grid.shape, np.uint8), far, "grid: found no voxel within the PET"),
    ):
        write_nifti(path, values, place)
        with pytest.raises(BadInput, match=message):
            assert read_one(folder).label is None
    with pytest.raises(BadInput, match=r"read\.label: found GTV, expected a number"):
        assert read_one(folder, label="GTV").label is None


def test_an_empty_mask_is_a_study_without_tumour_and_a_missing_one_is_none(files) -> None:
    folder, grid = files
    assert read_one(folder).label is None
    write_nifti(folder / "a_SEG.nii.gz", np.zeros(grid.shape, np.uint8), grid)
    assert not read_one(folder).label.positive.any()


def test_masks_of_files_are_those_of_the_dicom_series(study) -> None:
    """A NIfTI mask next to a DICOM study is its label."""
    found = read_one(study)
    mask = found.label.mask
    (study / "tumour.dcm").unlink()
    write_nifti(study / "tumour.nii.gz", *reorient(mask, found.pet.grid, "RAS"))
    (study / "MR_T1_mask.nii.gz").write_bytes((study / "tumour.nii.gz").read_bytes())
    for inputs in ((study,), (study / "pet", study / "tumour.nii.gz")):
        np.testing.assert_array_equal(read_one(*inputs).label.mask, mask)
