"""De novo candidates, and the spectrum graphs and paths that they come from."""

import itertools

import numpy as np
import pytest

from transect.apps.peptide.fragments import fragment_mz, residue_masses
from transect.apps.peptide.graph.build import Graph, build_graph, spectrum_graph
from transect.apps.peptide.graph.count import FEW, Counts
from transect.apps.peptide.graph.decode import best_paths
from transect.apps.peptide.graph.likelihood import claim, tables
from transect.apps.peptide.graph.peaks import KEPT, strongest_peaks
from transect.apps.peptide.graph.propose import propose
from transect.apps.peptide.graph.residues import ELEMENT_MASS, ELEMENTS, RESIDUES, codes_of, peptide_of
from transect.data_adapters.peptide.peptide import CARBON_13, Peptide
from transect.data_adapters.peptide.spectra.read import read_spectra
from transect.data_adapters.peptide.spectrum import Spectrum

PEPTIDES = (
    "VKEDPDGEHAR",
    "SAMPLERK",
    "GGNAGQWTLK",
    "LFGAVEDLK",
    "WYHEENTK",
    "PEPTLDESK",
    ("C[Carbamidomethyl]", *"GHTNNLRPK"),
    (*"HQGV", "M[Oxidation]", *"VGK"),
    ("[Acetyl]-", *"ADTLSER"),
    ("[Ammonia-loss]-", *"QVLDAFK"),
)
NO_FRAGMENTS = np.empty(0)


def peptide(parts: str | tuple[str, ...]) -> Peptide:
    codes = codes_of(Peptide(tuple(parts), (0.0,) * len(parts)))
    assert codes
    return peptide_of(np.array(codes))


def spectrum(mz, intensity, precursor_mz: float, charge: int = 2) -> Spectrum:
    mz, intensity = np.asarray(mz, np.float64), np.asarray(intensity, np.float32)
    return Spectrum(0, "1", "", precursor_mz, charge, np.nan, mz, intensity)


def fragments(true: Peptide, charge: int = 2, isotope: int = 0) -> Spectrum:
    """All b and y ions, the y ions three times as high."""
    b, y = fragment_mz(residue_masses(true))
    mz, intensity = np.concatenate([b, y]), np.repeat([1.0, 3.0], len(b))
    order = np.argsort(mz)
    return spectrum(mz[order], intensity[order], true.mz(charge) + isotope * CARBON_13 / charge, charge)


@pytest.fixture(scope="module")
def real(shared_file) -> list[Spectrum]:
    path = shared_file("data/peptide/casanovo/sample_preprocessed_spectra.mgf")
    actual = list(read_spectra(str(path)))
    assert len(actual) == 128
    return actual


@pytest.fixture(scope="module")
def real_proposals(real: list[Spectrum]) -> list[list[tuple[Peptide, float]]]:
    return [propose(one) for one in real]


@pytest.mark.parametrize("parts", PEPTIDES)
def test_complete_fragments_are_sequenced_exactly(parts):
    true = peptide(parts)
    assert propose(fragments(true))[0][0] == true


@pytest.mark.parametrize("parts", PEPTIDES[:3])
def test_precursor_picked_one_carbon_13_too_heavy(parts):
    true = peptide(parts)
    assert propose(fragments(true, isotope=1))[0][0] == true
    assert true not in [actual for actual, _ in propose(fragments(true, isotope=1), isotopes=0)]


def test_fragments_of_two_charges_of_a_heavier_precursor():
    true = peptide("LSDGVAVLK")
    b, y = fragment_mz(residue_masses(true), charge=2)
    actual = propose(spectrum(np.sort(np.concatenate([b, y])), np.ones(2 * len(b)), true.mz(3), 3))
    assert actual[0][0] == true


def test_a_quarter_of_real_spectra_at_least(real, real_proposals):
    first = [
        bool(actual) and actual[0][0].merged == one.label.merged
        for one, actual in zip(real, real_proposals, strict=True)
    ]
    among = [
        one.label.merged in [p.merged for p, _ in actual] for one, actual in zip(real, real_proposals, strict=True)
    ]
    assert np.mean(first) >= 0.25
    assert np.mean(among) >= 0.40


