import subprocess
import sys
import tracemalloc
from functools import partial

import numpy as np
import pytest

from transect.apps import canvas
from transect.apps.pde import charts, figures, panels
from transect.apps.pde.measures import Measures, frame_measures, joined
from transect.apps.pde.preview import RolloutPreview
from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.simulation import Axis, Coordinate, Mesh, Simulation

GREY, BLACK, MARK = (154, 154, 154), (0, 0, 0), (32, 32, 32)
DARKEST, BRIGHTEST = (68, 1, 84), (253, 231, 36)  # the ends of viridis


def simulation(frames: np.ndarray, names: str = "yx", mesh: Mesh | None = None, length: float = 1.0) -> Simulation:
    """`frames` `(times, channels, *shape)` as a simulation with a step of half a second."""
    fields = tuple(Field(name, (name,), "Pa") for name in "pqrstu"[: frames.shape[1]])
    axes = (
        () if mesh else tuple(Axis(a, np.arange(n) * length, "m") for a, n in zip(names, frames.shape[2:], strict=True))
    )
    return Simulation(
        "here", fields, axes, Coordinate("t", np.arange(len(frames)) / 2, "s"), lambda a, b: frames[a:b], mesh=mesh
    )


def previewed(
    truth: np.ndarray, prediction: np.ndarray, names: str = "yx", block: int = 3, alone: bool = False, **kind
) -> RolloutPreview:
    """What is kept of a `prediction` of all but the first of the true frames."""
    one = simulation(truth, names, **kind)
    preview = RolloutPreview(one, one.time.values[1:], truth[0])
    for at in range(0, len(prediction), block):
        preview.add(prediction[at : at + block], None if alone else truth[1 + at : 1 + at + block])
    return preview


def painted(preview: RolloutPreview, name: str = "prediction") -> np.ndarray:
    """One picture alone, which is quicker."""
    return canvas.picture(partial(figures._draw_fields, preview, figures._fields(preview), name))


def measured(truth: np.ndarray, prediction: np.ndarray, axes: tuple[Axis, ...] = ()) -> Measures:
    return joined([frame_measures(prediction, truth[1:], truth[0], axes)])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def place(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 1) -> tuple[float, float, int]:
    """The mean row and column of the pixels of a colour in the panel, left of the colour bar, and their number."""
    panel = picture[:, : int(picture.shape[1] * 0.865)].astype(int)
    rows, columns = np.nonzero((np.abs(panel - colour) <= tolerance).all(-1))
    return (float(rows.mean()), float(columns.mean()), len(rows)) if len(rows) else (np.nan, np.nan, 0)


def test_a_masked_cell_is_grey_and_every_cell_where_its_coordinates_say() -> None:
    frames = np.tile(np.float32([[1, np.nan], [2, 3]]), (3, 1, 1, 1))
    picture = painted(previewed(frames, frames[1:]))
    low, grey, high = (place(picture, colour) for colour in (DARKEST, GREY, BRIGHTEST))
    assert low[2] == pytest.approx(high[2], rel=0.02)
    assert grey[2] == pytest.approx(high[2], rel=0.02)
    assert low[2] > 20_000
    assert low[0] == pytest.approx(grey[0], abs=1)
    assert low[0] > high[0]
    assert grey[1] == pytest.approx(high[1], abs=1)
    assert low[1] < grey[1]


@pytest.mark.parametrize("names", ["xy", "yx"])
def test_x_lies_across_in_either_order_of_the_axes(names: str) -> None:
    frames = np.ones((3, 1, 4, 4), np.float32)
    at = {"x": 3, "y": 0}
    frames[:, 0, at[names[0]], at[names[1]]] = 2
    row, column, _ = place(painted(previewed(frames, frames[1:], names)), BRIGHTEST)
    low_row, low_column, _ = place(painted(previewed(frames, frames[1:], names)), DARKEST)
    assert row > low_row
    assert column > low_column


