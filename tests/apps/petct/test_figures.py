"""Projections, slices and the likely organs of hot spots."""

import numpy as np
import pytest

from transect.apps.petct import figures
from transect.apps.petct.figures import FRAMES, GAP, StudyPreview, film_view
from transect.apps.petct.organs import NAMES, hottest, in_body, spots
from transect.apps.petct.projection import Projections
from transect.apps.petct.slice_figure import Slices
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.body import ORGANS, body
from transect.data_adapters.petct.study import Study, TumourLabel
from transect.data_adapters.volume.resample import reorient
from transect.data_adapters.volume.volume import Grid, Volume

BLUE, ORANGE = (0x56, 0xB4, 0xE9), (0xE6, 0x9F, 0x00)


def phantom(seed=3, orientation="LPS", ct=True):
    one = body(np.random.default_rng(seed))
    values, grid = reorient(one.suv, one.grid, orientation)
    mask, _ = reorient(one.tumour, one.grid, orientation)
    hounsfield, _ = reorient(one.ct.astype(np.float32), one.grid, orientation)
    positions = grid.world([[0, 0, k] for k in range(grid.shape[2])])[:, 2]
    label = TumourLabel(mask, mask.any(axis=(0, 1)))
    return Study(Volume(values, grid, "body"), positions, lambda: hounsfield if ct else None, lambda: label)


def found(study, scores, flagged):
    """A prediction that flags these slices."""
    return scores(study, np.where(flagged, 2.0, -2.0))


def projections(shape=(7, 5, 3), seed=0):
    values = np.random.default_rng(seed).random(shape).astype(np.float32)
    return Projections(values, (4.0, 4.0))


@pytest.mark.parametrize("shape", [(7, 5, 3), (8, 8, 2), (5, 9, 4)])
def test_views_from_front_and_side_are_maxima_over_axes(shape):
    views = projections(shape)
    x, y, _ = shape
    front = views.values.max(axis=1)[::-1].T  # the patient's right in column 0
    left = views.values.max(axis=0)[::-1].T  # the front in column 0
    margin = (views.width - x) // 2
    assert views.view(0)[:, margin : margin + x] == pytest.approx(front)
    assert views.view(180)[:, margin : margin + x] == pytest.approx(front[:, ::-1])
    if (views.width - y) % 2 == 0:
        margin = (views.width - y) // 2
        assert views.view(90)[:, margin : margin + y] == pytest.approx(left)


def test_a_turn_is_its_views():
    views = projections((8, 8, 2))
    turn = views.turn(8)
    assert len(turn) == 8
    for index, view in enumerate(turn):
        assert view == pytest.approx(views.view(45 * index), abs=1e-5)


def test_what_is_in_front_comes_to_the_patients_right_first():
    """Seen from the front and then from the left, the front moves to column 0."""
    values = np.zeros((9, 9, 1), np.float32)
    values[4, 8] = 1
    views = Projections(values, (4.0, 4.0))
    columns = [int(views.view(angle)[0].argmax()) for angle in (0, 45, 90)]
    assert columns[0] == views.width // 2 > columns[1] > columns[2] == views.width // 2 - 4


def test_fine_voxels_are_joined_by_their_maximum(study):
    values = np.zeros((20, 12, 2))
    values[7, 5, 1] = 9
    views = Projections.of(study(values=values, spacing=(1.5, 2.0, 3.0)))
    assert views.values.shape == (10, 6, 2)
    assert views.spacing == (3.0, 4.0)
    assert views.values[3, 2].tolist() == [0, 9]


def test_hot_organs_of_the_phantom_are_named_by_position():
    seen = dict.fromkeys(("brain", "bladder"), 0)
    for seed in range(14):
        one = phantom(seed)
        place = in_body(one, hottest(one))
        assert place is not None
        names = np.array(NAMES)[spots(one, one.label.mask)]
        height = np.linspace(-1, 1, len(names))
        covered = np.zeros(len(names), bool)  # by lesions and spots, which are hotter than organs
        for uptake in body(np.random.default_rng(seed)).uptake:
            covered[uptake.first : uptake.stop] = True
        for organ in seen:
            _, _, z, _, _, half = ORGANS[organ].ellipsoids[0]
            middle = (abs(height - z) < half / 2) & ~covered
            assert (names[middle] == organ).all(), (seed, organ)
            seen[organ] += middle.sum()
        assert set(names) <= set(NAMES)
    assert min(seen.values()) >= 3, seen


def test_heart_and_kidneys_lie_on_their_sides():
    """A single hot voxel in a body: left of the middle and in front is the heart, behind it is a kidney."""
    grid = Grid((20, 14, 60), np.diag([20.0, 20.0, 15.0, 1.0]))
    for x, y, z, name in (
        (7, 9, 40, "heart"), (15, 9, 40, "elsewhere"), (6, 4, 27, "kidneys"), (13, 4, 27, "kidneys"),
        (10, 4, 27, "elsewhere"), (10, 8, 8, "bladder"), (10, 7, 57, "brain"), (2, 7, 8, "elsewhere"),
    ):  # fmt: skip
        values = np.ones(grid.shape, np.float32)
        values[x, y, z] = 9
        one = Study(Volume(values, grid), np.arange(60) * 15.0)
        assert NAMES[spots(one)[z]] == name, (x, y, z)
        excluded = np.zeros(grid.shape, np.uint8)
        excluded[x, y, z] = 1
        assert hottest(one, excluded)[z].tolist() != [x, y, z]


