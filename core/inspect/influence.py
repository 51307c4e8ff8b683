"""Influence of input positions on an output position: the norm of the Jacobian of any function on grids."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def influence(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    place: Sequence[int],
    *,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Effective attention map of any mechanism or model, `|d y_i / d x_j|` (Frobenius norm over both channel axes).

    Unlike an attention map it applies to anything differentiable (deformable sampling, recurrences, convolutions, whole
    models with residual connections) and includes the paths through values and through attention weights. Where there
    is no dependence it is exactly zero. Summarize it with `entropy(m, rank)` and `mean_distance(m, place)`.

    Costs one forward pass and by default one backward pass per output channel. With `probes` random vectors
    `v ~ N(0, 1)` it takes that many backward passes instead and returns `sqrt(mean |J^T v|^2)`, whose square is
    unbiased with a relative standard deviation of at most `sqrt(2 / probes)`.

    Args:
        function: `(batch, *grid, dim)` to `(batch, *out_grid, out_dim)`; a module, or a closure over its other inputs.
            Samples must be independent (no batch norm in training mode).
        x: the input at which to linearize, floating point.
        place: position on `out_grid`.
        probes: number of backward passes; None for the exact norm.
        generator: random generator of the probes.

    Returns:
        `(batch, *grid)`. The `.grad` of parameters is left unchanged.

    Raises:
        ValueError: x is not floating point, the place is not on the grid, or the output cannot be differentiated.

    Source: Simonyan et al., "Deep Inside Convolutional Networks" (2014), section 3, for one position and all channels;
    the estimate: Hutchinson (1990).
    """
    if not x.is_floating_point():
        raise ValueError(f"x: found {x.dtype}, expected floating point; embed it first")
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = function(x)
        grid = tuple(y.shape[1:-1])
        if len(place) != len(grid) or any(not 0 <= i < length for i, length in zip(place, grid, strict=True)):
            raise ValueError(f"place: found {tuple(place)}, expected one on the grid {grid} of the output")
        if not y.requires_grad:
            raise ValueError("function: found an output without a gradient, expected one that can be differentiated")
        here = y.movedim(0, -2)[tuple(place)]
    if probes is None:
        vectors = torch.eye(here.shape[-1], dtype=y.dtype, device=y.device)[:, None].expand(-1, len(here), -1)
    else:
        vectors = torch.randn(probes, *here.shape, dtype=y.dtype, device=y.device, generator=generator)
    squares = x.new_zeros(x.shape[:-1])
    for vector in vectors:
        (gradient,) = torch.autograd.grad(here, x, vector, retain_graph=True, materialize_grads=True)
        squares += gradient.square().sum(-1)
    return (squares if probes is None else squares / probes).sqrt()
