"""Pictures and the interactive view of a segmented liver: each side of the patient where its letter says."""

import nibabel
import numpy as np
import pytest

from transect.apps.liver_mri import figures
from transect.apps.liver_mri.figures import GAP, LiverPreview, volume_view
from transect.data_adapters.liver_mri.segmentation import Segmentation, Slab
from transect.data_adapters.volume.cases import Label, LabelledVolume
from transect.data_adapters.volume.nifti import read_nifti
from transect.data_adapters.volume.phantom import abdomen
from transect.data_adapters.volume.volume import Grid, Volume

ORANGE, BLUE = np.array([230, 159, 0]), np.array([86, 180, 233])


def segmentation(values, mask, grid, label=None):
    volume = Volume(values, grid)
    return Segmentation(volume, iter([Slab(0, mask.astype(np.float32))])), LabelledVolume(volume, lambda: Label(label))


def phantom(orientation="LPS"):
    """A patient whose prediction is the label."""
    case = abdomen(np.random.default_rng(5), (40, 36, 30), (8.0, 7.0, 7.0), orientation)
    return segmentation(case.values, case.liver, case.grid, case.liver)


def of_colour(picture, colour):
    return np.abs(picture.astype(int) - colour).max(axis=-1) < 30


def tile(picture, grid, axis):
    """The part of a picture that shows the plane perpendicular to a RAS axis."""
    x, y, _ = (n * step for n, step in zip(grid.shape, grid.spacing, strict=True))
    scale = (picture.shape[1] - 3 * GAP) / (x + y)
    right, lower = round(x * scale) + GAP, round(y * scale) + GAP
    return {2: picture[:lower, :right], 1: picture[lower:, :right], 0: picture[lower:, right:]}[axis]


def test_pictures_have_one_size_and_the_input_is_first():
    pictures = LiverPreview(*phantom(), labels=True).pictures()
    assert list(pictures) == ["image", "prediction", "comparison"]
    assert {(picture.dtype, picture.shape) for picture in pictures.values()} == {
        (np.dtype(np.uint8), pictures["image"].shape)
    }
    assert not of_colour(pictures["image"], ORANGE).any()
    assert not of_colour(pictures["prediction"], BLUE).any()
    assert of_colour(pictures["comparison"], BLUE).sum() > 100


def test_labels_are_only_shown_where_they_are_asked_for():
    assert list(LiverPreview(*phantom(), labels=False).pictures()) == ["image", "prediction"]


@pytest.mark.parametrize("orientation", ["RAS", "PIR", "SLA"])
def test_the_orientation_of_the_file_does_not_show(orientation):
    one, other = (LiverPreview(*phantom(axes), labels=False).pictures() for axes in ("LPS", orientation))
    for name, picture in one.items():
        assert picture.shape == other[name].shape
        assert np.abs(picture.astype(int) - other[name]).mean() < 0.2