def test_a_part_of_the_body_has_no_named_spots(study):
    assert not spots(study(values=np.ones((20, 20, 20)))).any()
    assert not spots(study(values=np.zeros((8, 8, 40)))).any()


def test_pictures_by_name(scores):
    one = phantom()
    positive = one.label.positive
    all_but_one = positive.copy()
    all_but_one[np.flatnonzero(positive)[0] : np.flatnonzero(positive)[0] + 5] = False
    all_but_one[0] = True
    pictures = StudyPreview(found(one, scores, all_but_one), one, labels=True).pictures()
    assert list(pictures) == ["image", "prediction", "turning", "flagged", "false_positives", "missed"]
    still = {picture.shape for name, picture in pictures.items() if name != "turning"}
    assert len(still) == 1
    assert pictures["turning"].shape[0] == FRAMES
    assert {picture.dtype for picture in pictures.values()} == {np.dtype(np.uint8)}
    none = StudyPreview(found(one, scores, np.zeros_like(positive)), one, labels=True).pictures()
    assert list(none) == ["image", "prediction", "turning", "missed"]


def of_colour(picture, colour):
    return int((np.abs(picture.astype(int) - colour).max(axis=-1) < 25).sum())


def test_labels_are_only_shown_where_they_are_asked_for(scores):
    one = phantom()
    prediction = found(one, scores, one.label.positive)
    with_label, without = (StudyPreview(prediction, one, labels).pictures() for labels in (True, False))
    assert list(without) == ["image", "prediction", "turning", "flagged"]
    assert of_colour(with_label["flagged"], BLUE) > 20
    assert of_colour(without["flagged"], BLUE) == 0
    marked, bare = (of_colour(made["prediction"], (0x00, 0x72, 0xB2)) for made in (with_label, without))
    assert marked > bare


def test_flagged_slices_are_marked_where_they_lie(scores):
    one = phantom()
    flagged = np.zeros(one.pet.grid.shape[2], bool)
    flagged[-6:] = True
    frame = StudyPreview(found(one, scores, flagged), one, labels=False).pictures()["turning"][0].astype(int)
    rows = np.flatnonzero((np.abs(frame - (0xF8, 0xDD, 0xA6)).max(-1) < 8).sum(1) > 50)
    low, high = rows.min() - figures.TOP, rows.max() - figures.TOP
    scale = len(frame) - figures.TOP - figures.BOTTOM
    assert low <= 3
    assert high / scale == pytest.approx(6 / len(flagged), abs=0.01)


def test_the_film_turns_and_the_curve_stays(scores):
    one = phantom()
    film = StudyPreview(found(one, scores, one.label.positive), one, labels=False).pictures()["turning"]
    changed = (film != film[0]).any(axis=(0, 3))
    columns = np.flatnonzero(changed.any(axis=0))
    assert columns[0] >= GAP
    assert columns[-1] < film.shape[2] - figures.CURVE - figures.AXIS
    assert not changed[: figures.TOP].any()
    assert (film[0] != film[FRAMES // 2]).any()


@pytest.mark.parametrize("orientation", ["PLS"])
def test_the_orientation_of_the_file_does_not_show(scores, orientation):
    one, other = phantom(), phantom(orientation=orientation)
    a, b = (StudyPreview(found(each, scores, each.label.positive), each, True).pictures() for each in (one, other))
    for name in ("image", "flagged"):
        assert np.abs(a[name].astype(int) - b[name]).mean() < 0.3, name


def test_slices_keep_the_aspect_of_the_world(study, scores):
    """A body of 100 x 200 mm is drawn twice as high as wide."""
    values = np.zeros((24, 24, 3))
    values[2:22, 2:22] = 1  # 5 x 10 mm voxels
    one = study(values=values, spacing=(5.0, 10.0, 3.0), read_ct=lambda: np.full(values.shape, 240, np.float32))
    picture = Slices(one, scores(one, np.zeros(3)), labels=False, height=720).picture("", [1])
    grey = (picture.astype(int) > 200).all(-1) & (picture.astype(int) < 245).all(-1)
    rows, columns = np.flatnonzero(grey[60:400].sum(1) > 40), np.flatnonzero(grey[60:400].sum(0) > 40)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(2, abs=0.1)


def test_a_ct_that_cannot_be_read_or_is_missing_is_left_out(study, scores):
    def broken():
        raise BadInput("ct", "FrameOfReferenceUID", "another", "that of the PET")

    values = np.ones((12, 12, 3))
    for read in (broken, lambda: None):
        one = study(values=values, read_ct=read)
        picture = Slices(one, scores(one, np.ones(3)), labels=False, height=720).picture("Slices", [0])
        assert of_colour(picture, (0, 0, 0)) < 100  # no black background of a CT


def test_a_study_without_uptake_is_pictured(study, scores):
    one = study(values=np.zeros((6, 6, 1)))
    made = StudyPreview(scores(one, np.ones(1)), one, labels=True).pictures()
    assert list(made) == ["image", "prediction", "turning", "flagged"]


def test_the_film_is_shown_where_it_was_written(tmp_path):
    assert film_view(tmp_path) == []
    (tmp_path / "preview").mkdir()
    (tmp_path / "preview" / "turning.png").touch()
    (view,) = film_view(tmp_path)
    assert (view.kind, view.files) == ("film", ("preview/turning.png",))
