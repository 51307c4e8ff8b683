"""Invariances and dependences of the reranker's scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from transect.apps.peptide.batch import batch_of, candidate_arrays, trimmed
from transect.apps.peptide.config import Config
from transect.apps.peptide.evidence import CHANNELS
from transect.apps.peptide.losses import ranking_loss
from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.reranker import Deviations, Reranker
from transect.apps.peptide.models.vocabulary import GAP, PAD, START, UNKNOWN
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Spectrum

CONFIG = Config(model=RerankerConfig(dim=32, heads=4, feedforward=48, dropout=0))
PAPER = replace(CONFIG, model=replace(CONFIG.model, row_scale="padded", mask_gaps=False, evidence=False))


def candidate_set(*peptides: str, seed: int = 0, peaks: int = 30, charge: int = 2) -> CandidateSet:
    generator = np.random.default_rng(seed)
    parsed = [parse_peptide(text) for text in peptides]
    spectrum = Spectrum(
        index=seed,
        scan="",
        title="",
        precursor_mz=parsed[0].mz(charge),
        charge=charge,
        retention_time=float("nan"),
        mz=np.sort(generator.uniform(100, 900, peaks)),
        intensity=generator.uniform(0.1, 1, peaks).astype(np.float32),
    )
    return CandidateSet(spectrum, tuple(Candidate(peptide, ("a",), (1.0,), (1,)) for peptide in parsed))


LISTS = [
    candidate_set("PEPTIDEK", "PEPTIDKE", "EPPTIDEK", "PETPIDEK", seed=1),
    candidate_set("SAMPLER", seed=2, peaks=5),
    candidate_set("[Acetyl]-AC[Carbamidomethyl]DM[Oxidation]ER", "LLLLLLLLLLLLR", seed=3, peaks=60, charge=3),
]


def model(config: Config) -> Reranker:
    torch.manual_seed(0)
    made = Reranker(config.model, CHANNELS)
    for parameter in made.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def scores(made: Reranker, candidate_sets: list[CandidateSet], config: Config) -> list[Deviations]:
    """Each candidate_set's own part of what the model says of a batch of them."""
    with torch.no_grad():
        actual = made(**batch_of(candidate_sets, config))
    own = [(len(q.candidates), 1 + max(len(c.peptide.residues) for c in q.candidates)) for q in candidate_sets]
    return [
        Deviations(actual.peptide[i, :rows], actual.residue[i, :rows, :columns])
        for i, (rows, columns) in enumerate(own)
    ]


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=2e-5)


def test_scores_do_not_depend_on_the_rest_of_the_batch():
    made = model(CONFIG)
    together = scores(made, LISTS, CONFIG)
    for one, actual in zip(LISTS, together, strict=True):
        alone = scores(made, [one], CONFIG)[0]
        close(actual.peptide, alone.peptide)
        columns = [len(c.peptide.residues) for c in one.candidates]
        for row, length in enumerate(columns):
            close(actual.residue[row, 1 : 1 + length], alone.residue[row, 1 : 1 + length])


def test_scaled_as_the_reference_does_they_depend_on_the_depth_of_the_batch():
    made = model(PAPER)
    together, alone = scores(made, LISTS, PAPER)[2], scores(made, LISTS[2:], PAPER)[0]
    assert (together.peptide - alone.peptide).abs().max() > 1e-3


@pytest.mark.parametrize("config", [CONFIG, PAPER])
def test_candidates_in_another_order_have_the_same_scores(config):
    made, one = model(config), LISTS[0]
    order = [2, 0, 3, 1]
    moved = replace(one, candidates=tuple(one.candidates[i] for i in order))
    close(scores(made, [moved], config)[0].peptide, scores(made, [one], config)[0].peptide[order])


def test_peaks_in_another_order_make_no_difference():
    made, batch = model(CONFIG), batch_of(LISTS[:1], CONFIG)
    with torch.no_grad():
        straight, turned = made(**batch), made(**batch | {"peaks": batch["peaks"].flip(1)})
    close(straight.peptide, turned.peptide)


def test_a_long_candidate_is_in_the_way_only_where_gaps_are_shown():
    junk = "SGSGSGSGSGSGSGSGSGSGSGSGSGSGSG"
    for config, moved in ((CONFIG, False), (PAPER, True)):
        # One layer along candidates alone: across candidates every list differs from a longer one.
        alone = replace(config.model, column_attention=False, layers=1, row_scale="padded")
        made = model(replace(config, model=alone))
        one, more = (batch_of([candidate_set(*texts)], config) for texts in (["PEPTIDEK"], ["PEPTIDEK", junk]))
        with torch.no_grad():
            x, y = (
                made.embedding(b["tokens"], b["masses"], b["precursor_mass"], b["charge"], None) for b in (one, more)
            )
        assert torch.equal(x[0, 0], y[0, 0, :9])
        assert bool(y[0, 0, 9:].any()) == moved