@pytest.mark.parametrize("axis", range(3))
def test_right_front_and_head_are_left_and_top(axis):
    """The signal is in the octant at the patient's right, front and head: in each plane at the left and the top."""
    grid = Grid((20, 16, 12), np.diag([3.0, 4.0, 6.0, 1.0]))
    values = np.zeros(grid.shape, np.float32)
    values[12:, 10:, 8:] = 100
    picture = LiverPreview(*segmentation(values, values > 0, grid), labels=False).pictures()["image"]
    plane = tile(picture, grid, axis).mean(axis=-1)
    rows, columns = plane.shape
    quarter = plane[: rows // 3, : columns // 3].mean()
    assert quarter > 150
    assert plane[rows // 2 :, columns // 2 :].mean() < 30


def test_planes_keep_proportions_in_mm():
    grid = Grid((60, 40, 32), np.diag([2.0, 3.0, 4.0, 1.0]))
    places = grid.world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    ball = np.linalg.norm(places - grid.world([29.5, 19.5, 15.5]), axis=-1) <= 44
    picture = LiverPreview(*segmentation(np.zeros(grid.shape, np.int16), ball, grid), labels=False).pictures()[
        "prediction"
    ]
    for axis in range(3):
        rows, columns = np.nonzero(of_colour(tile(picture, grid, axis), ORANGE))
        assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.05)


def test_a_liver_that_is_not_found_has_pictures_and_a_view(tmp_path):
    _, sample = phantom()
    none = segmentation(sample.volume.values, np.zeros(sample.volume.grid.shape), sample.volume.grid, sample.label)
    pictures = LiverPreview(*none, labels=True).pictures()
    assert of_colour(pictures["comparison"], BLUE).sum() > 100
    (view,) = volume_view(none[0], tmp_path)
    assert view.files == ("preview/volume.nii.gz", "preview/mask.nii.gz")
    assert "No liver" in view.legend


def test_constant_values_are_a_picture():
    grid = Grid((6, 5, 4), np.diag([9.0, 9.0, 9.0, 1.0]))
    prediction = segmentation(np.full(grid.shape, 7, np.int16), np.ones(grid.shape), grid)
    assert LiverPreview(*prediction, labels=False).pictures()["image"].max() == 255


@pytest.mark.parametrize("orientation", ["LPS", "SLA"])
def test_a_view_is_reduced_and_keeps_every_place_in_mm(tmp_path, monkeypatch, orientation):
    prediction, sample = phantom(orientation)
    monkeypatch.setattr(figures, "LARGEST_VIEW", 12_000)
    (tmp_path / "statistics.json").write_text("{}")
    (view,) = volume_view(prediction, tmp_path)
    assert (view.kind, view.files[2:]) == ("volume", ("preview/surface.ply", "statistics.json"))
    image, mask = (read_nifti(tmp_path / name) for name in view.files[:2])
    assert image.grid.matches(mask.grid)
    assert image.grid.orientation == "RAS"
    assert 8_000 < image.values.size <= 12_000
    assert (image.values.dtype, image.values.min(), image.values.max()) == (np.uint8, 0, 255)
    before, after = sample.volume.grid, mask.grid
    assert mask.values.sum() * after.voxel_volume == pytest.approx(sample.label.sum() * before.voxel_volume, rel=0.03)
    centres = [
        grid.world(np.argwhere(values)).mean(axis=0) for values, grid in ((sample.label, before), (mask.values, after))
    ]
    assert centres[0] == pytest.approx(centres[1], abs=1)


def test_uneven_slices_are_evened(tmp_path):
    """An organ on slices at 20, 40 and 60 mm keeps its extent in mm."""
    affine = np.diag([5.0, 5.0, 11.25, 1.0])
    heights = np.array([0, 5, 10, 15, 20, 40, 60, 80, 90.0])
    grid = Grid((10, 10, 9), affine, np.stack([0 * heights, 0 * heights, heights], axis=1))
    mask = np.zeros(grid.shape, np.uint8)
    mask[2:8, 2:8, 4:7] = 1
    prediction, _ = segmentation(mask * 100, mask, grid)
    (view,) = volume_view(prediction, tmp_path)
    shown = read_nifti(tmp_path / view.files[1])
    found = shown.grid.world(np.argwhere(shown.values))[:, 2]
    # Halfway to the next slices, which are at 15 and 80 mm.
    assert 17.5 <= found.min() < 17.5 + 11.25
    assert 70 - 11.25 < found.max() <= 70


def test_files_of_a_view_name_no_one(tmp_path):
    grid = Grid((8, 8, 8), np.diag([9.0, 9.0, 9.0, 1.0]))
    header = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), grid.affine).header
    header["descrip"], header["db_name"] = b"DOE^JOHN", b"DOE^JOHN"
    volume = Volume(np.zeros((8, 8, 8), np.int16), grid, header=header)
    (view,) = volume_view(Segmentation(volume, iter([Slab(0, np.ones((8, 8, 8), np.float32))])), tmp_path)
    for name in view.files[:2]:
        written = nibabel.load(tmp_path / name).header
        assert b"DOE" not in written.binaryblock
        assert not written.extensions
