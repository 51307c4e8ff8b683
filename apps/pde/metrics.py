"""The metrics of four benchmarks, each under its own name, from the measures of rollouts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution, Metric
from transect.apps.pde.diagnostics import time_to_failure
from transect.apps.pde.measures import PERSISTENCE, Measures, frame_measures, joined
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.simulation import Rollout, Simulation

WELL_EPSILON = 1e-7
APEBENCH_STEPS = 100
BLOWN_UP = 100.0
COMPARED = (
    "well_vrmse", "pdebench_nrmse", "pdebench_crmse", "morph_nrmse", "morph_vrmse", "time_to_failure_steps",
    "conserved_sum_drift",
)  # fmt: skip
"""Metrics of a trajectory that are computed for persistence too."""
Weights = NDArray[np.float64]
_NO_FRAMES: Measures = {"cells": np.zeros((0, 1), np.int64)}


def apebench_nrmse(
    measures: Sequence[Measures], of: str = "", steps: int = APEBENCH_STEPS, weights: Weights | None = None
) -> float:
    """APEBench's aggregated nRMSE (Koehler et al. 2024, NeurIPS): of a whole rollout in one number.

    mean_nRMSE(t) = mean over samples of the sum over channels of sqrt(mean_x e^2) / sqrt(mean_x u^2); the result is its
    geometric mean over t = 1 to `steps`, or to the horizon if that is shorter. With one step it is mean_nRMSE(1).

    Args:
        measures: of all trajectories.
        of: "" for the model, PERSISTENCE for the baseline that repeats the last known frame; the same below.
        steps: the last step that is included.
        weights: of the trajectories; equal by default.
    """
    curves = [_reduce(np.nansum, frame_nrmse(measure, of)[:steps]) for measure in measures]
    horizon = max(map(len, curves), default=0)
    padded = np.array([np.pad(curve, (0, horizon - len(curve)), constant_values=np.nan) for curve in curves])
    mean = _weighted_means(padded.reshape(len(curves), horizon), weights)
    with np.errstate(divide="ignore"):
        return float(np.exp(_mean(np.log(mean))))


def well_vrmse(measures: Sequence[Measures], of: str = "") -> float:
    """The Well's variance-scaled error (Ohana et al. 2024, NeurIPS): predicting the mean of each field gives 1.

    Mean over samples, times and fields of sqrt(mean_x e^2 / (std_x(u)^2 + 1e-7)), with the unbiased std.
    """
    return _mean([_vrmse(measure, of) for measure in measures])


def pdebench_nrmse(measures: Sequence[Measures], of: str = "") -> float:
    """PDEBench's normalised RMSE (Takamoto et al. 2022, NeurIPS).

    Mean over samples, channels and predicted times of sqrt(mean_x e^2) / sqrt(mean_x u^2). The benchmark predicts
    from 10 known frames.
    """
    return _mean([_mean(frame_nrmse(measure, of)) for measure in measures])


def pdebench_crmse(measures: Sequence[Measures], of: str = "") -> float:
    """PDEBench's RMSE of conserved sums: |sum_x prediction - sum_x truth| / cells, in the fields' units.

    Averaged like `pdebench_nrmse`. The benchmark's code takes the root mean square of this and `pdebench_frmse` over a
    batch, so that they depend on the batch size; here a batch is one trajectory.
    """
    return _mean([_mean(np.abs(_error(measure, of + "mean_error"))) for measure in measures])


def pdebench_brmse(measures: Sequence[Measures]) -> float:
    """PDEBench's RMSE at the boundary: sqrt(mean of e^2 over the first and last cells of every axis).

    In the fields' units, averaged like `pdebench_nrmse`; a corner counts once for each of its faces. NaN on meshes.
    """
    return _mean([_mean(_error(measure, "boundary_error")) for measure in measures])


def pdebench_frmse(measures: Sequence[Measures], band: str) -> float:
    """PDEBench's RMSE in Fourier space, in the `band` "low" (k < 4), "mid" (4 <= k < 12) or "high" (k >= 12).

    Mean over the band's k of sqrt(sum of |F(e)|^2 over shell k) / cells, in the fields' units, averaged like
    `pdebench_nrmse`. As in the benchmark's code, the shells are of floor(|k|) up to the highest wave number of the
    shortest axis, and in two and three dimensions of positive wave numbers alone. NaN on meshes and where the grid has
    no wave numbers in the band.
    """
    return _mean([_mean(_error(measure, f"fourier_{band}")) for measure in measures])


def morph_nrmse(measures: Sequence[Measures], of: str = "") -> float:
    """MORPH's NRMSE (2025): sqrt(mean e^2 / mean u^2) within each trajectory, then the mean over trajectories.

    The published numbers are of single-step predictions from true frames: measure such predictions to compare.
    """
    return _mean(
        [_pooled_ratio(measure, of, _pooled(measure, _numbers(measure, "square_truth"))) for measure in measures]
    )


def morph_vrmse(measures: Sequence[Measures], of: str = "") -> float:
    """MORPH's VRMSE (2025): `morph_nrmse` with the pooled biased variance in place of the mean square."""
    scores = []
    for measure in measures:
        mean, variance = _numbers(measure, "mean_truth"), _numbers(measure, "variance_truth")
        scores.append(_pooled_ratio(measure, of, _pooled(measure, variance + (mean - _pooled(measure, mean)) ** 2)))
    return _mean(scores)