def test_a_line_is_painted_over_time_from_left_to_right() -> None:
    frames = np.ones((9, 1, 8), np.float32)
    frames[-1, 0, -1] = 2
    picture = painted(previewed(frames, frames[1:], "x"))
    row, column, count = place(picture, BRIGHTEST)
    others = place(picture, DARKEST)
    assert (row < others[0], column > others[1]) == (True, True)
    assert others[2] == pytest.approx(71 * count, rel=0.05)


def test_cells_that_are_no_longer_finite_are_black_and_missing_ones_stay_grey() -> None:
    truth = np.ones((4, 1, 4, 4), np.float32)
    truth[:, 0, 0, 0] = np.nan
    prediction = truth[1:].copy()
    prediction[1:, 0, 2, 2:] = np.nan, np.inf
    lost, missing = (place(painted(previewed(truth, prediction)), colour, 0) for colour in (BLACK, GREY))
    frame_and_text = place(painted(previewed(truth, truth[1:])), BLACK, 0)[2]
    assert lost[2] - frame_and_text == pytest.approx(2 * missing[2], rel=0.05)
    assert (lost[0] < missing[0], lost[1] > missing[1]) == (True, True)


@pytest.mark.parametrize(("shape", "names"), [((7, 1, 20), "x"), ((7, 2, 12, 10), "yx"), ((4, 1, 6, 8, 10), "zyx")])
def test_all_pictures_of_a_case_have_one_size_and_the_compared_ones_come_first(shape: tuple, names: str) -> None:
    truth = noise(*shape)
    prediction = truth[1:] + noise(shape[0] - 1, *shape[1:], seed=1) / 10
    preview = previewed(truth, prediction, names)
    made = figures.pictures(preview, measured(truth, prediction, preview.simulation.axes))
    assert list(made) == ["prediction", "truth", "error", "spectrum", "error_over_time"]
    assert len({picture.shape for picture in made.values()}) == 1
    assert {picture.dtype for picture in made.values()} == {np.dtype(np.uint8)}


def test_without_a_truth_the_prediction_is_compared_with_the_initial_state() -> None:
    frames = np.float32([[1, 1], [2, 1], [2, 2]])[:, None]
    made = figures.pictures(previewed(frames, frames[1:], "x", alone=True))
    assert list(made) == ["prediction", "initial_state", "spectrum"]
    assert len({picture.shape for picture in made.values()}) == 1
    changed = [place(made[name], BRIGHTEST)[2] for name in ("prediction", "initial_state")]
    assert changed[0] > 30_000
    assert changed[1] == 0


def test_of_many_fields_the_first_four_are_painted() -> None:
    frames = np.tile(np.arange(4, dtype=np.float32).reshape(2, 2), (3, 5, 1, 1))
    preview = previewed(frames, frames[1:])
    assert preview.prediction.shape[1] == 4
    assert place(painted(previewed(frames[:, :3], frames[1:, :3]))[320:, 480:], DARKEST)[2] == 0
    left, right = np.split(painted(preview), 2, axis=1)
    counts = [place(part[rows], DARKEST)[2] for part in (left, right) for rows in (slice(320), slice(320, None))]
    assert min(counts) > 2000
    assert max(counts) < 1.1 * min(counts)


def test_a_flat_mesh_is_painted_by_its_triangles_and_points_alone_by_dots() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    values = np.ones((3, 1, 4), np.float32)
    values[:, 0, 0] = np.nan
    values[:, 0, 2] = 2
    flat = Mesh(points, {"quad": np.array([[0, 1, 2, 3]])}, "m")
    picture = painted(previewed(values, values[1:], mesh=flat))
    bright, dark = place(picture, BRIGHTEST, 6), place(picture, DARKEST, 6)
    assert bright[2] > 200
    assert dark[2] > 200
    assert (bright[0] < dark[0] + 200, bright[1] > 400) == (True, True)
    dots = painted(previewed(values, values[1:], mesh=Mesh(points, {})))
    assert 10 < place(dots, BRIGHTEST, 6)[2] < 100
    assert 10 < place(dots, GREY)[2] < 100


