import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.apps.peptide import compiled, distances
from transect.apps.peptide.distances import GAP_COST, mass_deviations, peptide_mass_deviation, residue_mass_deviations
from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS, REFERENCE_MASS
from transect.data_adapters.peptide.proforma import parse_peptide

MASSES = sorted({*AMINO_ACID_MASS.values(), *REFERENCE_MASS.values()})
PEPTIDE = st.lists(st.sampled_from(MASSES), min_size=1, max_size=25)


def naive_edit_distance(query: list[float], target: list[float]) -> float:
    table = np.zeros((len(query) + 1, len(target) + 1))
    table[:, 0], table[0] = np.arange(len(query) + 1), np.arange(len(target) + 1)
    for i, q in enumerate(query):
        for j, t in enumerate(target):
            table[i + 1, j + 1] = min(table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + abs(q - t) / GAP_COST)
    return table[-1, -1]


def naive_residues(query: list[float], target: list[float]) -> np.ndarray:
    """By numpy's argmin, which takes the first of equals."""
    one, other = np.cumsum(np.array(query) / GAP_COST), np.cumsum(np.array(target) / GAP_COST)
    return one - other[np.abs(one[:, None] - other).argmin(1)]


def test_every_pair_of_the_reference_table(fixtures: Path) -> None:
    with (fixtures / "peptide" / "pmd_rmd.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    queries, targets = ([parse_peptide(row[side]).masses for row in rows] for side in ("query", "target"))
    together, residues = mass_deviations(queries, targets)
    assert len(rows) >= 30
    for row, query, target, both, each in zip(rows, queries, targets, together, residues, strict=True):
        assert abs(peptide_mass_deviation(query, target) - float(row["pmd_units"])) < 1e-8
        assert abs(both * GAP_COST - float(row["pmd_da"])) < 1e-6
        expected = np.array(row["rmd_units"].split(), float)
        np.testing.assert_allclose(residue_mass_deviations(query, target), expected, rtol=0, atol=1e-8)
        np.testing.assert_allclose(each, expected, rtol=0, atol=1e-8)


@given(PEPTIDE, PEPTIDE)
@settings(max_examples=150, deadline=None)
def test_is_what_plain_loops_find(query: list[float], target: list[float]) -> None:
    assert peptide_mass_deviation(query, target) == pytest.approx(naive_edit_distance(query, target), abs=1e-12)
    np.testing.assert_allclose(
        residue_mass_deviations(query, target), naive_residues(query, target), rtol=0, atol=1e-12
    )


@given(PEPTIDE, PEPTIDE)
@settings(max_examples=60, deadline=None)
def test_is_a_distance_between_peptides(one: list[float], other: list[float]) -> None:
    assert peptide_mass_deviation(one, other) == pytest.approx(peptide_mass_deviation(other, one), abs=1e-12)
    assert peptide_mass_deviation(one, one) == 0
    assert not residue_mass_deviations(one, one).any()
    assert peptide_mass_deviation(one, other) <= max(len(one), len(other)) * 2


@given(st.lists(st.tuples(PEPTIDE, PEPTIDE), max_size=6))
@settings(max_examples=60, deadline=None)
def test_many_pairs_are_each_like_one_alone(pairs: list[tuple[list[float], list[float]]]) -> None:
    peptides, residues = mass_deviations([query for query, _ in pairs], [target for _, target in pairs])
    assert len(peptides) == len(residues) == len(pairs)
    for (query, target), whole, each in zip(pairs, peptides, residues, strict=True):
        assert whole == peptide_mass_deviation(query, target)
        np.testing.assert_array_equal(each, residue_mass_deviations(query, target))


def test_a_gap_costs_one_unit_and_a_substitution_never_more_than_two() -> None:
    serine, tryptophan, glycine = (AMINO_ACID_MASS[letter] for letter in "SWG")
    assert peptide_mass_deviation([serine, tryptophan], [serine]) == 1
    assert peptide_mass_deviation([serine], [serine, tryptophan, glycine]) == 2
    assert peptide_mass_deviation([], [serine]) == 1
    assert peptide_mass_deviation([tryptophan], [glycine]) == 2  # rather than 129 / 51.4
    assert peptide_mass_deviation([113.084064], [113.084064 + GAP_COST / 4]) == pytest.approx(0.25, abs=1e-12)


def test_the_first_of_two_prefixes_as_near_is_taken_and_never_the_empty_one() -> None:
    # 2 units lie between prefixes of 1 and 3 units; all of these are exact in binary.
    np.testing.assert_array_equal(residue_mass_deviations([2 * GAP_COST], [GAP_COST, 2 * GAP_COST]), [1.0])
    np.testing.assert_array_equal(residue_mass_deviations([0.25 * GAP_COST], [4 * GAP_COST]), [-3.75])


def test_masses_that_do_not_ascend() -> None:
    """A lost ammonia in front is lighter than nothing, so that the second prefix may be the nearest."""
    query, target = [-17.026549, 99.068414], [99.068414, -17.026549, 50.0]
    np.testing.assert_allclose(residue_mass_deviations(query, target), naive_residues(query, target), atol=1e-12)
    assert residue_mass_deviations(query, target)[1] == pytest.approx(0, abs=1e-12)


def test_arrays_are_taken_like_lists_and_left_as_they_are() -> None:
    query = np.array([57.021464, 71.037114, 87.032028])[::-1]
    query.flags.writeable = False
    before = query.copy()
    assert peptide_mass_deviation(query, [87.032028]) == 2
    np.testing.assert_array_equal(residue_mass_deviations(query, [87.032028, 71.037114, 57.021464]), np.zeros(3))
    np.testing.assert_array_equal(query, before)


def test_what_has_no_deviation_is_refused() -> None:
    with pytest.raises(ValueError, match="target_masses"):
        residue_mass_deviations([57.0], [])
    with pytest.raises(ValueError, match="without masses"):
        mass_deviations([[57.0], [57.0]], [[57.0], []])
    with pytest.raises(ValueError, match="found 1, expected 2"):
        mass_deviations([[57.0], [57.0]], [[57.0]])


def test_works_where_no_folder_can_be_written_to(tmp_path: Path) -> None:
    """Files stand where numba would make its folders, which stops even those whom no permission does."""
    package = tmp_path / "copied"
    package.mkdir()
    for module in (compiled, distances):
        source = Path(module.__file__)
        (package / source.name).write_text(source.read_text().replace("transect.apps.peptide", "copied"))
    (package / "__pycache__").touch()
    (tmp_path / "home").touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG"))}
    script = "from copied import distances as d; print(d.__file__, d.peptide_mass_deviation([57.0], [57.0, 71.0]))"
    actual = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment | {"HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert actual.stdout.split() == [str(package / "distances.py"), "1.0"]