def frame_nrmse(measure: Measures, of: str = "") -> NDArray[np.float64]:
    """sqrt(mean_x e^2) / sqrt(mean_x u^2) of each frame and channel of a trajectory, `(frames, channels)`.

    Infinite where the rollout has blown up or the truth is zero and the prediction is not; NaN where no cell counts.
    """
    return np.sqrt(_ratio(_error(measure, of + "square_error"), _numbers(measure, "square_truth")))


def mean_nrmse(measure: Measures, of: str = "") -> NDArray[np.float64]:
    """The mean of `frame_nrmse` over channels, `(frames,)`."""
    return _reduce(np.nanmean, frame_nrmse(measure, of))


def mean_of(measure: Measures, name: str) -> NDArray[np.float64]:
    """The mean over channels of the measure `name`, `(frames,)`, NaN where it is undefined."""
    return _reduce(np.nanmean, _numbers(measure, name))


def steps_to_failure(measure: Measures, of: str = "") -> int | None:
    """`diagnostics.time_to_failure` of a trajectory, by the means over channels of its nRMSE and correlation."""
    return time_to_failure(mean_nrmse(measure, of), mean_of(measure, of + "correlation"))


def conserved_sum_drift(measure: Measures, of: str = "") -> float:
    """|sum_x prediction - sum_x truth| / (cells * rms of the truth) at the last frame, mean over channels.

    Where the truth conserves its sum, this is the rollout's relative gain or loss of it.
    """
    error = np.abs(_error(measure, of + "mean_error"))[-1:]
    return _mean(_ratio(error, np.sqrt(_numbers(measure, "square_truth")[-1:])))


def blew_up(measure: Measures) -> bool:
    """Whether any prediction is not finite, or its RMSE exceeds 100 times the largest RMS of the truth's frames."""
    error, truth = _error(measure, "square_error"), _numbers(measure, "square_truth")
    largest = np.nan_to_num(truth).max(axis=0, initial=0)
    return bool((np.isinf(error) | ((error > BLOWN_UP**2 * largest) & (largest > 0))).any())


def skill(measure: Measures) -> float:
    """1 - VRMSE / persistence's VRMSE of a trajectory: 1 is perfect, 0 no better than repeating the last known frame.

    Below 0 it is persistence's VRMSE / VRMSE - 1, so that a rollout that blows up gets -1 and not minus infinity.
    """
    model, persistence = _vrmse(measure), _vrmse(measure, PERSISTENCE)
    if model == persistence:
        return 0.0
    return 1 - model / persistence if model < persistence else persistence / model - 1


