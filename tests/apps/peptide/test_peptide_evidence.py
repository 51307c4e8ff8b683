"""Evidence features of candidates."""

from dataclasses import replace

import numpy as np
import pytest

from transect.apps.peptide.batch import model_peaks
from transect.apps.peptide.config import PeaksConfig
from transect.apps.peptide.evidence import CHANNELS, KINDS, SIDE, WHOLE, evidence
from transect.apps.peptide.fragments import fragment_mz, residue_masses
from transect.data_adapters.peptide.peptide import PROTON, WATER
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.spectrum import Spectrum


def spectrum(peaks: dict[float, float], precursor_mz: float, charge: int = 2) -> Spectrum:
    mz = np.array(sorted(peaks))
    intensity = np.array([peaks[x] for x in mz], np.float32)
    return Spectrum(0, "", "", precursor_mz, charge, float("nan"), mz, intensity)


def shown(one: Spectrum, text: str) -> np.ndarray:
    return evidence(one, [parse_peptide(text)], 20.0, 1, 20.0)[0]


def test_fragments_by_hand():
    masses = residue_masses(parse_peptide("GAS"))
    b, y = fragment_mz(masses)
    assert b == pytest.approx([57.021464 + PROTON, 57.021464 + 71.037114 + PROTON])
    assert y == pytest.approx([71.037114 + 87.032028 + WATER + PROTON, 87.032028 + WATER + PROTON])
    twice = fragment_mz(masses, 2)[1]
    assert twice == pytest.approx((y - PROTON) / 2 + PROTON)


def test_a_modified_terminus_goes_with_the_first_residue():
    assert residue_masses(parse_peptide("[Acetyl]-GA")) == pytest.approx([57.021464 + 42.010565, 71.037114])


@pytest.mark.parametrize(("text", "first"), [("GASPK", 0), ("[Acetyl]-GASPK", 1)])
def test_an_ion_is_told_on_both_sides_of_its_cleavage(text, first):
    peptide = parse_peptide(text)
    b, y = fragment_mz(residue_masses(peptide))
    one = spectrum({b[1]: 25.0, y[2]: 100.0}, peptide.mz(2))
    actual = shown(one, text)
    before, after = actual[:, : SIDE - 1], actual[:, SIDE : 2 * SIDE - 1]
    row = 1 + first  # of the first residue
    assert after[row + 1, 0] == pytest.approx(0.5)  # b_2, behind the second residue: root of a quarter
    assert before[row + 2, 0] == pytest.approx(0.5)
    assert after[row + 2, 1] == before[row + 3, 1] == 1  # y of the third cleavage, the base peak
    assert after[row + 1, KINDS] == after[row + 2, KINDS + 1] == 1
    assert np.count_nonzero(before[1:]) + np.count_nonzero(after[1:]) == 8


def test_whole_candidates():
    peptide = parse_peptide("GASPK")
    b, y = fragment_mz(residue_masses(peptide))
    one = spectrum({b[1]: 25.0, y[2]: 100.0, 999.0: 25.0}, peptide.mz(2))
    explained, seen, error, size, fits, length = shown(one, "GASPK")[0, -WHOLE:-2]
    assert explained == pytest.approx(1.5 / 2)
    assert seen == pytest.approx(2 / 8)
    assert error == pytest.approx(0, abs=1e-6)
    assert (size, fits, length) == pytest.approx((0, 1, 5 / 30), abs=1e-6)
    assert shown(replace(one, precursor_mz=one.precursor_mz * (1 + 60e-6)), "GASPK")[0, -WHOLE + 4] == 0


@pytest.mark.parametrize(("charge", "there"), [(2, False), (3, True)])
def test_fragments_of_two_charges_belong_to_precursors_of_three(charge, there):
    peptide = parse_peptide("GASPK")
    b, _ = fragment_mz(residue_masses(peptide), 2)
    actual = shown(spectrum({b[2]: 1.0, 900.0: 1.0}, peptide.mz(charge), charge), "GASPK")
    assert (actual[3, SIDE + 2] == 1) == there


