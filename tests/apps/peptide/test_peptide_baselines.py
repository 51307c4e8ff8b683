import json
import math

import numpy as np
import pytest
from pyteomics import mgf

from transect.apps.peptide import baselines
from transect.apps.peptide.baselines import choices
from transect.apps.peptide.fragments import explained, matched_fragments
from transect.data_adapters.peptide.peptide import PROTON, WATER
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Spectrum

P, E, K = 97.052764, 129.042593, 128.094963


def candidate(text: str, *tools: str, ranks: tuple[int, ...] = ()) -> Candidate:
    return Candidate(parse_peptide(text), tools, (math.nan,) * len(tools), ranks or (1,) * len(tools))


def candidate_set(
    *candidates: Candidate, mz: tuple[float, ...] = (), intensity: tuple[float, ...] = (), of: str = "PEK",
    charge: int = 2, label: str = "",
) -> CandidateSet:  # fmt: skip
    """A spectrum with the precursor of the peptide `of`."""
    precursor = parse_peptide(of).mz(charge)
    peaks = np.array(mz), np.array(intensity or (1.0,) * len(mz), np.float32)
    spectrum = Spectrum(0, "", "", precursor, charge, math.nan, *peaks, parse_peptide(label) if label else None)
    return CandidateSet(spectrum, candidates)


def test_nothing_is_chosen_from_nothing() -> None:
    for name, choose in choices(("a",)).items():
        assert choose(candidate_set(label="PEK")) is None, name


def test_tools_choose_what_they_put_first() -> None:
    one = candidate_set(
        candidate("PEK", "a", "b", ranks=(2, 1)), candidate("EPK", "a"), candidate("KPE", "c", ranks=(2,))
    )
    chosen = {name: choose(one) for name, choose in choices(("a", "b", "c", "d")).items()}
    assert [chosen[tool] for tool in "abcd"] == [1, 0, None, None]


def test_names_can_stand_in_front_of_a_metric_and_never_hide_another() -> None:
    named = choices(("π-HelixNovo 2", "pepnet_v1", "pepnet v1", "vote", "***"))
    assert list(named) == [*baselines.UNTRAINED, "π-helixnovo-2", "pepnet-v1", "pepnet-v1-tool", "vote-tool", "tool"]
    assert named["vote"] is baselines.vote


def test_vote_counts_first_places_then_any_then_order() -> None:
    first = candidate("PEK", "a"), candidate("EPK", "b", "c"), candidate("KPE", "d", "e")
    assert baselines.vote(candidate_set(*first)) == 1
    places = candidate("PEK", "a", "b", ranks=(2, 3)), candidate("EPK", "a"), candidate("KPE", "b", "c", ranks=(1, 2))
    assert baselines.vote(candidate_set(*places)) == 2


def test_closest_precursor_is_by_mass_and_its_ties_by_order() -> None:
    assert baselines.closest_precursor(candidate_set(candidate("PEQ"), candidate("PEK"), candidate("PEKK"))) == 1
    # Their masses are equal but for the rounding of sums in another order.
    permuted = ("SAMPLERWGK", "KGWRELPMAS", "GWSAMPKLER")
    for order in (permuted, permuted[::-1]):
        assert baselines.closest_precursor(candidate_set(*map(candidate, order), of="SAMPLERWGK")) == 0


def test_matched_ions_by_hand() -> None:
    """b1 P, b2 PE, y1 K, y2 EK of PEK."""
    b, y = np.cumsum([P, E]) + PROTON, np.cumsum([K, E]) + WATER + PROTON
    spectrum = candidate_set(mz=(b[0], 120.0, y[0] * (1 + 15e-6), b[1] * (1 - 25e-6), y[1])).spectrum
    actual, nearest = matched_fragments(spectrum, parse_peptide("PEK"))
    np.testing.assert_array_equal(actual, [[[True, False], [True, True]]])  # b2 is 25 ppm away; y2 comes before y1
    np.testing.assert_array_equal(nearest, [[[0, 3], [4, 2]]])
    assert explained(spectrum, parse_peptide("PEK")) == pytest.approx(3 / 5)


