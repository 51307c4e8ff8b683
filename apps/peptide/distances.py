"""How far a peptide is from another: peptide and residue mass deviations, which a reranker learns to predict."""

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled

GAP_COST = 51.4238
"""The mean difference between two residues of the reference's vocabulary, Da: what a gap costs, and the unit."""

Masses: TypeAlias = Sequence[float] | NDArray[np.float64]
"""Of the elements of a peptide, as `Peptide.masses`, Da."""


def peptide_mass_deviation(query_masses: Masses, target_masses: Masses) -> float:
    """The peptide mass deviation (PMD) of two peptides, in units of `GAP_COST`.

    The edit distance in which a gap costs 1 and a substitution |m_q - m_t| / GAP_COST (RankNovo, ICML 2025; `TMmass` of
    its code). Symmetric, and 0 where no spectrum tells two peptides apart; a permutation of a few residues costs
    although it leaves the mass as it is.
    """
    return _edit_distance(np.array(query_masses, np.float64), np.array(target_masses, np.float64))


def residue_mass_deviations(query_masses: Masses, target_masses: Masses) -> NDArray[np.float64]:
    """The residue mass deviations (RMD) of a query's elements, `(elements,)`, signed, in units of `GAP_COST`.

    Each is the mass of the query up to and with the element less that prefix mass of the target that is nearest to it,
    the first of equals (RankNovo, ICML 2025; `Greedymass` of its code). The empty prefix is none to be near to.

    Raises:
        ValueError: the target is empty.
    """
    if not len(target_masses):
        raise ValueError("target_masses: found none, expected one or more")
    return _from_nearest_prefix(np.array(query_masses, np.float64), np.array(target_masses, np.float64))


def mass_deviations(
    queries: Sequence[Masses], targets: Sequence[Masses]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """PMD `(pairs,)` and RMD of each pair of a query and its target, as the two functions above have them.

    Raises:
        ValueError: there are not as many targets as queries, or one is empty.
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
    """The masses of all peptides one after the other, and where each peptide ends."""
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
    # All prefixes are tried for each element: a modified N-terminus may be lighter than nothing, so that they need not
    # ascend, and there are too few of them for anything cleverer to be worth it.
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
        one = query[query_start : query_ends[pair]]
        other = target[target_start : target_ends[pair]]
        peptides[pair] = _edit_distance(one, other)
        residues[query_start : query_ends[pair]] = _from_nearest_prefix(one, other)
        query_start, target_start = query_ends[pair], target_ends[pair]
