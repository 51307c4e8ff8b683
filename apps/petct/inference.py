"""Classify the slices of a whole study."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from transect.apps.petct.config import Config
from transect.apps.petct.models.resnet import SliceNetwork
from transect.apps.petct.prepare import prepare, with_neighbours
from transect.core.precision import autocast
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.study import Study


def slice_logits(
    model: SliceNetwork, study: Study, config: Config, progress: Callable[[float], None] = lambda done: None
) -> NDArray[np.float64]:
    """The logit of each slice, float64 `(Z,)`.

    Features are computed `slices_per_batch` slices at a time, and then all of them are judged in one pass.

    Args:
        model: The network.
        study: The study.
        config: Settings.
        progress: Is given the finished share.

    Raises:
        BadInput: the study has no CT and the network takes one, or logits are not finite.
    """
    device = next(model.parameters()).device
    total, neighbours = study.pet.grid.shape[2], config.model.neighbours
    features = []
    with torch.inference_mode(), autocast(config.precision, device):
        for first in range(0, total, config.slices_per_batch):
            count = min(config.slices_per_batch, total - first)
            low = max(first - neighbours, 0)
            near = prepare(study, config, slice(low, min(first + count + neighbours, total)))
            images = torch.from_numpy(with_neighbours(near, first - low, count, neighbours))
            features.append(model.trunk(images.to(device)))
            progress((first + count) / total)
    # In full precision: bf16 would give slices of different probability the same logit.
    with torch.inference_mode():
        logits = model.logits(torch.cat(features).float()[None])[0]
    found: NDArray[np.float64] = logits.double().cpu().numpy()
    if not np.isfinite(found).all():
        advice = "set precision fp32, or train the model again"
        raise BadInput(study.pet.name, "prediction", "logits that are not finite", "numbers", advice)
    return found
