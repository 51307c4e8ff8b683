"""A model fed with its own predictions, frame by frame, lazily."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transect.apps.pde.config import Config, State
from transect.apps.pde.dataset import surroundings
from transect.apps.pde.step import advance, conditions_of, units_of
from transect.data_adapters.pde.simulation import Simulation

LARGEST_DEVIATION = 1e4
"""A rollout ends when a value is so many deviations from the mean: from there on there is nothing but numbers."""
BLOCK_VALUES = 2**22
"""Values that are handed on at a time, in as many frames as that allows for."""


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

    Memory holds the context and one block. Where a prediction is no longer finite or left all bounds, `blown_up` is
    told its step, counted from 1, and that frame and all after it are NaN.

    Args:
        model: in evaluation mode.
        simulation: what is continued.
        context: float32 `(config.context, channels, *shape)`, of the frames before frame `start`.
        valid: bool `(*shape)`, where the context has values; predictions are NaN elsewhere.
        start: the number of the first predicted frame.
        steps: how many frames to predict.
        config: the app's.
        state: the app's.
        blown_up: called at most once.
    """
    device = next(model.parameters()).device
    told = surroundings(simulation, valid, config, state, start - 1)
    batch = {name: tensor[None].to(device) for name, tensor in told.items()}
    conditions = conditions_of(batch, state)
    window = torch.from_numpy(np.where(valid, context, np.float32(0)))[None].to(device)
    block: list[NDArray[np.float32]] = []
    per_block = max(1, BLOCK_VALUES // context[0].size)
    for step in range(1, steps + 1):
        with torch.inference_mode():
            units = units_of(window, batch, config, state)
            following = advance(model, units.off(window, batch["valid"]), conditions, units, config)
            lost = not bool((following.abs() <= LARGEST_DEVIATION).all())
            frame = units.on(following)
            window = torch.cat((window[:, 1:], frame[:, None].masked_fill(~batch["valid"][:, None, None], 0.0)), 1)
        if lost:
            blown_up(step)
            yield from ([np.stack(block)] if block else [])
            yield from _nothing(context, steps - step + 1, per_block)
            return
        block.append(np.where(valid, frame[0].cpu().numpy(), np.float32(np.nan)))
        if len(block) == per_block:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)


def _nothing(context: NDArray[np.float32], frames: int, per_block: int) -> Iterator[NDArray[np.float32]]:
    for at in range(0, frames, per_block):
        yield np.full((min(per_block, frames - at), *context.shape[1:]), np.nan, np.float32)
