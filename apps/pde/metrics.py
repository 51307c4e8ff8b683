"""The metrics of four benchmarks, each under its own name, from the measures of rollouts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.pde.diagnostics import time_to_failure
from transect.apps.pde.measures import PERSISTENCE, Measures

WELL_EPSILON = 1e-7
APEBENCH_STEPS = 100
BLOWN_UP = 100.0


def apebench_nrmse(measures: Sequence[Measures], of: str = "", steps: int = APEBENCH_STEPS) -> float:
    """APEBench's aggregated nRMSE (Koehler et al. 2024, NeurIPS): of a whole rollout in one number.

    mean_nRMSE(t) = mean over samples of the sum over channels of sqrt(mean_x e^2) / sqrt(mean_x u^2), and of that the
    geometric mean over t = 1 to `steps`, or to the horizon where it is nearer. With one step it is mean_nRMSE(1).

    Args:
        measures: of all trajectories.
        of: "" for the model, PERSISTENCE for the last known frame repeated; the same below.
        steps: the last step that counts.
    """
    curves = [_reduce(np.nansum, frame_nrmse(one, of)[:steps]) for one in measures]
    horizon = max(map(len, curves), default=0)
    mean = np.array([_mean([curve[t] for curve in curves if t < len(curve)]) for t in range(horizon)])
    with np.errstate(divide="ignore"):
        return float(np.exp(_mean(np.log(mean))))


def well_vrmse(measures: Sequence[Measures], of: str = "") -> float:
    """The Well's variance-scaled error (Ohana et al. 2024, NeurIPS): 1 is what the mean of each field would get.

    Mean over samples, times and fields of sqrt(mean_x e^2 / (std_x(u)^2 + 1e-7)), with the unbiased std.
    """
    return _mean([_vrmse(one, of) for one in measures])


def pdebench_nrmse(measures: Sequence[Measures], of: str = "") -> float:
    """PDEBench's normalised RMSE (Takamoto et al. 2022, NeurIPS).

    Mean over samples, channels and predicted times of sqrt(mean_x e^2) / sqrt(mean_x u^2). The benchmark predicts what
    follows 10 known frames.
    """
    return _mean([_mean(frame_nrmse(one, of)) for one in measures])


def pdebench_crmse(measures: Sequence[Measures], of: str = "") -> float:
    """PDEBench's RMSE of conserved sums: |sum_x prediction - sum_x truth| / cells, in the fields' units.

    Averaged like `pdebench_nrmse`. The benchmark's code takes this and `pdebench_frmse` as roots of means of squares
    over a batch, whose size they then depend on; here a batch is one trajectory.
    """
    return _mean([_mean(np.abs(_error(one, of + "mean_error"))) for one in measures])


def pdebench_brmse(measures: Sequence[Measures]) -> float:
    """PDEBench's RMSE at the boundary: sqrt(mean of e^2 over the first and last cells of every axis).

    In the fields' units, averaged like `pdebench_nrmse`; a corner counts once for each of its faces. NaN on meshes.
    """
    return _mean([_mean(_error(one, "boundary_error")) for one in measures])


def pdebench_frmse(measures: Sequence[Measures], band: str) -> float:
    """PDEBench's RMSE in Fourier space, in the `band` "low" (k < 4), "mid" (4 <= k < 12) or "high" (k >= 12).

    Mean over the band's k of sqrt(sum of |F(e)|^2 over shell k) / cells, in the fields' units, averaged like
    `pdebench_nrmse`. As in the benchmark's code, the shells are of floor(|k|) up to the highest wave number of the
    shortest axis, and in two and three dimensions of positive wave numbers alone. NaN on meshes and where the grid has
    no wave numbers in the band.
    """
    return _mean([_mean(_error(one, f"fourier_{band}")) for one in measures])


def morph_nrmse(measures: Sequence[Measures], of: str = "") -> float:
    """MORPH's NRMSE (2025): sqrt(mean e^2 / mean u^2) with means over all but trajectories, then over these.

    The published numbers are of single steps from true frames: they are those of measures of such predictions.
    """
    return _mean([_pooled_ratio(one, of, _pooled(one, _numbers(one, "square_truth"))) for one in measures])


def morph_vrmse(measures: Sequence[Measures], of: str = "") -> float:
    """MORPH's VRMSE (2025): `morph_nrmse` with the pooled biased variance in place of the mean square."""
    scores = []
    for one in measures:
        mean, variance = _numbers(one, "mean_truth"), _numbers(one, "variance_truth")
        scores.append(_pooled_ratio(one, of, _pooled(one, variance + (mean - _pooled(one, mean)) ** 2)))
    return _mean(scores)