@pytest.mark.parametrize("off", [15e-6, 25e-6])
def test_tolerance_is_relative(off):
    peptide = parse_peptide("GASPK")
    b, _ = fragment_mz(residue_masses(peptide))
    actual = shown(spectrum({b[2] * (1 + off): 1.0}, peptide.mz(2)), "GASPK")
    assert actual[3, SIDE] == (off < 20e-6)


def test_the_unit_of_intensity_and_no_peaks_at_all():
    peptide = parse_peptide("GASPK")
    b, y = fragment_mz(residue_masses(peptide))
    one, loud = ({b[1]: k, y[1]: 3 * k} for k in (1.0, 1e6))
    mz = peptide.mz(2)
    np.testing.assert_allclose(shown(spectrum(one, mz), "GASPK"), shown(spectrum(loud, mz), "GASPK"), rtol=1e-6)
    actual = shown(spectrum({}, mz), "GASPK")
    assert actual.shape == (6, CHANNELS)
    assert not actual[1:].any()


def test_likelihoods_are_those_of_the_graph_and_beside_the_best_of_the_list():
    from transect.apps.peptide.graph.likelihood import peptide_scores, tables
    from transect.apps.peptide.graph.peaks import strongest_peaks
    from transect.apps.peptide.graph.residues import codes_of

    right, wrong = parse_peptide("GASPVTLK"), parse_peptide("GASVPTLK")
    b, y = fragment_mz(residue_masses(right))
    one = spectrum(dict.fromkeys([*b[1:], *y], 50.0) | {444.4: 100.0}, right.mz(2))
    actual = evidence(one, [wrong, right], 20.0, 1, 20.0)
    row = np.array([codes_of(right)])
    expected = peptide_scores(row, right.mass, strongest_peaks(one, 20.0), 20.0, 20.0, tables(2))[0]
    assert actual[1, 0, -2] == pytest.approx(expected / 10, rel=1e-5)
    assert actual[1, 0, -1] == 0
    assert actual[0, 0, -1] == pytest.approx(actual[0, 0, -2] - actual[1, 0, -2])
    assert actual[0, 0, -1] < -0.1
    behind = 2 * SIDE - 1
    assert actual[1, 4, behind] == actual[1, 5, SIDE - 1] > 0  # GASP|VTLK is seen
    assert actual[0, 4, behind] < 0  # GASV|PTLK is not


def test_peaks_as_the_reference_processes_them(fixtures, shared_file):
    import torch
    from pyteomics import mgf

    fixture = torch.load(fixtures / "peptide" / "ranknovo_d64_l2.pt", weights_only=True)
    path = shared_file("data/peptide/casanovo/sample_preprocessed_spectra.mgf")
    config = PeaksConfig(count=300)
    for index, read in enumerate(mgf.read(str(path), use_index=False)):
        if index == len(fixture["spectra"]):
            break
        params = read["params"]
        one = Spectrum(
            index,
            "",
            "",
            params["pepmass"][0],
            int(params["charge"][0]),
            0.0,
            read["m/z array"],
            read["intensity array"].astype(np.float32),
        )
        recorded = fixture["spectra"][index]
        recorded = recorded[recorded.sum(1) != 0].numpy()
        actual = model_peaks(one, config)
        assert actual.shape == recorded.shape
        np.testing.assert_allclose(actual, recorded, rtol=0, atol=1e-6)


def test_only_the_most_intense_peaks_are_read_and_never_the_precursor():
    one = spectrum({20.0: 9.0, 200.0: 1.0, 300.0: 4.0, 400.5: 50.0, 500.0: 16.0}, 400.0, 2)
    actual = model_peaks(one, PeaksConfig(count=2))
    assert actual[:, 0].tolist() == [300.0, 500.0]
    assert actual[:, 1] == pytest.approx(np.array([2, 4]) / 20**0.5)
    assert model_peaks(spectrum({400.5: 1.0}, 400.0, 2), PeaksConfig()).tolist() == [[0, 1]]
    assert model_peaks(spectrum({}, 400.0, 2), PeaksConfig()).tolist() == [[0, 1]]
