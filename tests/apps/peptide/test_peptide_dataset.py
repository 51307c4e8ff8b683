"""Training examples: only labelled spectra, each once, with the deviations of its candidates from the label."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from transect.apps.peptide.app import PeptideIdentification
from transect.apps.peptide.config import Config
from transect.apps.peptide.distances import peptide_mass_deviation, residue_mass_deviations
from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.vocabulary import PAD
from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.config import PhantomConfig

CONFIG = Config(phantom=PhantomConfig(spectra=16, tools=3))


@pytest.fixture
def folder(tmp_path):
    PeptideIdentification(CONFIG).adapter.phantom(tmp_path, 1, 0)
    return tmp_path


def examples(folder, config: Config = CONFIG, parts: bool = False):
    app = PeptideIdentification(config)
    cases = app.adapter.cases(str(folder))
    return app.dataset(app.split_units(cases) if parts else cases)


def test_targets_are_the_distances_from_the_label(folder):
    actual = examples(folder)
    assert len(actual) == 16
    wrong = 0
    for index, candidate_set in enumerate(actual.candidate_sets):
        one, label = actual[index], candidate_set.spectrum.label
        for row, candidate in enumerate(candidate_set.candidates):
            masses = candidate.peptide.masses
            expected = peptide_mass_deviation(masses, label.masses)
            assert float(one["peptide_deviation"][row]) == pytest.approx(expected, abs=1e-6)
            end = 1 + len(masses)
            residues = residue_mass_deviations(masses, label.masses)
            np.testing.assert_allclose(one["residue_deviation"][row, 1:end], residues, atol=1e-6)
            assert not one["residue_deviation"][row, end:].any()
            assert (one["tokens"][row, :end] != PAD).all()
            assert (one["tokens"][row, end:] == PAD).all()
            np.testing.assert_array_equal(one["masses"][row, 1:end], masses)
            assert (expected == 0) == (candidate.peptide.merged == label.merged)
            wrong += expected > 0
        assert (one["tokens"][len(candidate_set.candidates) :] == PAD).all()
    assert wrong > 5


def test_spectra_without_a_label_give_no_example(folder):
    (file,) = folder.rglob("*.mgf")
    spectra = file.read_text().split("\n\n")
    for index in (2, 9):
        spectra[index] = "\n".join(line for line in spectra[index].splitlines() if not line.startswith("SEQ="))
    file.write_text("\n\n".join(spectra))
    assert [candidate_set.spectrum.index for candidate_set in examples(folder).candidate_sets] == [
        i for i in range(16) if i not in (2, 9)
    ]


def test_the_parts_of_a_file_hold_what_it_holds(folder):
    whole, parted = examples(folder), examples(folder, parts=True)
    assert [candidate_set.spectrum.index for candidate_set in parted.candidate_sets] == [
        candidate_set.spectrum.index for candidate_set in whole.candidate_sets
    ]
    for index in range(len(whole)):
        for name, tensor in whole[index].items():
            assert torch.equal(tensor, parted[index][name])


def test_candidates_too_long_for_the_model_are_left_out(folder):
    longest = max(
        len(c.peptide.residues) for candidate_set in examples(folder).candidate_sets for c in candidate_set.candidates
    )
    shorter = examples(folder, replace(CONFIG, model=RerankerConfig(max_length=longest)))
    lengths = [len(c.peptide.residues) for candidate_set in shorter.candidate_sets for c in candidate_set.candidates]
    assert max(lengths) == longest - 1
    assert shorter.columns == longest


def test_evidence_is_given_to_models_that_read_it_alone(folder):
    plain = examples(folder, replace(CONFIG, model=RerankerConfig(evidence=False)))
    assert "evidence" not in plain[0]
    assert examples(folder)[0]["evidence"].any()


def test_no_labelled_spectrum_is_told_with_what_to_do(folder):
    (file,) = folder.rglob("*.mgf")
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("SEQ=")) + "\n")
    with pytest.raises(BadInput, match=r"run01\.mgf.*no labelled spectrum with candidates.*SEQ="):
        examples(folder)
