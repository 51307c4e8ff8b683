"""Predict the map of a sample."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transect.apps.bev.config import Config
from transect.apps.bev.dataset import inputs
from transect.core.precision import autocast
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.sample import Frame


def class_probabilities(model: nn.Module, frame: Frame, config: Config) -> NDArray[np.float32]:
    """The probability of each class on the grid, float32 `(classes, H, W)`.

    Raises:
        BadInput: logits are not finite.
    """
    device = next(model.parameters()).device
    tensors = {name: torch.from_numpy(values)[None].to(device) for name, values in inputs(frame).items()}
    images = tensors["images"].float() / 255
    with torch.inference_mode(), autocast(config.precision, device):
        logits = model(images, tensors["intrinsics"], tensors["camera_to_ego"], None)
    found = logits[0, : len(config.classes)].float().sigmoid().cpu().numpy()
    if not np.isfinite(found).all():
        advice = "set precision fp32, or train the model again"
        raise BadInput(frame.case.files[0], "prediction", "logits that are not finite", "numbers", advice)
    probabilities: NDArray[np.float32] = found
    return probabilities
