"""Batched scoring of candidates, streamed spectrum by spectrum."""

from collections.abc import Iterable, Iterator, Sequence
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
from transect.data_adapters.base import BadInput
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

    Raises:
        BadInput: a score is not finite.
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
            scored = _ranked(model, [chunk[i] for i in places], config, fitted)
            if not all(np.isfinite(candidate.deviation) for spectrum in scored for candidate in spectrum.ranking):
                advice = "set precision fp32, or train the model again"
                raise BadInput(run.source, "prediction", "scores that are not finite", "numbers", advice)
            ranked.update(zip(places, scored, strict=True))
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
        _sorted(candidate_set, _candidates(candidate_set, peptide[i], residue[i], config), fitted)
        for i, candidate_set in enumerate(candidate_sets)
    ]


def _candidates(
    candidate_set: CandidateSet, peptide: np.ndarray, residue: np.ndarray, config: Config
) -> Iterator[RankedCandidate]:
    for row, candidate in enumerate(candidate_set.candidates):
        length = len(candidate.peptide.residues)
        error, fits = _precursor(candidate_set.spectrum, candidate.peptide, config)
        yield RankedCandidate(
            candidate=candidate,
            score=_score(float(peptide[row])),
            deviation=float(peptide[row]) * GAP_COST,
            residue_scores=np.exp(-np.abs(residue[row, 1 : 1 + length])),
            mass_error_ppm=error,
            fits=fits,
        )


def _sorted(candidate_set: CandidateSet, candidates: Iterable[RankedCandidate], fitted: Calibration) -> RankedSpectrum:
    """The candidates sorted by predicted deviation; the sort is stable."""
    ranking = sorted(candidates, key=lambda candidate: candidate.deviation)
    ranked = RankedSpectrum(candidate_set, tuple(ranking))
    return replace(ranked, probability=calibration.probability(fitted, calibration.features(ranked)))


def average(rankings: Sequence[Iterable[RankedSpectrum]], fitted: Calibration) -> Iterator[RankedSpectrum]:
    """Rank by the mean deviations of several rankings of one run, with the standard deviations of the scores.

    Args:
        rankings: of the same candidates of the same spectra.
        fitted: the calibration that gives the probabilities.
    """
    for spectra in zip(*rankings, strict=True):
        candidate_set = spectra[0].candidate_set
        if not spectra[0].ranking:
            yield spectra[0]
            continue
        in_order = [_as_listed(spectrum) for spectrum in spectra]
        yield _sorted(candidate_set, map(_mean, zip(*in_order, strict=True)), fitted)


def _as_listed(ranked: RankedSpectrum) -> list[RankedCandidate]:
    """The ranked candidates in the order of the candidate set."""
    place = {id(candidate): number for number, candidate in enumerate(ranked.candidate_set.candidates)}
    return sorted(ranked.ranking, key=lambda candidate: place[id(candidate.candidate)])


def _mean(candidates: Sequence[RankedCandidate]) -> RankedCandidate:
    deviation = float(np.mean([candidate.deviation for candidate in candidates]))
    return replace(
        candidates[0],
        score=_score(deviation / GAP_COST),
        deviation=deviation,
        residue_scores=np.mean([candidate.residue_scores for candidate in candidates], axis=0),
        spread=float(np.std([candidate.score for candidate in candidates], ddof=1)),
    )


def _score(deviation: float) -> float:
    """A smooth version of exp(-max(d, 0)) for a predicted deviation d, in units of `GAP_COST`.

    Strictly decreasing and below 1, since predictions for right candidates scatter around 0.
    """
    return float(np.exp(-np.logaddexp(0, BEND * deviation) / BEND))


def _precursor(spectrum: Spectrum, peptide: Peptide, config: Config) -> tuple[float, bool]:
    """The error of the precursor's mass in ppm, and whether it is within tolerance."""
    error = spectrum.mass_error_ppm(peptide, config.read.isotopes)
    return error, abs(error) <= config.read.precursor_tolerance_ppm
