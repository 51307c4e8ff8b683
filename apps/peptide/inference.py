"""Batched scoring of candidates, streamed spectrum by spectrum."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import nn

from transect.apps.peptide import calibration
from transect.apps.peptide.batch import batch_of, trimmed
from transect.apps.peptide.config import Calibration, Config
from transect.apps.peptide.dataset import scorable, with_generated
from transect.apps.peptide.distances import GAP_COST
from transect.apps.peptide.models.reranker import Deviations
from transect.core.precision import autocast
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.ranking import RankedCandidate, RankedSpectrum
from transect.data_adapters.peptide.spectrum import CandidateSet, Run, Spectrum

BEND = 5.0
"""Sharpness of the saturation of scores at 1."""
BUFFERED = 16
"""Number of batches that are sorted by size together, to limit padding."""


def rank(model: nn.Module, run: Run, config: Config, fitted: Calibration) -> Iterator[RankedSpectrum]:
    """Rank the candidates of each spectrum of `run` by the model, in the order of the spectra.

    Candidates that are too long for the model are recorded among the run's omissions.

    Args:
        model: in evaluation mode.
        run: the spectra and their candidates.
        config: the app's.
        fitted: the calibration that gives the probabilities.
    """
    candidate_sets = run.candidate_sets()
    while chunk := list(islice(candidate_sets, BUFFERED * config.spectra_per_batch)):
        chunk = [scorable(with_generated(candidate_set, config), config, run) for candidate_set in chunk]
        ranked: dict[int, RankedSpectrum] = {}
        order = sorted(
            (i for i, candidate_set in enumerate(chunk) if candidate_set.candidates), key=lambda i: _size(chunk[i])
        )
        for start in range(0, len(order), config.spectra_per_batch):
            places = order[start : start + config.spectra_per_batch]
            ranked.update(zip(places, _ranked(model, [chunk[i] for i in places], config, fitted), strict=True))
        for index, candidate_set in enumerate(chunk):
            yield ranked.get(index, RankedSpectrum(candidate_set, ()))


def _size(candidate_set: CandidateSet) -> int:
    return max(len(candidate.peptide.residues) for candidate in candidate_set.candidates)


def _ranked(
    model: nn.Module, candidate_sets: Sequence[CandidateSet], config: Config, fitted: Calibration
) -> list[RankedSpectrum]:
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in trimmed(batch_of(candidate_sets, config)).items()}
    with torch.inference_mode(), autocast(config.precision, device):
        deviations: Deviations = model(**batch)
    peptide, residue = (tensor.float().cpu().numpy() for tensor in deviations)
    return [
        _order(candidate_set, peptide[i], residue[i], config, fitted) for i, candidate_set in enumerate(candidate_sets)
    ]


def _order(
    candidate_set: CandidateSet, peptide: np.ndarray, residue: np.ndarray, config: Config, fitted: Calibration
) -> RankedSpectrum:
    """The candidates sorted by predicted deviation; the sort is stable."""
    candidates = []
    for row, candidate in enumerate(candidate_set.candidates):
        length = len(candidate.peptide.residues)
        error, fits = _precursor(candidate_set.spectrum, candidate.peptide, config)
        candidates.append(
            RankedCandidate(
                candidate=candidate,
                score=_score(float(peptide[row])),
                deviation=float(peptide[row]) * GAP_COST,
                residue_scores=np.exp(-np.abs(residue[row, 1 : 1 + length])),
                mass_error_ppm=error,
                fits=fits,
            )
        )
    candidates.sort(key=lambda candidate: candidate.deviation)
    ranked = RankedSpectrum(candidate_set, tuple(candidates))
    return replace(ranked, probability=calibration.probability(fitted, calibration.features(ranked)))


def _score(deviation: float) -> float:
    """A smooth version of exp(-max(d, 0)) for a predicted deviation d, in units of `GAP_COST`.

    Strictly decreasing and below 1, since predictions for right candidates scatter around 0.
    """
    return float(np.exp(-np.logaddexp(0, BEND * deviation) / BEND))


def _precursor(spectrum: Spectrum, peptide: Peptide, config: Config) -> tuple[float, bool]:
    """The error of the precursor's mass in ppm, and whether it is within tolerance."""
    error = spectrum.mass_error_ppm(peptide, config.read.isotopes)
    return error, abs(error) <= config.read.precursor_tolerance_ppm
