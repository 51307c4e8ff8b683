"""Peptide and residue mass deviations between two peptides, the regression targets of the reranker."""

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled

GAP_COST = 51.4238
"""Gap penalty and unit of deviations, Da: the mean difference of two residues of the reference's vocabulary."""

Masses: TypeAlias = Sequence[float] | NDArray[np.float64]
"""Masses of the elements of a peptide, as `Peptide.masses`, Da."""


def peptide_mass_deviation(query_masses: Masses, target_masses: Masses) -> float:
    """The peptide mass deviation (PMD) of two peptides, in units of `GAP_COST`.

    The edit distance in which a gap costs 1 and a substitution |m_q - m_t| / GAP_COST (RankNovo, ICML 2025; `TMmass` of
    its code). Symmetric, and 0 for peptides of equal residue masses; permutations of residues have a distance
    although they have the same mass.
    """
    return _edit_distance(np.array(query_masses, np.float64), np.array(target_masses, np.float64))


def residue_mass_deviations(query_masses: Masses, target_masses: Masses) -> NDArray[np.float64]:
    """The residue mass deviations (RMD) of a query's elements, `(elements,)`, signed, in units of `GAP_COST`.

    Each is the prefix mass of the query that includes the element, minus the nearest prefix mass of the target, the
    first of equally near ones (RankNovo, ICML 2025; `Greedymass` of its code). The empty prefix is not considered.

    Raises:
        ValueError: the target is empty.
    """
    if not len(target_masses):
        raise ValueError("target_masses: found none, expected one or more")
    return _from_nearest_prefix(np.array(query_masses, np.float64), np.array(target_masses, np.float64))


def mass_deviations(
    queries: Sequence[Masses], targets: Sequence[Masses]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """PMD `(pairs,)` and RMD of each pair of a query and its target, as by the two functions above.

    Raises:
        ValueError: the numbers of queries and targets differ, or a target is empty.
    """
    if len(queries) != len(targets):
        raise ValueError(f"targets: found {len(targets)}, expected {len(queries)}, one for each query")
    if not all(map(len, targets)):
        raise ValueError("targets: found one without masses, expected one or more in each")
    query, query_ends = _packed(queries)
    target, target_ends = _packed(targets)
    peptides, residues = np.empty(len(queries)), np.empty(len(query))
    _fill(query, query_ends, target, target_ends, peptides, residues)
    return peptides, [residues[start:end] for start, end in pairwise([0, *query_ends.tolist()])]


def _packed(peptides: Sequence[Masses]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The concatenated masses of all peptides, and the end index of each."""
    masses = np.fromiter(chain.from_iterable(peptides), np.float64)
    return masses, np.cumsum([len(peptide) for peptide in peptides], dtype=np.int64)


@compiled
def _edit_distance(query: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    query, target = query / GAP_COST, target / GAP_COST
    row = np.arange(len(target) + 1.0)
    for i in range(len(query)):
        diagonal, row[0] = row[0], i + 1.0
        for j in range(len(target)):
            substituted = diagonal + abs(query[i] - target[j])
            diagonal = row[j + 1]
            row[j + 1] = min(diagonal + 1, row[j] + 1, substituted)
    return row[-1]


@compiled
def _from_nearest_prefix(query: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    # Linear search: prefix masses need not ascend, since an N-terminal modification may have a negative mass, and there
    # are few of them.
    deviations, prefixes = np.cumsum(query / GAP_COST), np.cumsum(target / GAP_COST)
    for i in range(len(query)):
        mass = deviations[i]
        deviations[i] -= prefixes[0]
        for prefix in prefixes[1:]:
            if abs(mass - prefix) < abs(deviations[i]):
                deviations[i] = mass - prefix
    return deviations


@compiled
def _fill(
    query: NDArray[np.float64],
    query_ends: NDArray[np.int64],
    target: NDArray[np.float64],
    target_ends: NDArray[np.int64],
    peptides: NDArray[np.float64],
    residues: NDArray[np.float64],
) -> None:
    query_start = target_start = 0
    for pair in range(len(peptides)):
        query_masses = query[query_start : query_ends[pair]]
        target_masses = target[target_start : target_ends[pair]]
        peptides[pair] = _edit_distance(query_masses, target_masses)
        residues[query_start : query_ends[pair]] = _from_nearest_prefix(query_masses, target_masses)
        query_start, target_start = query_ends[pair], target_ends[pair]
