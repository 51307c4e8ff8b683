import math
from pathlib import Path

import numpy as np
import pytest
import torch

from transect.apps.pde import metrics
from transect.apps.pde.measures import PERSISTENCE, Measures, frame_measures, joined
from transect.data_adapters.pde.simulation import Axis

PERIODIC = ("periodic", "periodic")


def axes_of(*lengths: int) -> list[Axis]:
    return [Axis(name, np.arange(n, dtype=float), boundary=PERIODIC) for name, n in zip("xyz", lengths, strict=False)]


def fields(*shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A prediction, the truth and the last known frame: smooth enough to correlate, with a mean that is not zero."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(1.5, 1, shape).astype(np.float32)
    prediction = (truth + generator.normal(0.1, 0.4, shape)).astype(np.float32)
    return prediction, truth, generator.normal(1.5, 1, shape[1:]).astype(np.float32)


def trajectories(*shape: int, count: int = 3) -> tuple[list[tuple[np.ndarray, ...]], list[Measures]]:
    data = [fields(*shape, seed=seed) for seed in range(count)]
    return data, [frame_measures(*one, axes_of(*shape[2:])) for one in data]


def rms(values: np.ndarray) -> float:
    return math.sqrt(sum(float(v) ** 2 for v in values.ravel()) / values.size)


def test_apebench_sums_channels_averages_samples_and_takes_the_geometric_mean_of_steps() -> None:
    data, measures = trajectories(7, 2, 12)
    curve = [
        sum(sum(rms(p[t, c].astype(float) - u[t, c]) / rms(u[t, c]) for c in range(2)) for p, u, _ in data) / len(data)
        for t in range(7)
    ]
    assert metrics.apebench_nrmse(measures) == pytest.approx(math.prod(curve) ** (1 / 7), rel=1e-12)
    assert metrics.apebench_nrmse(measures, steps=1) == pytest.approx(curve[0], rel=1e-12)
    assert metrics.apebench_nrmse(measures, steps=3) == pytest.approx(math.prod(curve[:3]) ** (1 / 3), rel=1e-12)


def test_apebench_stops_after_a_hundred_steps_and_takes_whoever_is_still_there() -> None:
    long, short = fields(120, 1, 8, seed=1), fields(40, 1, 8, seed=2)
    measures = [frame_measures(*one, axes_of(8)) for one in (long, short)]
    ratios = [[rms(p[t].astype(float) - u[t]) / rms(u[t]) for t in range(len(u))] for p, u, _ in (long, short)]
    curve = [(ratios[0][t] + ratios[1][t]) / 2 if t < 40 else ratios[0][t] for t in range(100)]
    expected = math.exp(sum(map(math.log, curve)) / 100)
    assert metrics.apebench_nrmse(measures) == pytest.approx(expected, rel=1e-12)


def test_well_takes_the_unbiased_deviation_of_each_field_and_time() -> None:
    data, measures = trajectories(4, 2, 3, 5)
    scores = []
    for prediction, truth, _ in data:
        for p, u in zip(prediction.reshape(8, 15), truth.reshape(8, 15), strict=True):
            mean = sum(map(float, u)) / 15
            variance = sum((float(v) - mean) ** 2 for v in u) / 14
            scores.append(math.sqrt(rms(p.astype(float) - u) ** 2 / (variance + 1e-7)))
    assert metrics.well_vrmse(measures) == pytest.approx(sum(scores) / len(scores), rel=1e-12)


def test_well_epsilon_bounds_the_error_of_a_constant_field() -> None:
    truth = np.ones((1, 1, 4), np.float32)
    measure = frame_measures(truth + np.float32(0.5), truth, truth[0], axes_of(4))
    assert metrics.well_vrmse([measure]) == pytest.approx(0.5 / math.sqrt(1e-7), rel=1e-12)


def test_pdebench_averages_the_ratio_over_samples_channels_and_times() -> None:
    data, measures = trajectories(3, 2, 4, 4)
    ratios = [
        rms(p[t, c].astype(float) - u[t, c]) / rms(u[t, c]) for p, u, _ in data for t in range(3) for c in range(2)
    ]
    assert metrics.pdebench_nrmse(measures) == pytest.approx(sum(ratios) / len(ratios), rel=1e-12)


def test_pdebench_conserved_error_is_of_sums() -> None:
    data, measures = trajectories(3, 2, 4, 5)
    errors = [
        abs(float(p[t, c].sum(dtype=float) - u[t, c].sum(dtype=float))) / 20
        for p, u, _ in data
        for t in range(3)
        for c in range(2)
    ]
    assert metrics.pdebench_crmse(measures) == pytest.approx(sum(errors) / len(errors), rel=1e-12)


@pytest.mark.parametrize("shape", [(9,), (4, 5), (3, 4, 5)])
def test_pdebench_boundary_error_is_of_the_outermost_cells(shape: tuple[int, ...]) -> None:
    data, measures = trajectories(2, 1, *shape)
    errors = []
    for prediction, truth, _ in data:
        for e in (prediction - truth.astype(float))[:, 0]:
            faces = [e.take(index, axis).ravel() for axis in range(len(shape)) for index in (0, -1)]
            errors.append(rms(np.concatenate(faces)))
    assert metrics.pdebench_brmse(measures) == pytest.approx(sum(errors) / len(errors), rel=1e-12)


def test_pdebench_fourier_error_in_one_dimension_is_a_naive_transform_in_three_bands() -> None:
    (data,), measures = trajectories(1, 1, 32, count=1)
    error = (data[0].astype(float) - data[1])[0, 0]
    size = [abs(sum(error * np.exp(-2j * np.pi * k * np.arange(32) / 32))) / 32 for k in range(17)]
    for band, expected in (("low", size[:4]), ("mid", size[4:12]), ("high", size[12:])):
        assert metrics.pdebench_frmse(measures, band) == pytest.approx(sum(expected) / len(expected), rel=1e-12)


def test_pdebench_fourier_error_in_two_dimensions_sums_the_positive_corner_by_shells() -> None:
    (data,), measures = trajectories(1, 1, 28, 26, count=1)
    error = (data[0].astype(float) - data[1])[0, 0]
    transform = np.fft.fft2(error)
    shells = [0.0] * 13
    for i in range(14):
        for j in range(13):
            if (k := math.floor(math.sqrt(i * i + j * j))) < 13:
                shells[k] += abs(transform[i, j]) ** 2
    size = [math.sqrt(s) / (28 * 26) for s in shells]
    for band, expected in (("low", size[:4]), ("mid", size[4:12]), ("high", size[12:])):
        assert metrics.pdebench_frmse(measures, band) == pytest.approx(sum(expected) / len(expected), rel=1e-12)


def test_a_coarse_grid_has_no_high_wave_numbers() -> None:
    _, measures = trajectories(2, 1, 16, 16)
    assert math.isnan(metrics.pdebench_frmse(measures, "high"))
    assert metrics.pdebench_frmse(measures, "mid") > 0


def test_morph_reference_numbers(fixtures: Path) -> None:
    reference = torch.load(fixtures / "pde" / "morph_metrics.pt", weights_only=True)
    pairs = zip(reference["pred"].flatten(2, 3).numpy(), reference["truth"].flatten(2, 3).numpy(), strict=True)
    measures = [frame_measures(p[:, :, 0], u[:, :, 0], u[0, :, 0], axes_of(8, 8)) for p, u in pairs]
    for name, score in (("nrmse", metrics.morph_nrmse), ("vrmse", metrics.morph_vrmse)):
        np.testing.assert_allclose([score([one]) for one in measures], reference[name], rtol=2e-7)
        assert score(measures) == pytest.approx(float(reference[name].double().mean()), rel=2e-7)


def test_morph_pools_frames_of_unequal_masks_by_their_cells() -> None:
    prediction, truth, last = fields(3, 2, 20)
    truth[0, 0, :15] = truth[1, 1, 3:] = np.nan
    measure = frame_measures(prediction, truth, last, axes_of(20))
    known = np.isfinite(truth)
    error, values = (prediction.astype(float) - truth)[known], truth[known].astype(float)
    assert metrics.morph_nrmse([measure]) == pytest.approx(rms(error) / rms(values), rel=1e-12)
    assert metrics.morph_vrmse([measure]) == pytest.approx(rms(error) / values.std(), rel=1e-12)


def test_persistence_of_a_travelling_sine_is_known() -> None:
    x, shift = np.arange(64) / 64, 2 * np.pi / 20
    frames = np.stack([np.sin(2 * np.pi * x - shift * t) for t in range(11)])[:, None].astype(np.float32)
    summary = metrics.summary_of([frame_measures(frames[1:], frames[1:], frames[0], axes_of(64))])
    expected = [2 * math.sin(shift * t / 2) for t in range(1, 11)]
    assert summary["persistence_pdebench_nrmse"] == pytest.approx(sum(expected) / 10, rel=1e-6)
    assert summary["persistence_apebench_nrmse"] == pytest.approx(math.prod(expected) ** 0.1, rel=1e-6)
    assert summary["persistence_one_step_nrmse"] == pytest.approx(expected[0], rel=1e-6)
    assert summary["persistence_time_to_failure_steps"] == 1
    assert summary["time_to_failure_steps"] == 10
    assert summary["skill"] == 1
    assert summary["well_vrmse"] == summary["spectrum_error"] == summary["blow_ups"] == 0


def test_persistence_of_burgers_has_the_known_error(shared_file) -> None:
    with np.load(shared_file("data/pde/apebench_1d_diff_burgers.npz")) as file:
        test = file["test"]
    x = [Axis("x", np.arange(160) / 160, boundary=PERIODIC)]
    measures = [frame_measures(np.broadcast_to(u[0], u[1:].shape), u[1:], u[0], x) for u in test]
    assert metrics.apebench_nrmse(measures) == pytest.approx(1.595, abs=5e-4)
    assert metrics.apebench_nrmse(measures, steps=1) == pytest.approx(7.99e-2, abs=5e-5)


def test_skill_is_nought_for_persistence_and_bounded_for_a_blow_up() -> None:
    _, truth, last = fields(6, 1, 16)
    persistent = np.broadcast_to(last, truth.shape)
    assert metrics.skill(frame_measures(persistent, truth, last, axes_of(16))) == 0
    half = (truth + persistent) / 2
    assert metrics.skill(frame_measures(half, truth, last, axes_of(16))) == pytest.approx(0.5, rel=1e-6)
    twice = 2 * persistent - truth
    assert metrics.skill(frame_measures(twice, truth, last, axes_of(16))) == pytest.approx(-0.5, rel=1e-6)
    assert metrics.skill(frame_measures(truth * np.inf, truth, last, axes_of(16))) == -1


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 3e38])
def test_a_blow_up_is_counted_and_makes_errors_infinite(bad: float) -> None:
    prediction, truth, last = fields(5, 2, 16, seed=1)
    exploded = prediction.copy()
    exploded[3:, 1, 4] = bad
    measures = [frame_measures(one, truth, last, axes_of(16)) for one in (prediction, exploded)]
    summary = metrics.summary_of(measures)
    assert summary["blow_ups"] == 0.5
    assert metrics.steps_to_failure(measures[1]) <= 4
    assert -1 <= summary["skill"] < metrics.skill(measures[0])
    for name in ("apebench_nrmse", "well_vrmse", "pdebench_nrmse", "pdebench_crmse", "morph_nrmse", "morph_vrmse"):
        assert summary[name] > 1e9
        assert math.isinf(summary[name]) == (bad != 3e38)
        assert math.isfinite(summary[PERSISTENCE + name])
    assert summary["pdebench_frmse_low"] > 1e9
    assert math.isfinite(summary["spectrum_error"])