def frame_nrmse(measure: Measures, of: str = "") -> NDArray[np.float64]:
    """sqrt(mean_x e^2) / sqrt(mean_x u^2) of each frame and channel of a trajectory, `(frames, channels)`.

    Infinite where the rollout has blown up or the truth is zero and missed; NaN where no cell has values.
    """
    return np.sqrt(_ratio(_error(measure, of + "square_error"), _numbers(measure, "square_truth")))


def mean_nrmse(measure: Measures, of: str = "") -> NDArray[np.float64]:
    """The mean of `frame_nrmse` over channels, `(frames,)`."""
    return _reduce(np.nanmean, frame_nrmse(measure, of))


def mean_of(measure: Measures, name: str) -> NDArray[np.float64]:
    """The mean over channels of what was measured under `name`, `(frames,)`, NaN where nothing was."""
    return _reduce(np.nanmean, _numbers(measure, name))


def steps_to_failure(measure: Measures, of: str = "") -> int | None:
    """`diagnostics.time_to_failure` of a trajectory, by the means over channels of its nRMSE and correlation."""
    return time_to_failure(mean_nrmse(measure, of), mean_of(measure, of + "correlation"))


def conserved_sum_drift(measure: Measures, of: str = "") -> float:
    """|sum_x prediction - sum_x truth| / (cells * rms of the truth) at the last frame, mean over channels.

    Where the truth conserves its sum, this is what the rollout has gained or lost of it.
    """
    error = np.abs(_error(measure, of + "mean_error"))[-1:]
    return _mean(_ratio(error, np.sqrt(_numbers(measure, "square_truth")[-1:])))


def blew_up(measure: Measures) -> bool:
    """Whether a prediction is anywhere not finite, or its RMSE 100 times the largest RMS of any frame of the truth."""
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


def summary_of(measures: Sequence[Measures]) -> dict[str, float]:
    """All metrics over all trajectories, averaged over these; NaN where there is nothing to average.

    `skill` is the goal. A trajectory that blew up makes the errors infinite; `blow_ups` is the share of them. Spectra
    are compared over the frames before that. `time_to_failure_steps` is censored: a rollout that never fails counts
    with its last step. Metrics of persistence have its name in front.
    """
    summary = {"skill": _mean([skill(one) for one in measures])}
    for of in ("", PERSISTENCE):
        summary |= {
            f"{of}apebench_nrmse": apebench_nrmse(measures, of),
            f"{of}one_step_nrmse": apebench_nrmse(measures, of, steps=1),
            f"{of}well_vrmse": well_vrmse(measures, of),
            f"{of}pdebench_nrmse": pdebench_nrmse(measures, of),
            f"{of}pdebench_crmse": pdebench_crmse(measures, of),
            f"{of}morph_nrmse": morph_nrmse(measures, of),
            f"{of}morph_vrmse": morph_vrmse(measures, of),
            f"{of}time_to_failure_steps": _mean([steps_to_failure(one, of) or len(one["cells"]) for one in measures]),
            f"{of}conserved_sum_drift": _mean([conserved_sum_drift(one, of) for one in measures]),
        }
    return summary | {
        "pdebench_brmse": pdebench_brmse(measures),
        **{f"pdebench_frmse_{band}": pdebench_frmse(measures, band) for band in ("low", "mid", "high")},
        "spectrum_error": _mean([_mean(_numbers(one, "spectrum_error")) for one in measures]),
        "blow_ups": _mean([float(blew_up(one)) for one in measures]),
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
    """An error as a share of a scale: 0 where there is no error, infinite where an error has no scale."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error == 0, 0.0, np.divide(error, scale))


def _error(measure: Measures, name: str) -> NDArray[np.float64]:
    """An error `(frames, channels)`: infinite where the rollout has blown up, NaN where it was not measured."""
    values = _numbers(measure, name)
    of = PERSISTENCE if name.startswith(PERSISTENCE) else ""
    blown = np.isnan(_numbers(measure, of + "square_error")) & (_numbers(measure, "cells") > 0)
    return np.where(blown, np.inf, values) if name in measure else values


def _numbers(measure: Measures, name: str) -> NDArray[np.float64]:
    """What was measured under `name`, `(frames, channels)`, NaN where it is None or was not measured at all."""
    if name not in measure:
        return np.full_like(_numbers(measure, "cells"), np.nan)
    return np.array(measure[name], dtype=np.float64)


def _reduce(function: Callable[[NDArray[np.float64]], float], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`function` over the channels that have a number, NaN where none has."""
    return np.array([function(row) if not np.isnan(row).all() else np.nan for row in values])


def _mean(values: Any) -> float:
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else float("nan")
