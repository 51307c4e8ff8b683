"""MORPH behind the interface of the other models: channels, any rank and any lengths."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from apps.pde.models.conditions import Conditions
from apps.pde.models.morph import Morph
from apps.pde.models.padding import pad

RANK = 3


class UniformFields(nn.Module):
    """Runs a `Morph` on states whose channels are the components of several fields side by side.

    MORPH sees every field with as many components. A field of fewer has its components repeated in turn, as the
    reference repeats scalars beside vectors, and what is predicted for the repeats is averaged. Lines and images get
    axes of length one in front. Axes that are no whole number of patches are continued at their end by their boundary
    condition, and the continuation is cut off again.

    Shapes: `(batch, times, channels, *shape)` in, `(batch, channels, *shape)` out.

    Args:
        morph: the model.
        components: the number of channels of each field, in order.

    Raises:
        ValueError: there are more fields or components than the model has outputs for.
    """

    channel: Tensor
    repeats: Tensor

    def __init__(self, morph: Morph, components: Sequence[int]) -> None:
        super().__init__()
        fields, most = len(components), max(components)
        config = morph.config
        if fields > config.max_fields or most > config.max_components:
            limit = f"at most {config.max_fields} of {config.max_components} each"
            raise ValueError(f"components: found {fields} fields of up to {most}, expected {limit}")
        self.morph = morph
        self.fields = fields
        firsts = [sum(components[:field]) for field in range(fields)]
        channel = [first + slot % own for first, own in zip(firsts, components, strict=True) for slot in range(most)]
        self.register_buffer("channel", torch.tensor(channel), persistent=False)
        self.register_buffer("repeats", torch.bincount(self.channel), persistent=False)

    def forward(self, states: Tensor, conditions: Conditions) -> Tensor:
        """Predict what follows `states`."""
        shape = states.shape[3:]
        if not 1 <= len(shape) <= RANK:
            raise ValueError(f"states: found {len(shape)} spatial axes, expected 1 to {RANK}")
        patch = self.morph.config.patch
        widths = [(0, -length % patch if length > 1 else 0) for length in shape]
        boundary = conditions.boundary or (("open", "open"),) * len(shape)
        lifted = (1,) * (RANK - len(shape))

        def lift(tensor: Tensor) -> Tensor:
            padded = pad(tensor, widths, boundary)
            return padded.reshape(*tensor.shape[: -len(shape)], *lifted, *padded.shape[-len(shape) :])

        surroundings = replace(
            conditions,
            boundary=(("open", "open"),) * len(lifted) + boundary,
            valid=None if conditions.valid is None else lift(conditions.valid),
            constants=None if conditions.constants is None else lift(conditions.constants),
        )
        fields = lift(states).index_select(2, self.channel).unflatten(2, (self.fields, -1))
        out = self.morph(fields, surroundings).flatten(1, 2)
        out = out.view(*out.shape[:2], *out.shape[-len(shape) :])
        out = out[(..., *(slice(length) for length in shape))]
        total = out.new_zeros(len(out), states.shape[2], *shape).index_add(1, self.channel, out)
        return total / self.repeats.view(-1, *(1 for _ in shape))
