"""One step in time: normalize, predict, denormalize."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transect.apps.pde.config import Config, Scale, State
from transect.apps.pde.models.conditions import CONDITIONS, Conditions

SMALLEST_DEVIATION = 1e-6
"""Relative to the mean of a context: fields that vary less count as constant."""


@dataclass(frozen=True)
class Units:
    """Normalization `(x - mean) / std` of a batch, and the typical `change` between frames in normalized units.

    All `(batch | 1, channels, 1, ...)`, with a 1 for each spatial axis.
    """

    mean: Tensor
    std: Tensor
    change: Tensor

    def normalize(self, states: Tensor, valid: Tensor) -> Tensor:
        """Normalize states `(batch, frames, channels, *shape)`; zero where not `valid`, bool `(batch, *shape)`."""
        scaled = (states - self.mean[:, None]) / self.std[:, None]
        return scaled.masked_fill(~valid[:, None, None], 0.0)

    def denormalize(self, state: Tensor) -> Tensor:
        """Convert a normalized state `(batch, channels, *shape)` to the simulation's units."""
        return state * self.std + self.mean


def units_of(context: Tensor, batch: Mapping[str, Tensor], config: Config, state: State) -> Units:
    """The normalization of a batch: by the statistics of the training data or of the context.

    The latter are mean and deviation of each field over its components, the frames and the valid cells, MORPH's
    "reversible instance normalisation" without the frames that are to be predicted.

    Args:
        context: `(batch, frames, channels, *shape)` in the simulation's units, zero where not valid.
        batch: collated examples of `Windows`.
        config: the app's.
        state: the app's.

    Source: Kim et al., "Reversible Instance Normalization" (2022), eq. 1 and 2.
    """
    rank = context.ndim - 3

    def shaped(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=context.dtype, device=context.device).view(1, -1, *[1] * rank)

    change = shaped(state.changes or [1.0] * context.shape[2])
    if config.normalize == "context":
        mean, std = _of_fields(context, batch["valid"], batch["components"][0].tolist())
        return Units(mean, std, change)
    if config.normalize == "none" or not state.scales:
        deviation = shaped([scale.std for scale in state.scales]) if state.scales else torch.ones_like(change)
        return Units(torch.zeros_like(change), torch.ones_like(change), change * deviation)
    means, stds = ([getattr(scale, name) for scale in state.scales] for name in ("mean", "std"))
    return Units(shaped(means), shaped(stds), change)


def _of_fields(context: Tensor, valid: Tensor, components: Sequence[int]) -> tuple[Tensor, Tensor]:
    means, stds = [], []
    counted = valid[:, None, None].to(torch.float64)
    for field in context.double().split(components, 2):
        dims = tuple(range(1, field.ndim))
        cells = (counted.sum(dims) * field.shape[1] * field.shape[2]).clamp(min=1)
        mean = (field * counted).sum(dims) / cells
        deviation = (field - mean.view(-1, *[1] * (field.ndim - 1))) * counted
        std = (deviation.square().sum(dims) / cells).sqrt()
        std = torch.where(std > SMALLEST_DEVIATION * mean.abs(), std, 1.0)
        means.append(mean[:, None].expand(-1, field.shape[2]))
        stds.append(std[:, None].expand(-1, field.shape[2]))
    rank = context.ndim - 3
    mean, std = (torch.cat(parts, 1).to(context.dtype).unflatten(1, (-1, *[1] * rank)) for parts in (means, stds))
    return mean, std


def conditions_of(batch: Mapping[str, Tensor], state: State) -> Conditions:
    """The conditioning inputs of a batch."""
    valid = batch["valid"]
    return Conditions(
        boundary=tuple((CONDITIONS[low], CONDITIONS[high]) for low, high in batch["boundary"][0].tolist())
        if "boundary" in batch
        else (),
        # Most simulations have no missing values, and models are faster without a mask.
        valid=None if bool(valid.all()) else valid,
        parameters=_scaled(batch["parameters"], state.parameter_scales) if "parameters" in batch else None,
        constants=_scaled(batch["constants"], state.constant_scales) if "constants" in batch else None,
        components=tuple(batch["components"][0].tolist()),
        points=batch.get("points"),
    )


def _scaled(values: Tensor, scales: Sequence[Scale]) -> Tensor:
    if not scales:
        return values
    mean, std = (
        values.new_tensor([getattr(scale, name) for scale in scales]).view(1, -1, *[1] * (values.ndim - 2))
        for name in ("mean", "std")
    )
    return (values - mean) / std


def advance(model: nn.Module, states: Tensor, conditions: Conditions, units: Units, config: Config) -> Tensor:
    """The state `(batch, channels, *shape)` after `states` `(batch, context, channels, *shape)`, both normalized."""
    following: Tensor = model(states, conditions).float()
    if config.increment:
        following = states[:, -1] + units.change * following
    return following if conditions.valid is None else following.masked_fill(~conditions.valid[:, None], 0.0)
