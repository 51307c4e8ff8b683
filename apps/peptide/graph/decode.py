"""The best paths through a spectrum graph, by A* search."""

import heapq

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.apps.peptide.graph.build import Graph

STEPS, HELD = 20_000, 200_000
"""Largest numbers of expanded and of queued partial paths."""


def best_paths(graph: Graph, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `count` best distinct sequences of codes along `graph`, best first, and their scores.

    The largest remaining gain from each node is computed by backward dynamic programming. It is the exact heuristic of
    a best-first search from the first node (A*; Hart, Nilsson and Raphael, 1968), which completes paths in order of
    their scores. Of several paths with the same codes the best counts. The cumulative residue mass of a path must be
    within the tolerance of each node, so that errors do not accumulate. The search ends after `STEPS` with the paths
    completed so far.

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
    """The largest gain of a path from each node to the last; minus infinity if there is no path."""
    remaining = np.full(nodes, -np.inf)
    remaining[-1] = 0.0
    for edge in range(len(source) - 1, -1, -1):
        remaining[source[edge]] = max(remaining[source[edge]], worth[edge] + remaining[target[edge]])
    return remaining


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
    """The search tree: parent and edge of each partial path; indices of complete paths, and their scores."""
    parent, taken, node = np.empty(HELD, np.int64), np.empty(HELD, np.int64), np.empty(HELD, np.int64)
    gained, residues, name = np.empty(HELD), np.empty(HELD), np.empty(HELD, np.uint64)
    parent[0], node[0], gained[0], residues[0], name[0] = -1, 0, 0.0, 0.0, 0
    complete, scores = np.empty(count, np.int64), np.empty(count)
    size, done, final = 1, 0, len(mass) - 1
    queue, visited = [(-left[0], 0)], {(0, np.uint64(0))}
    for step in range(STEPS):
        if not len(queue) or done == count:
            break
        entry = heapq.heappop(queue)[1]
        current = node[entry]
        if step > 0 and (current, name[entry]) in visited:
            continue
        visited.add((current, name[entry]))
        if current == final:
            complete[done], scores[done] = entry, gained[entry]
            done += 1
            continue
        for edge in range(first[current], first[current + 1]):
            successor = target[edge]
            total = residues[entry] + length[edge]
            if left[successor] == -np.inf or abs(total - mass[successor]) > tolerance[successor] or size == HELD:
                continue
            parent[size], taken[size], node[size] = entry, edge, successor
            gained[size], residues[size] = gained[entry] + worth[edge], total
            name[size] = name[entry]
            for code in codes[edge]:
                if code >= 0:
                    name[size] = name[size] * np.uint64(1_000_003) + np.uint64(code + 1)
            heapq.heappush(queue, (-gained[size] - left[successor], size))
            size += 1
    return parent[:size], taken[:size], complete[:done], scores[:done]


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