def test_proposals_fit_are_distinct_and_best_first(real, real_proposals):
    assert sum(map(len, real_proposals)) > 1000
    for one, actual in zip(real, real_proposals, strict=True):
        assert all(abs(one.mass_error_ppm(candidate, 1)) <= 20.0 for candidate, _ in actual)
        assert len({candidate.proforma for candidate, _ in actual}) == len(actual) <= 10
        scores = [score for _, score in actual]
        assert scores == sorted(scores, reverse=True)


def test_tight_precursor_tolerance_is_kept(real):
    for one in real[:20]:
        for candidate, _ in propose(one, precursor_tolerance_ppm=3.0, isotopes=0):
            assert abs(one.mass_error_ppm(candidate)) <= 3.0


def test_order_and_unit_of_peaks_do_not_matter(real, real_proposals):
    rng = np.random.default_rng(0)
    for one, actual in zip(real[:20], real_proposals[:20], strict=True):
        order = rng.permutation(len(one.mz))
        shuffled = spectrum(one.mz[order], one.intensity[order] * np.float32(4096), one.precursor_mz, one.charge)
        rooted = spectrum(one.mz, np.sqrt(one.intensity.astype(float)), one.precursor_mz, one.charge)
        assert propose(shuffled) == actual
        assert [candidate for candidate, _ in propose(rooted)] == [candidate for candidate, _ in actual]


def test_fewer_are_the_first_of_more(real, real_proposals):
    assert all(propose(one, count=3) == actual[:3] for one, actual in zip(real[:20], real_proposals[:20], strict=True))
    assert propose(real[0], count=0) == []


def hand_made(codes, ends, gain, score) -> Graph:
    """A graph whose nodes have the masses of the paths to them."""
    codes, ends = np.array(codes), np.array(ends).T
    length = ELEMENT_MASS[codes[:, 0]] + np.where(codes[:, 1] >= 0, ELEMENT_MASS[codes[:, 1]], 0)
    mass = np.zeros(len(score))
    for (source, target), step in zip(ends.T, length, strict=True):
        mass[target] = mass[source] + step
    levels = np.zeros((len(score), 9), np.int64)
    tolerance = np.full(len(score), 0.01)
    return Graph(mass, levels, np.array(score), tolerance, ends, codes, length, np.array(gain))


def test_best_paths_of_a_graph_drawn_by_hand():
    g, a, s, q = (RESIDUES.index(letter) for letter in "GASQ")
    # 0 -G- 1 -A- 2 -S- 3, Q or GA or AG past node 1, AS or SA past node 2.
    codes = [[g, -1], [q, -1], [g, a], [a, g], [a, -1], [a, s], [s, a], [s, -1]]
    ends = [[0, 1], [0, 2], [0, 2], [0, 2], [1, 2], [1, 3], [1, 3], [2, 3]]
    gain = [-1.0, -2.0, -4.0, -5.0, -1.0, -3.0, -3.5, -0.5]
    graph = hand_made(codes, ends, gain, [0.0, -1.0, 5.0, 0.0])
    rows, scores = best_paths(graph, 9)
    actual = ["".join(RESIDUES[code] for code in row if code >= 0) for row in rows]
    # GAS goes by node 1 and 2 for 1.5, past node 1 for 0.5, past node 2 for -5: once, for its best.
    assert actual == ["QS", "GAS", "AGS", "GSA"]
    np.testing.assert_allclose(scores, [2.5, 1.5, -0.5, -5.5])
    assert len(best_paths(graph, 2)[1]) == 2


def test_errors_along_a_path_do_not_add_up():
    g = RESIDUES.index("G")
    graph = hand_made([[g, -1]] * 3, [[0, 1], [1, 2], [2, 3]], [0.0] * 3, [0.0] * 4)
    assert len(best_paths(graph, 1)[1]) == 1
    drifted = graph._replace(mass=graph.mass + np.arange(4) * 0.006)
    assert len(best_paths(drifted, 1)[1]) == 0


