"""The training loss: mean square error of an autoregressive rollout of a few steps."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from transect.apps.pde.config import Config, State
from transect.apps.pde.step import advance, conditions_of, units_of


def step_loss(model: nn.Module, batch: Mapping[str, Tensor], config: Config, state: State) -> Tensor:
    """Mean square error of `config.unroll` autoregressive steps, over valid cells.

    Errors are in units of a field's standard deviation or, where the model predicts increments, of its typical change.
    In training, noise is added to the context to make rollouts robust to the model's own errors.

    Args:
        model: called as `model(states, conditions)`.
        batch: collated examples of `Windows`.
        config: the app's.
        state: the app's.

    Source: noise: Sanchez-Gonzalez et al., "Learning to Simulate Complex Physics with Graph Networks" (2020), section
    3.5; unrolled training: Brandstetter et al., "Message Passing Neural PDE Solvers" (2022), section 3.1, with the
    gradient through all steps.
    """
    states, valid = batch["states"], batch["valid"]
    conditions = conditions_of(batch, state)
    units = units_of(states[:, : config.context], batch, config, state)
    frames = units.normalize(states, valid)
    window = frames[:, : config.context]
    if model.training and config.noise:
        window = window + config.noise * torch.randn_like(window) * valid[:, None, None]
    counted = valid[:, None].expand(-1, states.shape[2], *valid.shape[1:])
    losses = []
    for step in range(config.unroll):
        following = advance(model, window, conditions, units, config)
        error = following - frames[:, config.context + step]
        if config.increment:
            error = error / units.change
        losses.append((error.square() * counted).sum() / counted.sum().clamp(min=1))
        window = torch.cat((window[:, 1:], following[:, None]), 1)
    return torch.stack(losses).mean()