class RolloutMetric(Metric[Simulation, Rollout]):
    """The metrics of four benchmarks and diagnostics of rollouts, for the model and for persistence."""

    monitor = "skill"

    def contribution(self, prediction: Rollout, sample: Simulation) -> Contribution:
        """The measures of each frame and channel, and the `scores` of the trajectory, `(metrics,)`.

        Frames past the end of the simulation do not count.

        Raises:
            BadInput: no predicted frame lies within the simulation.
        """
        parts, start = [], prediction.start
        for block in prediction.blocks:
            truth = sample.known(start, len(block))
            if truth is not None:
                frames = block[: len(truth), : len(sample.channels)]
                parts.append(frame_measures(frames, truth, prediction.last, sample.axes))
            start += len(block)
        if not parts:
            found = f"{len(sample)} frames"
            raise BadInput(sample.source, sample.time.name, found, "some after the context to score by")
        measures = joined(parts)
        return measures | {"scores": np.array(list(trajectory_scores(measures).values()))}

    def summary(
        self, contributions: Sequence[Contribution], weights: NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """See `summary_of`."""
        return summary_of(contributions, weights)


def summary_of(measures: Sequence[Measures], weights: Weights | None = None) -> dict[str, float]:
    """All metrics, weighted means over trajectories; NaN where undefined.

    `skill` is monitored. A trajectory that blew up makes the errors infinite; `blow_ups` is the fraction that did.
    Spectra are compared over the frames before that. `time_to_failure_steps` is censored: a rollout that never fails
    counts with its last step. Metrics of persistence are prefixed by its name.

    Args:
        measures: of all trajectories; their `scores` are computed where they are not given.
        weights: of the trajectories; equal by default.
    """
    names = list(trajectory_scores(_NO_FRAMES))
    scores = [
        measure["scores"] if "scores" in measure else [*trajectory_scores(measure).values()] for measure in measures
    ]
    table = np.array(scores, np.float64).reshape(len(measures), len(names))
    means = dict(zip(names, _weighted_means(table, weights).tolist(), strict=True))
    summary = {"skill": means["skill"]}
    for of in ("", PERSISTENCE):
        summary |= {
            f"{of}apebench_nrmse": apebench_nrmse(measures, of, weights=weights),
            f"{of}one_step_nrmse": apebench_nrmse(measures, of, 1, weights),
            **{f"{of}{name}": means[f"{of}{name}"] for name in COMPARED},
        }
    return summary | means


def trajectory_scores(measures: Measures) -> dict[str, float]:
    """The metrics of one trajectory by name, of the model and of persistence."""
    single, scores = [measures], {"skill": skill(measures)}
    for of in ("", PERSISTENCE):
        scores |= {
            f"{of}well_vrmse": well_vrmse(single, of),
            f"{of}pdebench_nrmse": pdebench_nrmse(single, of),
            f"{of}pdebench_crmse": pdebench_crmse(single, of),
            f"{of}morph_nrmse": morph_nrmse(single, of),
            f"{of}morph_vrmse": morph_vrmse(single, of),
            f"{of}time_to_failure_steps": float(steps_to_failure(measures, of) or len(measures["cells"])),
            f"{of}conserved_sum_drift": conserved_sum_drift(measures, of),
        }
    return scores | {
        "pdebench_brmse": pdebench_brmse(single),
        **{f"pdebench_frmse_{band}": pdebench_frmse(single, band) for band in ("low", "mid", "high")},
        "spectrum_error": _mean(_numbers(measures, "spectrum_error")),
        "blow_ups": float(blew_up(measures)),
    }


def _vrmse(measure: Measures, of: str = "") -> float:
    cells = _numbers(measure, "cells")
    unbiased = _numbers(measure, "variance_truth") * cells / np.maximum(cells - 1, 1)
    return _mean(np.sqrt(_error(measure, of + "square_error") / (unbiased + WELL_EPSILON)))


def _pooled(measure: Measures, values: NDArray[np.float64]) -> float:
    """The mean over all cells of all frames and channels, from the means `values` of each."""
    cells = _numbers(measure, "cells")
    return float(np.nansum(cells * values) / cells.sum()) if cells.any() else np.nan


def _pooled_ratio(measure: Measures, of: str, scale: float) -> float:
    square = _pooled(measure, _error(measure, of + "square_error"))
    return float(_ratio(np.sqrt(square), np.sqrt(scale)))


def _ratio(error: Any, scale: Any) -> NDArray[np.float64]:
    """Error over scale: 0 where the error is 0, infinite where only the scale is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error == 0, 0.0, np.divide(error, scale))


def _error(measure: Measures, name: str) -> NDArray[np.float64]:
    """An error `(frames, channels)`: infinite where the rollout has blown up, NaN where it was not measured."""
    values = _numbers(measure, name)
    of = PERSISTENCE if name.startswith(PERSISTENCE) else ""
    blown = np.isnan(_numbers(measure, of + "square_error")) & (_numbers(measure, "cells") > 0)
    return np.where(blown, np.inf, values) if name in measure else values


def _numbers(measure: Measures, name: str) -> NDArray[np.float64]:
    """The measure `name`, float64 `(frames, channels)`, NaN where it is missing."""
    if name not in measure:
        return np.full(measure["cells"].shape, np.nan)
    return measure[name].astype(np.float64)


def _reduce(function: Callable[[NDArray[np.float64]], float], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`function` over the channels that are not NaN, NaN where all are."""
    return np.array([function(row) if not np.isnan(row).all() else np.nan for row in values])


def _mean(values: Any) -> float:
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else float("nan")


def _weighted_means(values: NDArray[np.float64], weights: Weights | None) -> NDArray[np.float64]:
    """The weighted mean of each column over the rows that are not NaN and have a weight, NaN where there are none."""
    weights = np.ones(len(values)) if weights is None else weights
    counted = ~np.isnan(values) & (weights > 0)[:, None]
    total = (counted * weights[:, None]).sum(0)
    # A row without weight must not turn an infinite value into NaN.
    weighted = np.where(counted, values, 0) * np.where(counted, weights[:, None], 1)
    return np.divide(weighted.sum(0), total, out=np.full(values.shape[1], np.nan), where=total > 0)
