"""Pretrained encoders of the U-Nets from a local file, under the names of torchvision, timm or segmentation-models."""

from pathlib import Path

import torch
from torch import Tensor, nn

from transect.apps.published import fill, load_reference, unwrapped
from transect.data_adapters.base import BadInput

WRAPPED = "model."
"""Prefix of the encoders that segmentation-models-pytorch takes from timm, where there is none."""


def load_encoder(encoder: nn.Module, name: str, file: str | Path) -> None:
    """Load the weights of an encoder.

    What follows the encoder, such as a classifier, is left out. If the number of bands differs, the kernels of the
    first convolution are repeated in their order and scaled, so that equal bands give the same sum.

    Args:
        encoder: The encoder, whose weights are replaced.
        name: Its name, for errors.
        file: Safetensors, or a torch file that runs no code.

    Raises:
        BadInput: the file cannot be read, a tensor is missing, left over, of another shape, or not finite.
    """
    state = {key.removeprefix(WRAPPED): tensor for key, tensor in encoder.state_dict().items()}
    first = next(iter(state))
    modules = {key.partition(".")[0] for key in state}
    found = unwrapped(load_reference(file), first, source=file, model=name)
    tensors = {key: tensor for key, tensor in found.items() if key.partition(".")[0] in modules}
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor.float()).all():
            raise BadInput(file, key, "values that are not finite", "numbers")
    # Files of early versions of torch lack the counters of batches, which do not change what is computed.
    counters = {key: tensor for key, tensor in state.items() if key.endswith("num_batches_tracked")}

    def adapted(key: str, parts: list[Tensor]) -> Tensor:
        (tensor,) = parts
        bands = state[first].shape[1]
        if key.removeprefix(WRAPPED) != first or tensor.ndim != 4 or tensor.shape[1] in (0, bands):
            return tensor
        order = torch.arange(bands) % tensor.shape[1]
        return tensor[:, order] * (tensor.shape[1] / bands)

    fill(encoder, counters | tensors, lambda key: [key.removeprefix(WRAPPED)], source=file, join=adapted)
