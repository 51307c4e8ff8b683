"""The best paths through a graph."""

import heapq

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.apps.peptide.graph.build import Graph

STEPS, HELD = 20_000, 200_000
"""How many partial paths are followed at most, and how many are held to be followed."""


def best_paths(graph: Graph, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `count` best distinct sequences of codes along `graph`, best first, and their scores.

    The best that is left to gain from each node is found backwards by dynamic programming. It bounds a best-first
    search from the first node on (A*; Hart, Nilsson and Raphael, 1968), which meets complete paths in order of their
    scores. Of several ways to the same codes the best counts. A path must be within each node's tolerance with all of
    its residues, so that errors do not add up. The search ends after `STEPS`, with the best paths that it met.

    Returns:
        int64 `(paths, longest)`, padded with -1 at the end, and float64 `(paths,)`.
    """
    nodes, (source, target) = len(graph.mass), graph.ends
    if count < 1 or not len(source):
        return np.empty((0, 0), np.int64), np.empty(0)
    first = np.searchsorted(source, np.arange(nodes + 1))
    worth = graph.gain + graph.score[target]
    left = _best_left(nodes, source, target, worth)
    place = graph.mass, graph.tolerance, left
    parent, taken, complete, scores = _search(*place, target, first, graph.codes, graph.length, worth, count)
    return _walk_back(parent, taken, complete, graph.codes), scores


@compiled
def _best_left(
    nodes: int, source: NDArray[np.int64], target: NDArray[np.int64], worth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The most that a path from each node to the last can gain; minus infinity where there is none."""
    left = np.full(nodes, -np.inf)
    left[-1] = 0.0
    for edge in range(len(source) - 1, -1, -1):
        left[source[edge]] = max(left[source[edge]], worth[edge] + left[target[edge]])
    return left


@compiled
def _search(
    mass: NDArray[np.float64],
    tolerance: NDArray[np.float64],
    left: NDArray[np.float64],
    target: NDArray[np.int64],
    first: NDArray[np.int64],
    codes: NDArray[np.int64],
    length: NDArray[np.float64],
    worth: NDArray[np.float64],
    count: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Partial paths as a tree, each entry's parent and edge; which entries are complete, and their scores."""
    parent, taken, node = np.empty(HELD, np.int64), np.empty(HELD, np.int64), np.empty(HELD, np.int64)
    gained, residues, name = np.empty(HELD), np.empty(HELD), np.empty(HELD, np.uint64)
    parent[0], node[0], gained[0], residues[0], name[0] = -1, 0, 0.0, 0.0, 0
    complete, scores = np.empty(count, np.int64), np.empty(count)
    held, found, final = 1, 0, len(mass) - 1
    queue, met = [(-left[0], 0)], {(0, np.uint64(0))}
    for step in range(STEPS):
        if not len(queue) or found == count:
            break
        entry = heapq.heappop(queue)[1]
        here = node[entry]
        if step > 0 and (here, name[entry]) in met:
            continue
        met.add((here, name[entry]))
        if here == final:
            complete[found], scores[found] = entry, gained[entry]
            found += 1
            continue
        for edge in range(first[here], first[here + 1]):
            there = target[edge]
            so_far = residues[entry] + length[edge]
            if left[there] == -np.inf or abs(so_far - mass[there]) > tolerance[there] or held == HELD:
                continue
            parent[held], taken[held], node[held] = entry, edge, there
            gained[held], residues[held] = gained[entry] + worth[edge], so_far
            name[held] = name[entry]
            for code in codes[edge]:
                if code >= 0:
                    name[held] = name[held] * np.uint64(1_000_003) + np.uint64(code + 1)
            heapq.heappush(queue, (-gained[held] - left[there], held))
            held += 1
    return parent[:held], taken[:held], complete[:found], scores[:found]


@compiled
def _walk_back(
    parent: NDArray[np.int64], taken: NDArray[np.int64], complete: NDArray[np.int64], codes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The codes along each complete path, `(paths, longest)`."""
    edges = np.zeros(len(complete), np.int64)
    for row in range(len(complete)):
        entry = complete[row]
        while parent[entry] >= 0:
            edges[row] += 1
            entry = parent[entry]
    rows = np.full((len(complete), 2 * max(edges.max(), 1) if len(edges) else 0), -1)
    for row in range(len(complete)):
        entry, place = complete[row], 2 * edges[row]
        while parent[entry] >= 0:
            place -= 2
            rows[row, place : place + 2] = codes[taken[entry]]
            entry = parent[entry]
    return rows
