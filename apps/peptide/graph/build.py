"""Build a spectrum graph: nodes are prefix masses, edges are one or two residues."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.apps.peptide.graph.likelihood import (
    Tables,
    cleavage_peaks,
    cleavage_scores,
    levels_of,
    neighbour_scores,
    tables,
)
from transect.apps.peptide.graph.peaks import LEVELS, Peaks, strongest_peaks
from transect.apps.peptide.graph.residues import ELEMENT_MASS, RESIDUES, edge_kinds
from transect.data_adapters.peptide.peptide import CARBON_13, PROTON, WATER
from transect.data_adapters.peptide.spectrum import Spectrum

if TYPE_CHECKING:
    from torch_geometric.data import Data

LIGHTEST_RESIDUE = float(ELEMENT_MASS[: len(RESIDUES)].min())
"""Mass of the lightest residue, Da."""


class Graph(NamedTuple):
    """A directed graph whose paths from the first node to the last are peptides.

    `mass` `(nodes,)`, Da, ascending, from 0 to that of all residues; `levels` `(nodes, 9)`, intensity levels of the
    ions; `score` `(nodes,)`; `tolerance` `(nodes,)`, Da, largest distance of a path's residue masses from the node.
    `ends` `(2, edges)`: source and target, sorted by source. `codes` `(edges, 2)` of the elements, -1 for none,
    `length` `(edges,)` their mass, Da, and `gain` `(edges,)`, the score of an edge.
    """

    mass: NDArray[np.float64]
    levels: NDArray[np.int64]
    score: NDArray[np.float64]
    tolerance: NDArray[np.float64]
    ends: NDArray[np.int64]
    codes: NDArray[np.int64]
    length: NDArray[np.float64]
    gain: NDArray[np.float64]


def spectrum_graph(
    spectrum: Spectrum, tolerance_ppm: float = 20.0, precursor_tolerance_ppm: float = 20.0, isotope: int = 0
) -> "Data":
    """The graph of `spectrum` for torch_geometric.

    Nodes are prefix masses supported by a b or y ion (doubly charged too for precursors of charge 3 and more), and
    those of one residue at either end, where ions are often missing. `mass`, float64 `(nodes,)`, is in Da, ascending,
    from 0 to that of all residues. `x`, float32 `(nodes, 11)`: intensity level of the nine `SCORED_IONS`, scaled to
    0..1; whether both b and y are matched; and the log likelihood ratio of the cleavage. `edge_index`, int64 `(2,
    edges)`, goes from the lower to the higher mass. `residues`, int64 `(edges, 2)`: indices into `ELEMENTS`, the second
    -1 for none; both orders of two residues are separate edges. `edge_attr`, float32 `(edges, 2)`: mass of the residues
    minus the mass difference of the nodes, Da, and the score of the residues, a log probability. The graph is empty for
    spectra that cannot be used.

    Args:
        spectrum: peaks in any order.
        tolerance_ppm: tolerance of fragments.
        precursor_tolerance_ppm: tolerance of the precursor.
        isotope: number of carbon-13 atoms in the selected precursor peak.
    """
    import torch
    from torch_geometric.data import Data

    peaks = strongest_peaks(spectrum, tolerance_ppm)
    graph = build_graph(spectrum, peaks, tolerance_ppm, precursor_tolerance_ppm, isotope)
    both = (graph.levels[:, :2] > 0).all(1)
    x = np.column_stack([graph.levels / (LEVELS - 1), both, graph.score])
    error = graph.length - (graph.mass[graph.ends[1]] - graph.mass[graph.ends[0]])
    return Data(
        x=torch.from_numpy(x).float(),
        mass=torch.from_numpy(graph.mass),
        edge_index=torch.from_numpy(graph.ends),
        edge_attr=torch.from_numpy(np.stack([error, graph.gain], 1)).float(),
        residues=torch.from_numpy(graph.codes),
        num_nodes=len(graph.mass),
    )


def build_graph(
    spectrum: Spectrum, peaks: Peaks, tolerance_ppm: float, precursor_tolerance_ppm: float, isotope: int
) -> Graph:
    """The graph of `peaks`, which are those of `spectrum`; the other arguments are those of `spectrum_graph`."""
    total = spectrum.precursor_mass - isotope * CARBON_13 - WATER
    if not len(peaks.mz) or total < LIGHTEST_RESIDUE:
        none, pair = np.empty(0), np.empty((0, 2), np.int64)
        return Graph(none, np.empty((0, 9), np.int64), none, none, pair.T, pair, none, none)
    mass = _node_masses(peaks.mz, total, spectrum.charge, tolerance_ppm)
    tolerance = _window(mass, total, tolerance_ppm)
    tolerance[-1] = precursor_tolerance_ppm * 1e-6 * (total + WATER)
    table, (kind_mass, kind_codes) = tables(spectrum.charge), edge_kinds()
    source, target, kind = _edges(mass, tolerance, kind_mass, kind_codes[:, 0] >= len(RESIDUES))
    codes, length = kind_codes[kind], kind_mass[kind]
    levels = levels_of(cleavage_peaks(mass, total, peaks, tolerance_ppm), peaks)
    score = cleavage_scores(mass, total, levels, table)
    levels[[0, -1]], score[[0, -1]] = 0, 0.0
    ends = np.stack([source, target])
    gain = _residue_gains(codes, ends, levels, table)
    two = codes[:, 1] >= 0
    middle = mass[source[two]] + ELEMENT_MASS[codes[two, 0]]
    middle_levels = levels_of(cleavage_peaks(middle, total, peaks, tolerance_ppm), peaks)
    gain[two] += cleavage_scores(middle, total, middle_levels, table)
    gain[two] += neighbour_scores(codes[two, 0], codes[two, 1], middle_levels, table)
    return Graph(mass, levels, score, tolerance, ends, codes, length, gain)


def _window(mass: NDArray[np.float64], total: float, tolerance_ppm: float) -> NDArray[np.float64]:
    """The mass tolerance of a node, Da.

    The node may come from either ion, so the tolerance is that of the heavier one. Both factors were tuned on simulated
    spectra: few true peaks deviate by the full tolerance, and few of the heaviest fragments are observed.
    """
    heavier = np.maximum(mass, total - mass)
    return tolerance_ppm * 1e-6 * np.minimum(0.7 * heavier, 800.0)


def _node_masses(mz: NDArray[np.float64], total: float, charge: int, tolerance_ppm: float) -> NDArray[np.float64]:
    prefix = np.concatenate([(mz - PROTON) * fragment_charge for fragment_charge in ((1, 2) if charge > 2 else (1,))])
    masses = np.concatenate([prefix, total + WATER - prefix])
    masses = np.sort(masses[(masses > LIGHTEST_RESIDUE - 1) & (masses < total - LIGHTEST_RESIDUE + 1)])
    seen = _merged(masses, _window(masses, total, tolerance_ppm) / 2)
    ends = np.unique(np.concatenate([ELEMENT_MASS, total - ELEMENT_MASS[: len(RESIDUES)]]))
    ends = ends[(ends > 0) & (ends < total)]
    place = np.searchsorted(seen, ends)
    around = np.concatenate([[-np.inf], seen, [np.inf]])
    lonely = np.minimum(ends - around[place], around[place + 1] - ends) > _window(ends, total, tolerance_ppm) / 2
    return np.concatenate([[0.0], np.sort(np.concatenate([seen, ends[lonely]])), [total]])


def _residue_gains(
    codes: NDArray[np.int64], ends: NDArray[np.int64], levels: NDArray[np.int64], table: Tables
) -> NDArray[np.float64]:
    """Log prior of the residues of each edge, plus their likelihood ratios next to the nodes of the edge."""
    (source, target), final = ends, len(levels) - 1
    opening, closing = codes[:, 0], np.where(codes[:, 1] >= 0, codes[:, 1], codes[:, 0])
    gain = np.where(target == final, table.last[closing], table.inner[closing])
    gain += np.where(codes[:, 1] >= 0, table.inner[opening], 0.0)
    gain += np.where(source > 0, neighbour_scores(None, opening, levels[source], table), 0.0)
    return gain + np.where(target < final, neighbour_scores(closing, None, levels[target], table), 0.0)


@compiled
def _merged(masses: NDArray[np.float64], width: NDArray[np.float64]) -> NDArray[np.float64]:
    """Merge ascending masses within `width` of the first of a group into their mean."""
    means, count, i = np.empty(len(masses)), 0, 0
    while i < len(masses):
        first = i
        while i < len(masses) and masses[i] - masses[first] <= width[first]:
            i += 1
        means[count] = masses[first:i].mean()
        count += 1
    return means[:count]


@compiled
def _edges(
    mass: NDArray[np.float64],
    tolerance: NDArray[np.float64],
    kind_mass: NDArray[np.float64],
    kind_starts: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Source, target and kind of every edge whose mass matches its nodes within tolerance."""
    source, target, kind = [0 for _ in range(0)], [0 for _ in range(0)], [0 for _ in range(0)]
    for i in range(len(mass) - 1):
        for j in range(i + 1, len(mass)):
            between = mass[j] - mass[i]
            if between > kind_mass[-1] + 1.0:
                break
            width = tolerance[j] + (tolerance[i] if i else 0.0)
            k = np.searchsorted(kind_mass, between - width)
            while k < len(kind_mass) and kind_mass[k] <= between + width:
                if i == 0 or not kind_starts[k]:
                    source.append(i)
                    target.append(j)
                    kind.append(k)
                k += 1
    return np.array(source, np.int64), np.array(target, np.int64), np.array(kind, np.int64)