def test_predictions_that_lose_a_decaying_solution_have_not_blown_up() -> None:
    truth = np.random.default_rng(0).normal(size=(3, 1, 8)).astype(np.float32) * np.float32([[[1]], [[1e-3]], [[1e-6]]])
    stuck = np.broadcast_to(truth[:1], truth.shape)
    assert not metrics.blew_up(frame_measures(stuck, truth, truth[0], axes_of(8)))
    assert metrics.blew_up(frame_measures(stuck * np.float32(200), truth, truth[0], axes_of(8)))


def test_masked_cells_cannot_change_a_number() -> None:
    prediction, truth, last = fields(4, 2, 6, 7)
    hole = np.random.default_rng(9).random((6, 7)) < 0.3
    truth[..., hole] = np.nan
    expected = frame_measures(prediction, truth, last, axes_of(6, 7))
    prediction[..., hole] = np.nan
    last[..., hole] = 1e30
    np.testing.assert_equal(frame_measures(prediction, truth, last, axes_of(6, 7)), expected)
    assert expected["cells"].tolist() == [[int((~hole).sum())] * 2] * 4
    known = ~hole
    square = [[rms((prediction[t, c].astype(float) - truth[t, c])[known]) ** 2 for c in range(2)] for t in range(4)]
    np.testing.assert_allclose(expected["square_error"], square, rtol=1e-12)