def test_the_film_shows_each_frame_at_its_time() -> None:
    truth = np.ones((6, 1, 4, 8), np.float32)
    for t in range(6):
        truth[t, 0, 1, t] = 2
    preview = previewed(truth, np.roll(truth, 1, -1)[1:])
    film = figures.film(preview)
    assert film.shape == (6, figures.FILM_HEIGHT, figures.FILM_WIDTH, 3)
    half = figures.FILM_WIDTH // 2
    in_truth = [place(frame[:, :half], BRIGHTEST)[1] for frame in film]
    steps = np.diff(in_truth)
    assert steps.min() > 5
    assert steps == pytest.approx(steps.mean(), abs=1)
    assert (film[0] != film[1])[:40].any()


def test_the_film_of_a_line_moves_and_has_no_more_frames_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "FILM_FRAMES", 5)
    truth = np.linspace(-1, 1, 100, dtype=np.float32)[:, None, None] * np.ones((1, 4), np.float32)
    film = figures.film(previewed(truth, truth[1:], "x"))
    assert len(film) == 5
    blue = [int(c, 16) for c in (canvas.MODEL_COLOUR[1:3], canvas.MODEL_COLOUR[3:5], canvas.MODEL_COLOUR[5:])]
    heights = [place(frame[80:], tuple(blue), 40)[0] for frame in film]
    assert heights[0] > heights[2] > heights[-1]


def test_blocks_of_any_size_give_the_same_pictures() -> None:
    truth = noise(150, 1, 16)
    prediction = truth[1:] * np.float32(0.9)
    whole = previewed(truth, prediction, "x", block=149)
    for block in (1, 4, 148):
        parts = previewed(truth, prediction, "x", block=block)
        np.testing.assert_array_equal(parts.prediction, whole.prediction)
        np.testing.assert_array_equal(parts.truth, whole.truth)
        for one, other in zip(parts.spectra, whole.spectra, strict=True):
            np.testing.assert_array_equal(one.prediction, other.prediction)
    assert len(whole.times) == len(whole.prediction) == 129
    np.testing.assert_array_equal(
        whole.prediction[1:, 0, 0], prediction[np.round((whole.times.values[1:] - 0.5) * 2).astype(int), 0, 0]
    )


def test_what_is_kept_does_not_grow_with_the_rollout_or_the_grid() -> None:
    frame = np.broadcast_to(np.float32(1), (1, 6, 520, 700))
    one = simulation(np.broadcast_to(frame, (2, *frame.shape[1:])))
    preview = RolloutPreview(one, np.arange(1, 2001) / 2, frame[0])
    preview._spectral = np.array([], int)
    tracemalloc.start()
    for _ in range(20):
        preview.add(np.broadcast_to(frame, (100, *frame.shape[1:])))
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert preview.prediction.shape == (61, 4, 174, 234)
    assert grown < 1.1 * preview.prediction.nbytes


def test_of_a_volume_the_middle_slice_is_kept_whatever_the_order_of_the_axes() -> None:
    volume = noise(3, 1, 5, 6, 7)
    np.testing.assert_array_equal(previewed(volume, volume[1:], "zyx").prediction, volume[:, :, 2])
    assert "slice at z = 2 m" in figures._slice_of(previewed(volume, volume[1:], "zyx"))
    np.testing.assert_array_equal(previewed(volume, volume[1:], "xyz").prediction, volume[..., 3])