def test_the_blind_control_sees_no_peak():
    made = model(replace(CONFIG, model=replace(CONFIG.model, peaks="none")))
    batch = batch_of(LISTS, CONFIG)
    with torch.no_grad():
        actual = made(**batch)
        other = made(**batch | {"peaks": torch.rand_like(batch["peaks"]), "evidence": batch["evidence"] * 0 + 5})
    assert torch.equal(actual.peptide, other.peptide)


def test_an_untrained_model_ranks_by_likelihood_ratios():
    torch.manual_seed(0)
    made = Reranker(CONFIG.model, CHANNELS).eval()
    batch = batch_of(LISTS, CONFIG)
    with torch.no_grad():
        assert torch.equal(made(**batch).peptide, -batch["evidence"][:, :, 0, -1])
    made(**batch).peptide.square().sum().backward()
    assert made.shown.weight.grad.abs().sum() > 0


def test_evidence_of_residues_changes_nothing_at_first_and_has_a_gradient():
    torch.manual_seed(0)
    made = Reranker(CONFIG.model, CHANNELS).eval()
    batch = batch_of(LISTS, CONFIG)
    with torch.no_grad():
        assert torch.equal(made(**batch).residue, made(**batch | {"evidence": batch["evidence"] + 1}).residue)
    made(**batch).residue.square().sum().backward()
    assert made.embedding.evidence.weight.grad.abs().sum() > 0


def test_every_weight_has_a_gradient():
    made = model(CONFIG)
    actual = made(**batch_of(LISTS, CONFIG))
    (actual.peptide.square().sum() + actual.residue.square().sum()).backward()
    assert [name for name, p in made.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


def test_candidates_are_laid_side_by_side_from_their_first_residue():
    peptides = [parse_peptide("[Acetyl]-AG"), parse_peptide("S[Phospho]")]
    shown = candidate_arrays(peptides, mask_gaps=False)
    assert shown.tokens.tolist() == [[START, 27, 5, 4], [START, UNKNOWN, GAP, GAP]]
    assert shown.masses.tolist()[1] == pytest.approx([0, 87.032028 + 79.966331, 0, 0])
    assert candidate_arrays(peptides, mask_gaps=True).tokens[1].tolist() == [START, UNKNOWN, PAD, PAD]


def test_trimming_takes_off_padding_alone():
    batch = batch_of(LISTS, CONFIG)
    wide = {
        name: torch.nn.functional.pad(
            tensor, (0, 0) * (name in ("peaks", "evidence")) + (0, 3), value=PAD * (name == "tokens")
        )
        if tensor.ndim > 1
        else tensor
        for name, tensor in batch.items()
    }
    assert all(torch.equal(batch[name], tensor) for name, tensor in trimmed(wide).items())


def test_the_loss_is_its_equation():
    config = replace(CONFIG.loss, peptide=0.5, residue=0.25, listwise=2.0, temperature=0.5)
    tokens = torch.tensor([[[START, 5, PAD], [START, 5, 6]], [[START, 7, 8], [PAD, PAD, PAD]]])
    actual = Deviations(
        torch.tensor([[0.0, 2.0], [1.0, 9.0]]), torch.tensor([[[7.0, 1, 7], [7, 3, 0]], [[7, 0, 0], [7, 7, 7]]])
    )
    batch = {
        "tokens": tokens,
        "peptide_deviation": torch.tensor([[0.0, 1.0], [0.5, 0.0]]),
        "residue_deviation": torch.tensor([[[0.0, 0, 0], [0, 0, 0]], [[0, 0, 0.5], [0, 0, 0]]]),
    }
    huber = (0 + 0.5 + 0.125) / 3
    residue = (0.5 + 2.5 + 0 + 0 + 0.125) / 5
    target = torch.tensor([0.0, -2.0]).softmax(0)
    listwise = -(target * torch.tensor([0.0, -4.0]).log_softmax(0)).sum() / 2
    assert ranking_loss(actual, batch, config).item() == pytest.approx(
        0.5 * huber + 0.25 * residue + 2 * float(listwise), abs=1e-6
    )