def test_cells_that_the_model_leaves_out_or_that_were_not_known_do_not_count() -> None:
    prediction, truth, last = fields(2, 1, 10)
    prediction[..., :3] = np.nan
    last[..., 9] = np.nan
    assert metrics.blew_up(frame_measures(prediction, truth, last, axes_of(10)))
    last[..., :3] = np.nan
    measure = frame_measures(prediction, truth, last, axes_of(10))
    assert measure["cells"].tolist() == [[6], [6]]
    assert not metrics.blew_up(measure)


def test_a_frame_without_any_truth_is_left_out() -> None:
    prediction, truth, last = fields(5, 2, 12)
    whole = frame_measures(prediction[1:], truth[1:], last, axes_of(12))
    truth[0] = np.nan
    gap = frame_measures(prediction, truth, last, axes_of(12))
    for score in (metrics.well_vrmse, metrics.pdebench_nrmse, metrics.morph_vrmse, metrics.apebench_nrmse):
        assert score([gap]) == pytest.approx(score([whole]), rel=1e-12)
    assert not metrics.blew_up(gap)


@pytest.mark.parametrize("shape", [(12,), (6, 8), (4, 5, 6)])
def test_blocks_of_any_size_give_the_same_measures(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, truth, last = fields(7, 2, *shape)
    truth.reshape(7, -1)[:, ::5] = np.nan
    whole = frame_measures(prediction, truth, last, axes_of(*shape))
    monkeypatch.setattr("transect.apps.pde.measures.CELLS_AT_ONCE", 1)
    for size in (1, 2, 3, 7):
        parts = [slice(at, at + size) for at in range(0, 7, size)]
        blocks = joined([frame_measures(prediction[part], truth[part], last, axes_of(*shape)) for part in parts])
        assert blocks.keys() == whole.keys()
        for name, values in whole.items():
            actual, expected = np.array(blocks[name], float), np.array(values, float)
            np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)


