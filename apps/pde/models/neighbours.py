"""Nearest-neighbour graphs between the points of a mesh and the nodes of a latent grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

#: Number of meshes whose edges are cached.
REMEMBERED = 64
#: Lower bound of the unit of length, in cells of the grid, for coinciding neighbours.
SMALLEST = 1e-6


@dataclass(frozen=True)
class Edges:
    """Edges of the disjoint union of the graphs of a batch.

    Args:
        index: int64 `(2, edges)`, source and target.
        offsets: float32 `(edges, dim + 2)`: from the target to the source in units of the target's farthest
            neighbour, its length, and the logarithm of that unit.
        size: total numbers of sources and targets.
    """

    index: Tensor
    offsets: Tensor
    size: tuple[int, int]


@dataclass(frozen=True)
class Neighbourhoods:
    """The edges between the points of a mesh, from them to the nodes of the latent grid, and from those back."""

    between_points: Edges
    to_nodes: Edges
    to_points: Edges


def find_neighbourhoods(points: Tensor, grid: int, count: int) -> Neighbourhoods:
    """Nearest-neighbour edges, in coordinates in which each axis of the bounding box has length `grid - 1`.

    A point and a node are neighbours if either is among the `count` nearest of the other, so that each has incoming and
    outgoing edges. Invariant to translation and axis scaling of the mesh. Ties are broken by rounding.

    By scipy's k-d trees, `O(n log n)`: torch_geometric's `knn` needs torch-cluster, which must be compiled. The edges
    of the last `REMEMBERED` meshes are cached, for rollouts and repeated epochs.

    Args:
        points: `(batch, points, dim)` in any units.
        grid: nodes along each axis, the outermost of them on the bounding box.
        count: number of neighbours, at most the number of sources.
    """
    meshes = points.detach().cpu().double().numpy()
    graphs = [_graphs(mesh.tobytes(), points.shape[-1], grid, count) for mesh in meshes]
    return Neighbourhoods(*(_union(kind, points.device) for kind in zip(*graphs, strict=True)))


@dataclass(frozen=True)
class _Graph:
    """The edges of one mesh, as `Edges` has them."""

    index: NDArray[np.int64]
    offsets: NDArray[np.float32]
    size: tuple[int, int]


@lru_cache(maxsize=REMEMBERED)
def _graphs(content: bytes, dim: int, grid: int, count: int) -> tuple[_Graph, _Graph, _Graph]:
    """The edges between points, from them to nodes, and from nodes to them, of the mesh with these coordinates."""
    points = np.frombuffer(content).reshape(-1, dim)
    low, high = points.min(0), points.max(0)
    places = (points - low) / np.where(high > low, high - low, 1) * (grid - 1)
    nodes = np.stack(np.meshgrid(*[np.arange(grid, dtype=float)] * dim, indexing="ij"), -1).reshape(-1, dim)
    between = _nearest(places, places, count + 1)
    nearest_points, nearest_nodes = _nearest(places, nodes, count), _nearest(nodes, places, count)
    point, node = np.concatenate((nearest_points, nearest_nodes[::-1]), 1)
    pairs = np.stack(np.divmod(np.unique(point * len(nodes) + node), len(nodes)))
    return (
        _graph(places, places, between[:, between[0] != between[1]]),
        _graph(places, nodes, pairs),
        _graph(nodes, places, pairs[::-1]),
    )


def _nearest(sources: NDArray, targets: NDArray, count: int) -> NDArray:
    """Source and target `(2, edges)` of the edges from the `count` nearest sources to each target."""
    count = min(count, len(sources))
    nearest = cKDTree(sources).query(targets, list(range(1, count + 1)))[1]
    return np.stack((nearest.ravel(), np.repeat(np.arange(len(targets)), count)))


def _graph(sources: NDArray, targets: NDArray, pairs: NDArray) -> _Graph:
    offset = sources[pairs[0]] - targets[pairs[1]]
    length = np.linalg.norm(offset, axis=1)
    unit = np.full(len(targets), SMALLEST)
    np.maximum.at(unit, pairs[1], length)
    unit = unit[pairs[1]]
    offsets = np.column_stack((offset / unit[:, None], length / unit, np.log(unit)))
    return _Graph(pairs, offsets.astype(np.float32), (len(sources), len(targets)))


def _union(graphs: Sequence[_Graph], device: torch.device) -> Edges:
    sizes = np.array([graph.size for graph in graphs])
    firsts = np.cumsum(sizes, 0) - sizes
    index = np.concatenate([graph.index + first[:, None] for graph, first in zip(graphs, firsts, strict=True)], 1)
    offsets = np.concatenate([graph.offsets for graph in graphs])
    total = sizes.sum(0).tolist()
    return Edges(torch.from_numpy(index).to(device), torch.from_numpy(offsets).to(device), (total[0], total[1]))
