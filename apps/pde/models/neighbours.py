"""Who is near whom: the edges along which points of a mesh and nodes of a latent grid pass messages."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor


@dataclass(frozen=True)
class Edges:
    """Edges of a whole batch, whose graphs lie side by side.

    Args:
        index: int64 `(2, edges)`, source and target.
        offsets: float32 `(edges, dim + 2)`: from the target to the source in units of the target's farthest
            neighbour, its length, and the logarithm of that unit.
        size: how many sources and targets there are in all.
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
    """Edges from and to the `count` nearest, in coordinates in which each axis of the bounding box is `grid - 1` long.

    A point and a node are neighbours if either is among the nearest of the other, so that each hears `count` and is
    heard. Moving the mesh and scaling its axes changes nothing. Where several lie equally far, which of them is among
    the nearest depends on rounding.

    By scipy's k-d trees, `O(n log n)`: torch_geometric's `knn` needs torch-cluster, which must be compiled.

    Args:
        points: `(batch, points, dim)` in any units.
        grid: nodes along each axis, the outermost of them on the bounding box.
        count: of neighbours; fewer where there are fewer.
    """
    between, to_nodes, to_points = [], [], []
    for own in points.detach().cpu().double().numpy():
        low, high = own.min(0), own.max(0)
        places = (own - low) / np.where(high > low, high - low, 1) * (grid - 1)
        nodes = np.stack(np.meshgrid(*[np.arange(grid, dtype=float)] * own.shape[1], indexing="ij"), -1)
        nodes = nodes.reshape(-1, own.shape[1])
        heard, spoken = _nearest(places, nodes, count), _nearest(nodes, places, count)
        point, node = np.concatenate((heard, spoken[::-1]), 1)
        pairs = np.stack(np.divmod(np.unique(point * len(nodes) + node), len(nodes)))
        near = _nearest(places, places, count + 1)
        between.append((places, places, near[:, near[0] != near[1]]))
        to_nodes.append((places, nodes, pairs))
        to_points.append((nodes, places, pairs[::-1]))
    return Neighbourhoods(*(_edges(graphs, points.device) for graphs in (between, to_nodes, to_points)))


def _nearest(sources: NDArray, targets: NDArray, count: int) -> NDArray:
    """Source and target `(2, edges)` of the edges from the `count` nearest sources to each target."""
    count = min(count, len(sources))
    found = cKDTree(sources).query(targets, list(range(1, count + 1)))[1]
    return np.stack((found.ravel(), np.repeat(np.arange(len(targets)), count)))


def _edges(graphs: list[tuple[NDArray, NDArray, NDArray]], device: torch.device) -> Edges:
    """The edges of graphs `(sources, targets, pairs)` side by side."""
    indices, offsets = [], []
    total = np.zeros(2, int)
    for sources, targets, pairs in graphs:
        offset = sources[pairs[0]] - targets[pairs[1]]
        length = np.linalg.norm(offset, axis=1)
        unit = np.full(len(targets), 1e-6)
        np.maximum.at(unit, pairs[1], length)
        unit = unit[pairs[1]]
        offsets.append(np.column_stack((offset / unit[:, None], length / unit, np.log(unit))))
        indices.append(pairs + total[:, None])
        total += len(sources), len(targets)
    return Edges(
        torch.from_numpy(np.concatenate(indices, 1)).to(device),
        torch.from_numpy(np.concatenate(offsets)).to(device, torch.float32),
        (int(total[0]), int(total[1])),
    )