def test_spectra_are_of_the_whole_grid_at_the_first_middle_and_last_step() -> None:
    x = Axis("x", np.arange(1024.0), boundary=("periodic", "periodic"))
    frames = np.sin(2 * np.pi * 200 * np.arange(1024) / 1024).astype(np.float32) * np.ones((12, 1, 1), np.float32)
    one = Simulation("here", (Field("u", ("u",)),), (x,), Coordinate("t", np.arange(12.0)), lambda a, b: frames[a:b])
    preview = RolloutPreview(one, one.time.values[1:], frames[0])
    preview.add(2 * frames[1:], frames[1:])
    assert [spectra.time for spectra in preview.spectra] == [1, 6, 11]
    assert preview.prediction.shape[-1] == 256
    for spectra in preview.spectra:
        assert spectra.truth is not None
        assert spectra.truth[0].argmax() == 200
        assert spectra.prediction[0, 200] == pytest.approx(4 * spectra.truth[0, 200], rel=1e-6)


def test_the_time_to_failure_is_marked_where_it_happens() -> None:
    truth = noise(21, 1, 16)

    def mark(step: int) -> np.ndarray:
        prediction = truth[1:].copy()
        prediction[:step] *= np.float32(1.01)
        prediction[step:] *= np.float32(1.5)
        preview = previewed(truth, prediction, "x")
        measures = measured(truth, prediction, preview.simulation.axes)
        picture = canvas.picture(partial(figures._draw_error, preview, measures))
        return np.flatnonzero((picture == MARK).all(-1).sum(0) > 100)

    early, middle, late = (mark(step) for step in (0, 8, 16))
    assert middle.mean() - early.mean() == pytest.approx(late.mean() - middle.mean(), abs=1)
    assert middle.mean() - early.mean() > 100
    assert len(mark(20)) == 0


def test_colours_are_diverging_for_signed_fields_and_sequential_for_others() -> None:
    assert panels.Colours.of(np.float32([-1, 4])) == panels.Colours("RdBu_r", -4, 4)
    assert panels.Colours.of(np.float32([-1.8, 30, np.nan])) == panels.Colours("viridis", np.float32(-1.8), 30)
    assert panels.Colours.of(np.float32([5, 5])) == panels.Colours("viridis", 5, 6)
    assert panels.Colours.of(np.float32([np.nan])) == panels.Colours("viridis", 0, 1)
    assert panels.Colours.of_error(np.float32([0, 0])) == panels.Colours("RdBu_r", -1, 1)
    assert panels.Colours.of_error(np.float32([-3, np.inf, -3])) == panels.Colours("RdBu_r", -3, 3)


def test_moments_are_dates_where_time_counts_from_one() -> None:
    assert panels.moment(Coordinate("t", np.zeros(1), "s"), 0.25) == "t = 0.25 s"
    assert panels.moment(Coordinate("t", np.zeros(1), "hours since 1980-01-14"), 36) == "1980-01-15 12:00"
    assert panels.moment(Coordinate("t", np.zeros(1), "hour since 0000-01-01 00:00:00"), 366) == "0000-01-16 06:00"
    days = Coordinate("t", np.zeros(1), "days since 2001-02-28", {"calendar": "360_day"})
    assert panels.moment(days, 2) == "2001-02-30 00:00"
    assert panels.moment(Coordinate("t", np.zeros(1), "beats since noon"), 3) == "t = 3 beats since noon"


def test_charts_of_a_split_survive_blow_ups_and_rollouts_of_other_lengths() -> None:
    measures = []
    for steps, factor in ((8, 1.1), (5, 1.2), (8, np.inf)):
        truth = noise(steps + 1, 1, 16, seed=steps)
        axes = simulation(truth, "x").axes
        measures.append(measured(truth, (truth[1:] * factor).astype(np.float32), axes))
    made = charts.charts(measures)
    assert list(made) == ["rollout_error", "spectrum_error"]
    assert {picture.shape for picture in made.values()} == {(canvas.HEIGHT, canvas.WIDTH, 3)}
    truth = noise(4, 1, 9)
    assert list(charts.charts([measured(truth, truth[1:])])) == ["rollout_error"]
    assert charts.charts([]) == {}


def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = "import transect.apps.pde.figures, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