def test_measures_are_arrays_without_infinite_numbers() -> None:
    prediction, truth, last = fields(4, 2, 16)
    truth[1] = np.nan
    prediction[2, 0, 0], prediction[3, 0, 0] = np.inf, np.nan
    measure = frame_measures(prediction, truth, last, axes_of(16))
    assert {values.shape for values in measure.values()} == {(4, 2)}
    assert not any(np.isinf(values).any() for values in measure.values())
    assert np.isnan(measure["square_error"][2:, 0]).all()


def test_the_order_of_trajectories_does_not_matter() -> None:
    _, measures = trajectories(5, 2, 16, count=4)
    forward, backward = metrics.summary_of(measures), metrics.summary_of(measures[::-1])
    assert forward == pytest.approx(backward, rel=1e-13, nan_ok=True)


def test_values_on_a_mesh_have_all_metrics_but_those_of_boundaries_and_spectra() -> None:
    prediction, truth, last = fields(3, 1, 30)
    mesh = metrics.summary_of([frame_measures(prediction, truth, last, ())])
    grid = metrics.summary_of([frame_measures(prediction, truth, last, axes_of(30))])
    assert mesh.keys() == grid.keys()
    missing = {name for name, value in mesh.items() if math.isnan(value)}
    assert missing == {
        "pdebench_brmse",
        "spectrum_error",
        *(f"pdebench_frmse_{band}" for band in ("low", "mid", "high")),
    }
    assert all(mesh[name] == grid[name] for name in mesh.keys() - missing)


def test_nothing_measured_has_all_names_and_no_number() -> None:
    _, measures = trajectories(2, 1, 8)
    nothing = metrics.summary_of([])
    assert list(nothing) == list(metrics.summary_of(measures))
    assert all(math.isnan(value) for value in nothing.values())


def test_drift_is_what_the_rollout_gained_of_the_sum() -> None:
    truth = np.full((4, 1, 8), 2, np.float32)
    truth[..., ::2] = -1
    gaining = truth + np.float32(0.1) * np.arange(1, 5, dtype=np.float32)[:, None, None]
    measure = frame_measures(gaining, truth, truth[0], axes_of(8))
    assert metrics.conserved_sum_drift(measure) == pytest.approx(0.4 / math.sqrt(2.5), rel=1e-6)
    assert metrics.conserved_sum_drift(measure, PERSISTENCE) == 0


def test_correlation_is_pearsons_and_none_of_a_truth_without_pattern() -> None:
    prediction, truth, last = fields(2, 2, 24)
    truth[1, 0], prediction[1, 1] = 3.7, -0.3
    actual = frame_measures(prediction, truth, last, axes_of(24))["correlation"]
    for c in range(2):
        assert actual[0][c] == pytest.approx(np.corrcoef(prediction[0, c], truth[0, c])[0, 1], rel=1e-6)
    np.testing.assert_array_equal(actual[1], [np.nan, 0])
