"""Scoring of candidates: spectra are independent, in order, and omissions are reported."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from transect.apps.peptide.config import Calibration, Config
from transect.apps.peptide.evidence import CHANNELS
from transect.apps.peptide.inference import rank
from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.reranker import Reranker
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Run, Spectrum

CONFIG = Config(
    model=RerankerConfig(dim=16, heads=2, feedforward=16, max_length=20),
    generate="never",
    spectra_per_batch=3,
    precision="fp32",
)


def candidate_set(index: int, *peptides: str, problem: str = "") -> CandidateSet:
    generator = np.random.default_rng(index)
    parsed = [parse_peptide(text) for text in peptides]
    mz, intensity = np.sort(generator.uniform(100, 900, 30)), generator.uniform(0.1, 1, 30).astype(np.float32)
    precursor = parsed[0].mz(2) if parsed else 500.0
    spectrum = Spectrum(index, "", f"s{index}", precursor, 2, math.nan, mz, intensity, problem=problem)
    return CandidateSet(spectrum, tuple(Candidate(one, ("novo",), (1.0,), (1,)) for one in parsed))


def peptides(index: int) -> list[str]:
    """Lists of different depths and lengths, so that sorting by size mixes the spectra up."""
    letters = np.random.default_rng(index).choice(list("AGSPVTLNDQKEMHFRYW"), 5 + index * 7 % 12)
    text = "".join(letters)
    return list(dict.fromkeys([text, text[::-1], text[1:] + text[0]]))[: 1 + index % 3]


def run_of(candidate_sets: list[CandidateSet]) -> Run:
    return Run("run.mgf", "index", ("novo",), lambda: iter(candidate_sets))


@pytest.fixture(scope="module")
def model() -> Reranker:
    """One that tells candidates apart, other than an untrained one."""
    return model_of(CONFIG)


def test_spectra_come_in_their_order_with_the_answers_they_have_alone(model):
    # More than are sorted together at once, with some that have nothing to be ranked.
    candidate_sets = [
        candidate_set(i, *peptides(i)) if i % 7 else candidate_set(i, problem="no peaks") for i in range(60)
    ]
    actual = list(rank(model, run_of(candidate_sets), CONFIG, Calibration()))
    assert [one.candidate_set.spectrum.index for one in actual] == list(range(60))
    for one, asked in zip(actual, candidate_sets, strict=True):
        (alone,) = rank(model, run_of([asked]), CONFIG, Calibration())
        assert [c.candidate for c in one.ranking] == [c.candidate for c in alone.ranking]
        assert sorted(c.candidate.peptide.proforma for c in one.ranking) == sorted(
            c.peptide.proforma for c in asked.candidates
        )
        for together, single in zip(one.ranking, alone.ranking, strict=True):
            assert together.score == pytest.approx(single.score, abs=1e-5)
            np.testing.assert_allclose(together.residue_scores, single.residue_scores, atol=2e-5)


def test_better_candidates_have_smaller_deviations_and_higher_scores(model):
    several = 0
    for one in rank(model, run_of([candidate_set(i, *peptides(i)) for i in range(1, 40)]), CONFIG, Calibration()):
        deviations, scores = ([getattr(c, name) for c in one.ranking] for name in ("deviation", "score"))
        assert deviations == sorted(deviations)
        assert scores == sorted(scores, reverse=True)
        assert len(set(scores)) == len(set(deviations))
        assert all(0 < score <= 1 for score in scores)
        several += len(set(scores)) > 1
        for candidate in one.ranking:
            assert candidate.residue_scores.shape == (len(candidate.candidate.peptide.residues),)
            assert (candidate.residue_scores > 0).all()
            assert (candidate.residue_scores <= 1).all()
    assert several > 20


def test_equals_stay_in_the_order_of_the_files():
    equal = Reranker(replace(CONFIG.model, evidence=False, peaks="none"), CHANNELS).eval()
    for parameter in equal.parameters():
        torch.nn.init.zeros_(parameter)
    config = replace(CONFIG, model=replace(CONFIG.model, evidence=False, peaks="none"))
    asked = candidate_set(1, "PEPTIDEK", "EPPTIDEK", "AAAAAK")
    (actual,) = rank(equal, run_of([asked]), config, Calibration())
    assert len({one.score for one in actual.ranking}) == 1
    assert [one.candidate for one in actual.ranking] == list(asked.candidates)


def test_candidates_too_long_for_the_model_are_told_of(model):
    fits, long = "G" * 18 + "K", "G" * 19 + "K"
    run = run_of(
        [candidate_set(0, fits, long), candidate_set(1, long), candidate_set(2, f"[Acetyl]-{fits}", "PEPTIDEK")]
    )
    first, second, third = rank(model, run, CONFIG, Calibration())
    assert [one.candidate.peptide.proforma for one in first.ranking] == [fits]
    assert second.ranking == ()
    assert [one.candidate.peptide.proforma for one in third.ranking] == ["PEPTIDEK"]
    assert [(one.spectrum, one.what) for one in run.omissions] == [(f"index={i}", "too long") for i in range(3)]
    assert run.omissions[0].detail == f"novo: {long}: found 20 residues, expected 19 or fewer"
    assert run.counts["too long"] == 3


def test_the_precursor_is_compared_with_the_nearest_isotope_allowed(model):
    asked = candidate_set(0, "PEPTIDEK", "PEPTLDEK", "PEPTIDEKK")
    heavier = replace(asked.spectrum, precursor_mz=asked.spectrum.precursor_mz + 1.00335 / 2)
    config = replace(CONFIG, read=replace(CONFIG.read, isotopes=0))
    for settings, fitting in ((CONFIG, {"PEPTIDEK", "PEPTLDEK"}), (config, set())):
        (actual,) = rank(model, run_of([replace(asked, spectrum=heavier)]), settings, Calibration())
        assert {one.candidate.peptide.proforma for one in actual.ranking if one.fits} == fitting


def test_a_model_that_is_blind_sees_nothing_of_the_peaks():
    blind = replace(CONFIG, model=replace(CONFIG.model, evidence=False, peaks="none"))
    torch.manual_seed(0)
    made = Reranker(blind.model, CHANNELS).eval()
    one = candidate_set(1, *peptides(2))
    other = replace(one, spectrum=replace(one.spectrum, mz=one.spectrum.mz[::2] + 3, intensity=np.ones(15, np.float32)))
    (first,), (second,) = (rank(made, run_of([each]), blind, Calibration()) for each in (one, other))
    assert [c.score for c in first.ranking] == [c.score for c in second.ranking]
    (seen,), (changed,) = (rank(model_of(CONFIG), run_of([each]), CONFIG, Calibration()) for each in (one, other))
    assert [c.score for c in seen.ranking] != [c.score for c in changed.ranking]


def model_of(config: Config) -> Reranker:
    torch.manual_seed(0)
    made = Reranker(config.model, CHANNELS)
    for parameter in made.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()