def test_fragments_of_two_charges_count_from_three_charges_of_the_precursor_on() -> None:
    twice = ((P + E) / 2 + PROTON,)
    for charge, seen in ((2, 0), (3, 1)):
        actual, _ = matched_fragments(candidate_set(mz=twice, charge=charge).spectrum, parse_peptide("PEK"))
        assert actual.sum() == seen
        assert len(actual) == max(charge - 1, 1)


def test_a_modified_terminus_is_part_of_the_first_residue() -> None:
    mz = (42.010565 + P + PROTON,)
    actual, _ = matched_fragments(candidate_set(mz=mz).spectrum, parse_peptide("[Acetyl]-PEK"))
    np.testing.assert_array_equal(actual[0], [[True, False], [False, False]])


@pytest.mark.parametrize("mz", [(), (50.0,), (5000.0,)])
def test_spectra_without_a_fragment(mz: tuple[float, ...]) -> None:
    actual, nearest = matched_fragments(candidate_set(mz=mz).spectrum, parse_peptide("PEK"))
    assert actual.shape == nearest.shape == (1, 2, 2)
    assert not actual.any()
    assert explained(candidate_set(mz=mz).spectrum, parse_peptide("PEK")) == 0


def test_many_weak_ions_beat_one_by_number_and_lose_by_intensity() -> None:
    weak = (P + PROTON, K + WATER + PROTON)  # b1 and y1 of PEK
    strong = (E + PROTON,)  # b1 of EPK, whose y1 is that of PEK
    spectrum = candidate_set(candidate("EPK"), candidate("PEK"), mz=(*sorted((weak[0], strong[0])), weak[1]))
    assert baselines.matched_ions(spectrum) == 0  # as many: the first
    one = candidate_set(candidate("EKP"), candidate("PEK"), mz=(weak[0], strong[0], weak[1]), intensity=(1, 9, 1))
    assert baselines.matched_ions(one) == 1
    assert baselines.matched_intensity(one) == 0


def test_oracle_takes_what_is_closest_to_the_label() -> None:
    close = candidate("PEPTIDEQ"), candidate("PEPTLDEK"), candidate("PEPTIDEK"), candidate("GG")
    assert baselines.oracle(candidate_set(*close, label="PEPTIDEK")) == 2
    assert baselines.oracle(candidate_set(*close[:2], label="PEPTIDEK")) == 1
    assert baselines.oracle(candidate_set(close[3], close[0], label="PEPTIDEK")) == 1
    assert baselines.oracle(candidate_set(*close)) is None


def test_matched_ions_find_the_label_of_most_real_spectra(shared_file) -> None:
    listed_file = shared_file("data/peptide/casanovo/cands_real128.json")
    spectra_file = shared_file("data/peptide/casanovo/sample_preprocessed_spectra.mgf")
    listed = {row["index"]: row["candidates"] for row in json.loads(listed_file.read_text())}
    right = {name: 0 for name in choices(())}
    read = 0
    with mgf.read(str(spectra_file), use_index=False) as spectra:
        for index, one in enumerate(spectra):
            precursor, charge = one["params"]["pepmass"][0], int(one["params"]["charge"][0])
            peaks = one["m/z array"], one["intensity array"].astype(np.float32)
            label = parse_peptide(one["params"]["seq"])
            candidates = tuple(map(candidate, dict.fromkeys(listed[index])))
            whole = CandidateSet(Spectrum(index, "", "", precursor, charge, math.nan, *peaks, label), candidates)
            read += 1
            for name, choose in choices(()).items():
                right[name] += candidates[choose(whole)].peptide.merged == label.merged
    assert read == 128
    assert right["oracle"] == max(right.values())
    assert right["matched-ions"] > right["closest-precursor"]
    assert right["matched-ions"] > right["matched-intensity"] > 64
