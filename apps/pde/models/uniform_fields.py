"""MORPH with the interface of the other models: channels, one to three axes of any length."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.morph import Morph
from transect.apps.pde.models.padding import pad

RANK = 3


class UniformFields(nn.Module):
    """Runs a `Morph` on states whose channels are the concatenated components of several fields.

    MORPH needs the same number of components for every field. Components of fields with fewer are repeated cyclically,
    as the reference repeats scalars to match vectors, and the predictions of the repeats are averaged. 1-D and 2-D
    grids get leading axes of length one. Axes that are not a multiple of the patch are padded at their end by their
    boundary condition, and the output is cropped.

    Shapes: `(batch, times, channels, *shape)` in, `(batch, channels, *shape)` out.

    Args:
        morph: the model.
    """

    def __init__(self, morph: Morph) -> None:
        super().__init__()
        self.morph = morph

    def forward(self, states: Tensor, conditions: Conditions) -> Tensor:
        """Predict what follows `states`.

        Raises:
            ValueError: the states have more than three axes, the fields do not add up to the channels, or there are
                more than the model has outputs for.
        """
        shape = states.shape[3:]
        if not 1 <= len(shape) <= RANK:
            raise ValueError(f"states: found {len(shape)} spatial axes, expected 1 to {RANK}")
        components = conditions.components or (1,) * states.shape[2]
        if sum(components) != states.shape[2]:
            raise ValueError(f"components: found {components}, expected {states.shape[2]} in all")
        channel = torch.tensor(_slots(components), device=states.device)
        patch = self.morph.config.patch
        widths = [(0, -length % patch if length > 1 else 0) for length in shape]
        boundary = conditions.boundary or (("open", "open"),) * len(shape)
        lifted = (1,) * (RANK - len(shape))

        def lift(tensor: Tensor) -> Tensor:
            padded = pad(tensor, widths, boundary)
            return padded.reshape(*tensor.shape[: -len(shape)], *lifted, *padded.shape[-len(shape) :])

        grid_conditions = replace(
            conditions,
            boundary=(("open", "open"),) * len(lifted) + boundary,
            valid=None if conditions.valid is None else lift(conditions.valid),
            constants=None if conditions.constants is None else lift(conditions.constants),
        )
        fields = lift(states).index_select(2, channel).unflatten(2, (len(components), -1))
        out = self.morph(fields, grid_conditions).flatten(1, 2)
        out = out.view(*out.shape[:2], *out.shape[-len(shape) :])
        out = out[(..., *(slice(length) for length in shape))]
        total = out.new_zeros(len(out), states.shape[2], *shape).index_add(1, channel, out)
        return total / torch.bincount(channel).view(-1, *(1 for _ in shape))


def _slots(components: Sequence[int]) -> list[int]:
    """The channel of each slot of `(fields, components)`, where all fields have as many components as the largest."""
    slots = []
    for field, own in enumerate(components):
        first = sum(components[:field])
        slots += [first + slot % own for slot in range(max(components))]
    return slots
