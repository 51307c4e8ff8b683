"""The mesh operator: message passing from a mesh to a latent grid, an axial operator on it, and back."""

import warnings
from dataclasses import replace

import torch
from torch import Tensor, nn

from transect.apps.pde.models.axial_operator import AxialOperator, shrunk
from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.config import MeshOperatorConfig
from transect.apps.pde.models.neighbours import Edges, find_neighbourhoods

with warnings.catch_warnings():
    # torch_geometric uses deprecated features of torch.jit on import.
    warnings.simplefilter("ignore", FutureWarning)
    from torch_geometric.nn import MessagePassing
    from torch_geometric.utils import softmax

#: Hidden width of the kernel MLPs.
KERNEL_WIDTH = 16
#: Lower bound of distances, relative to that of the farthest neighbour.
NEAREST = 1e-3


class Interpolation(MessagePassing):
    r"""Learned interpolation from sources to targets: each kernel h weights the neighbours j of a target i.

    `y_i^h = sum_j w_ij^h x_j^h` with `w_ij^h = softmax_j(f^h(r_ij) - 2 log |r_ij|)`, f an MLP of the offset `r_ij`. A
    kernel's weights sum to one, so constant fields are preserved exactly; they are initialized near inverse squared
    distance weighting (Shepard, 1968). Differences of kernels can represent derivatives. Linear in x; cost
    `O(edges kernels)` per component.

    Source: the integral of Li et al., "Neural Operator: Graph Kernel Network for PDEs" (2020), eq. 6, its kernel
    normalised over the neighbours.
    """

    def __init__(self, kernels: int, dim: int) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.weigh = nn.Sequential(
            nn.Linear(dim + 2, KERNEL_WIDTH), nn.GELU(), shrunk(nn.Linear(KERNEL_WIDTH, kernels, bias=False))
        )

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """`(sources, components, kernels | 1)` to `(targets, components, kernels)`."""
        shepard = -2 * edges.offsets[:, -2:-1].clamp(min=NEAREST).log()
        weights = softmax(self.weigh(edges.offsets) + shepard, edges.index[1], num_nodes=edges.size[1])
        out: Tensor = self.propagate(edges.index, size=edges.size, x=(x, None), weights=weights)
        return out

    def message(self, x_j: Tensor, weights: Tensor) -> Tensor:
        """The message along each edge."""
        return x_j * weights[:, None]


class MeshOperator(nn.Module):
    r"""Next state of a PDE's solution at the points of any mesh.

    ::

        x = [states, constants]
        g = axial operator(to nodes(x))        on the latent grid over the mesh's bounding box
        l = MLP([x, from points(x)])           local features of each point and its nearest points
        y = l + sum over kernels(to points(g))

    The output depends only on offsets between neighbours, in coordinates normalized by the bounding box: it is
    invariant to translation and axis scaling, so the physical size of a mesh must be a parameter where it differs. It
    is equivariant to permutations of the points, whose number is arbitrary; cells are not used. Invalid points send no
    messages, and the output is zero there.

    The last layers are initialized small, so that a predicted increment starts as persistence.

    Shapes: states `(batch, times, channels, points)`, `conditions.points` `(batch, points, dim)`; the output is
    `(batch, channels, points)`.

    Args:
        config: sizes.
        channels: components of a state.
        dim: coordinates of a point, 1 to 3.
        times: frames of the input.

    Raises:
        ValueError: states of other sizes; conditions that lack the points or what the config requires.

    Source: Li et al., "Geometry-Informed Neural Operator" (2023), section 3: graph kernels to a latent grid, an
    operator on it, graph kernels back. Here neighbours are the nearest ones instead of those within a radius, kernels
    are normalised, and the operator is the axial one instead of Fourier layers.
    """

    def __init__(self, config: MeshOperatorConfig, channels: int, dim: int, times: int = 1) -> None:
        super().__init__()
        self.config, self.channels, self.dim, self.times = config, channels, dim, times
        kernels, inputs = config.kernels, times * channels + config.constants
        latent = replace(config.latent, parameters=config.parameters, constants=kernels * config.constants)
        self.to_nodes, self.to_points, self.from_points = (Interpolation(kernels, dim) for _ in range(3))
        self.latent = AxialOperator(latent, kernels * channels, dim, times)
        self.local = nn.Sequential(
            nn.Linear((kernels + 1) * inputs, config.width), nn.GELU(), shrunk(nn.Linear(config.width, channels))
        )

    def forward(self, states: Tensor, conditions: Conditions) -> Tensor:
        """Predict what follows `states`."""
        x, points, valid = self._inputs(states, conditions), conditions.points, conditions.valid
        assert points is not None
        near = find_neighbourhoods(points, self.config.grid, self.config.neighbours)
        to_nodes, from_points = near.to_nodes, near.between_points
        if valid is not None:
            to_nodes, from_points = (_from_valid(edges, valid.flatten()) for edges in (to_nodes, from_points))
        nodes = self._on_grid(self.to_nodes(x, to_nodes), len(states), conditions.parameters)
        local = self.local(torch.cat((x, self.from_points(x, from_points)), -1).flatten(1))
        out = self.to_points(nodes, near.to_points).sum(-1) + local
        out = out.view(len(states), -1, self.channels).movedim(-1, 1)
        return out if valid is None else out.masked_fill(~valid[:, None], 0.0)

    def _on_grid(self, nodes: Tensor, batch: int, parameters: Tensor | None) -> Tensor:
        """The axial operator on nodes `(batch * nodes, inputs, kernels)`; `(batch * nodes, channels, kernels)`."""
        grid = nodes.view(batch, *(self.config.grid,) * self.dim, *nodes.shape[1:]).movedim((-2, -1), (1, 2))
        states, constants = grid.split((self.times * self.channels, self.config.constants), 1)
        grid_conditions = Conditions(
            boundary=(("open", "open"),) * self.dim, parameters=parameters, constants=constants.flatten(1, 2)
        )
        out = self.latent(states.unflatten(1, (self.times, self.channels)).flatten(2, 3), grid_conditions)
        return out.movedim(1, -1).flatten(0, -2).unflatten(-1, (self.channels, -1))

    def _inputs(self, states: Tensor, conditions: Conditions) -> Tensor:
        """The stacked inputs of each point, `(batch * points, inputs, 1)`."""
        if states.ndim != 4 or tuple(states.shape[1:3]) != (self.times, self.channels):
            expected = f"(batch, {self.times}, {self.channels}, points)"
            raise ValueError(f"states: found shape {tuple(states.shape)}, expected {expected}")
        places = (len(states), states.shape[-1], self.dim)
        if conditions.points is None or conditions.points.shape != places:
            found = None if conditions.points is None else tuple(conditions.points.shape)
            raise ValueError(f"points: found {found}, expected {places}")
        x = conditions.stacked(states, self.config.constants).movedim(1, -1).flatten(0, 1)[:, :, None]
        return x if conditions.valid is None else x.masked_fill(~conditions.valid.flatten()[:, None, None], 0.0)


def _from_valid(edges: Edges, valid: Tensor) -> Edges:
    """The edges whose sources are valid."""
    keep = valid[edges.index[0]]
    return replace(edges, index=edges.index[:, keep], offsets=edges.offsets[keep])