def test_best_paths_are_those_of_trying_all(real):
    graph = build_graph(real[1], strongest_peaks(real[1], 20.0), 20.0, 20.0, 0)
    # The strongest nodes alone, so that all paths can be tried.
    final = len(graph.mass) - 1
    kept = np.union1d(np.argsort(-graph.score)[:22], [0, final])
    inside = np.isin(graph.ends, kept).all(0)
    small = graph._replace(
        ends=graph.ends[:, inside], codes=graph.codes[inside], length=graph.length[inside], gain=graph.gain[inside]
    )
    best: dict[tuple[int, ...], float] = {}

    def follow(node: int, mass: float, score: float, codes: tuple[int, ...]) -> None:
        if node == final:
            best[codes] = max(score, best.get(codes, -np.inf))
        for edge in np.flatnonzero(small.ends[0] == node):
            there, so_far = small.ends[1, edge], mass + small.length[edge]
            if abs(so_far - small.mass[there]) <= small.tolerance[there]:
                step = tuple(int(code) for code in small.codes[edge] if code >= 0)
                follow(there, so_far, score + small.gain[edge] + small.score[there], codes + step)

    follow(0, 0.0, 0.0, ())
    assert len(best) > 30
    rows, scores = best_paths(small, 30)
    np.testing.assert_allclose(scores, sorted(best.values(), reverse=True)[:30])
    for row, score in zip(rows, scores, strict=True):
        assert best[tuple(int(code) for code in row if code >= 0)] == pytest.approx(score)


def test_graph_for_geometric(real):
    true = peptide("VKEDPDGEHAR")
    data = spectrum_graph(fragments(true))
    mass = data.mass.numpy()
    assert mass.dtype == np.float64
    assert mass[0] == 0
    assert (np.diff(mass) > 0).all()
    wanted = true.prefix_masses()
    place = np.abs(wanted[:, None] - mass).argmin(1)
    np.testing.assert_allclose(mass[place], wanted, atol=1e-5)
    # Both ions of each cleavage are there, and true edges join all that follow each other.
    assert (data.x[place[:-1], 9] == 1).all()
    edges = {tuple(edge) for edge in data.edge_index.T.tolist()}
    assert set(itertools.pairwise([0, *place.tolist()])) <= edges
    source, target = data.edge_index.numpy()
    length = ELEMENT_MASS[data.residues[:, 0]] + np.where(
        data.residues[:, 1] >= 0, ELEMENT_MASS[data.residues[:, 1]], 0
    )
    assert (target > source).all()
    np.testing.assert_allclose(length - (mass[target] - mass[source]), data.edge_attr[:, 0], atol=1e-6)
    assert spectrum_graph(real[0]).validate(raise_on_error=True)


def test_peak_of_two_ions_counts_once():
    actual = np.full((2, 9), -1)
    actual[0, 0], actual[1, 1], actual[1, 4], actual[0, 1] = 0, 0, 0, 1
    levels = np.empty_like(actual)
    claim(actual, 2, np.array([5, 3]), levels)
    assert (levels[1, 1], levels[0, 0], levels[1, 4], levels[0, 1]) == (5, 0, -1, 3)


@pytest.mark.parametrize(
    "damaged",
    [
        spectrum(NO_FRAGMENTS, NO_FRAGMENTS, 500.0),
        spectrum([175.119], [1.0], 500.0),
        spectrum([175.119, np.nan, np.inf, -5.0], [np.nan, 1.0, 1.0, 1.0], 500.0),
        spectrum([175.119, 300.1], [1.0, np.inf], 500.0),
        spectrum([175.119, 300.1], [0.0, -1.0], 500.0),
        spectrum([175.119, 300.1], [1.0, 1.0], 1e9),
        spectrum([175.119, 300.1], [1.0, 1.0], np.nan),
        spectrum([175.119, 300.1], [1.0, 1.0], np.inf),
        spectrum([175.119, 300.1], [1.0, 1.0], 1.0),
        spectrum([60.0], [1.0], 65.0),
        spectrum([175.119, 300.1], [1.0, 1.0], 500.0, charge=0),
        spectrum([175.119, 300.1], [1.0, 1.0], 500.0, charge=200),
        spectrum([200.0] * 50, [1.0] * 50, 500.0),
        spectrum([75.0, 93.0], [1.0, 1.0], 111.032029 + 18.010565 + 1.007276, charge=1),
    ],
)
def test_damaged_spectra(damaged):
    for candidate, score in propose(damaged):
        assert abs(damaged.mass_error_ppm(candidate, 1)) <= 20.0
        assert np.isfinite(score)
    data = spectrum_graph(damaged)
    assert data.num_nodes == len(data.mass) < 200


