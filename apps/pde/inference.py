"""Autoregressive rollout, lazy and with bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transect.apps.pde.config import Config, State
from transect.apps.pde.dataset import condition_tensors
from transect.apps.pde.step import advance, conditions_of, units_of
from transect.data_adapters.base import BadInput
from transect.data_adapters.blocks import aligned
from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.simulation import Rollout, Simulation

LARGEST_DEVIATION = 1e4
"""Distance from the mean, in standard deviations, beyond which a rollout counts as blown up and is stopped."""
BLOCK_VALUES = 2**22
"""Largest number of values in a block, at least one frame."""


def roll(
    model: nn.Module,
    simulation: Simulation,
    context: NDArray[np.float32],
    valid: NDArray[np.bool_],
    start: int,
    steps: int,
    config: Config,
    state: State,
    blown_up: Callable[[int], None],
) -> Iterator[NDArray[np.float32]]:
    """The `steps` frames that follow `context`, in blocks `(frames, channels, *shape)` of the simulation's units.

    Memory holds the context and one block. Where a prediction is no longer finite or exceeds LARGEST_DEVIATION,
    `blown_up` is called with its step, counted from 1, and that frame and all later ones are NaN. The first prediction
    must be finite.

    Args:
        model: in evaluation mode.
        simulation: the one to continue.
        context: float32 `(config.context, channels, *shape)`, of the frames before frame `start`.
        valid: bool `(*shape)`, where the context is valid; predictions are NaN elsewhere.
        start: index of the first predicted frame.
        steps: number of frames to predict.
        config: the app's.
        state: the app's.
        blown_up: called at most once.

    Raises:
        BadInput: the first predicted frame is not finite.
    """
    device = next(model.parameters()).device
    inputs = condition_tensors(simulation, valid, config, state, start - 1)
    batch = {name: tensor[None].to(device) for name, tensor in inputs.items()}
    conditions = conditions_of(batch, state)
    window = torch.from_numpy(np.where(valid, context, np.float32(0)))[None].to(device)
    block: list[NDArray[np.float32]] = []
    per_block = max(1, BLOCK_VALUES // context[0].size)
    for step in range(1, steps + 1):
        with torch.inference_mode():
            units = units_of(window, batch, config, state)
            following = advance(model, units.normalize(window, batch["valid"]), conditions, units, config)
            diverged = not bool((following.abs() <= LARGEST_DEVIATION).all())
            frame = units.denormalize(following)
            window = torch.cat((window[:, 1:], frame[:, None].masked_fill(~batch["valid"][:, None, None], 0.0)), 1)
        if step == 1 and not bool(following.isfinite().all()):
            advice = "train the model again"
            raise BadInput(simulation.source, "prediction", "values that are not finite", "numbers", advice)
        if diverged:
            blown_up(step)
            yield from ([np.stack(block)] if block else [])
            yield from _nan_blocks(context, steps - step + 1, per_block)
            return
        block.append(np.where(valid, frame[0].cpu().numpy(), np.float32(np.nan)))
        if len(block) == per_block:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)


def _nan_blocks(context: NDArray[np.float32], frames: int, per_block: int) -> Iterator[NDArray[np.float32]]:
    for done in range(0, frames, per_block):
        yield np.full((min(per_block, frames - done), *context.shape[1:]), np.nan, np.float32)


def average(rollouts: Sequence[Rollout]) -> Rollout:
    """The mean of several rollouts of one simulation, with their sample standard deviation.

    Where a rollout has blown up, the mean is NaN, and its fact says which.
    """
    first = rollouts[0]

    def blocks() -> Iterator[NDArray[np.float32]]:
        for parts in aligned([rollout.blocks for rollout in rollouts]):
            frames = np.stack([block[part] for block, part in parts]).astype(np.float64)
            mean.progress = first.progress
            yield np.concatenate([frames.mean(axis=0), frames.std(axis=0, ddof=1)], axis=1).astype(np.float32)
        for number, rollout in enumerate(rollouts):
            mean.facts |= {f"{name}_of_member_{number}": fact for name, fact in rollout.facts.items()}

    missing = np.isnan([rollout.last for rollout in rollouts]).any(axis=0)
    mean = replace(
        first,
        blocks=blocks(),
        last=np.where(missing, np.float32(np.nan), first.last),
        spread=tuple(map(_spread, first.simulation.fields)),
        facts={},
    )
    return mean


def _spread(field: Field) -> Field:
    return Field(
        name=f"{field.name}_spread",
        components=tuple(f"{component}_spread" for component in field.components),
        units=field.units,
        long_name=f"standard deviation of {field.long_name or field.name} between the members of the ensemble",
    )