def test_hundred_thousand_peaks():
    true, rng = peptide("VKEDPDGEHAR"), np.random.default_rng(0)
    clean = fragments(true)
    mz = np.concatenate([clean.mz, rng.uniform(50, 1300, 100_000)])
    intensity = np.concatenate([clean.intensity, rng.uniform(0, 1, 100_000)])
    crowded = spectrum(mz, intensity, clean.precursor_mz)
    assert len(strongest_peaks(crowded, 20.0).mz) <= KEPT
    assert spectrum_graph(crowded).num_nodes < 4 * KEPT
    assert len(propose(crowded)) == 10


def test_peaks_without_a_number_and_precursors_beyond_peptides_are_left_out():
    odd = spectrum([175.119, 300.1, np.nan, 320.2], [1.0, np.inf, 1.0, np.nan], 500.0)
    assert strongest_peaks(odd, 20.0).mz.tolist() == [175.119]
    assert propose(spectrum([175.119, 300.1], [1.0, 1.0], 1e9)) == []
    assert spectrum_graph(spectrum([175.119, 300.1], [1.0, 1.0], 1e9)).num_nodes == 0


def test_isotopes_and_the_precursor_are_no_peaks():
    mz, intensity = [300.0, 300.0 + CARBON_13, 400.0, 400.0 + CARBON_13, 500.0], [2.0, 1.0, 1.0, 2.0, 9.0]
    kept = strongest_peaks(spectrum(mz, intensity, 500.0), 20.0)
    np.testing.assert_allclose(kept.mz, [300.0, 400.0, 400.0 + CARBON_13])


def test_codes_are_those_of_the_peptide():
    for parts in PEPTIDES:
        assert peptide(parts).proforma == "".join(parts)
    isoleucine = Peptide(("I", "N[Deamidated]"), (113.084064, 115.026943))
    assert peptide_of(np.array(codes_of(isoleucine))).sequence == "LD"
    assert codes_of(Peptide(("S[Phospho]", "K"), (166.998, 128.094963))) is None


def test_stored_tables_tell_how_often_ions_are_missing(shared_file):
    table, middle = tables(2), list[bool]()
    last: list[str] = []
    for one in read_spectra(str(shared_file("data/peptide/simulated/mouse_ms2pip_val.mgf.gz"))):
        masses = residue_masses(one.label)
        prefix, (_, y) = np.cumsum(masses)[:-1], fragment_mz(masses)
        near = (np.abs(one.mz / y[:, None] - 1) <= 20e-6).any(1)
        inside = (prefix > masses.sum() / 3) & (prefix < masses.sum() * 2 / 3)
        inside &= (prefix > 187) & (masses.sum() - prefix > 187)
        middle.extend(~near[inside])
        last.append(one.label.sequence[-1])
    # That noise has no ion is nearly certain, so that the ratio is the probability that a cleavage has none.
    assert np.exp(table.y[2, 0]) == pytest.approx(np.mean(middle), abs=0.03)
    for letter in "KR":
        assert np.exp(table.last[RESIDUES.index(letter)]) == pytest.approx(last.count(letter) / len(last), abs=0.06)
    assert (np.diff(table.y[1:], axis=1) > 0).all()


def test_counting_finds_what_spectra_were_made_of():
    counts = Counts()
    for parts in PEPTIDES[:6]:
        for _ in range(20):
            counts.add(fragments(peptide(parts)), codes_of(peptide(parts)))
    actual = counts.tables()
    expected = (100 + FEW) / (120 + FEW * len(ELEMENTS))
    assert np.exp(actual["last"])[RESIDUES.index("K")] == pytest.approx(expected, abs=1e-3)
    # Each cleavage has both ions, save the few that lie on a peak counted for another.
    assert np.array(actual["b"])[1:4, 0].max() < np.log(0.1)
    assert np.array(actual["y"])[1:4, 0].max() < np.log(0.1)
