"""Select the device of `--device`."""

import torch

from transect.pipelines.errors import UsageError


def choose(name: str) -> torch.device:
    """Select a device by name.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps", or "auto" for the first CUDA device if there is one and else the CPU.

    Raises:
        UsageError: the device is not available; the message lists those that are.
    """
    available = ["cpu", *(["mps"] if torch.backends.mps.is_available() else [])]
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if name == "auto":
        return torch.device(gpus[0] if gpus else "cpu")
    if (f"{name}:0" if name == "cuda" else name) not in (*available, *gpus):
        raise UsageError(f"--device: found {name}, expected one of auto, {', '.join([*available, *gpus])}")
    return torch.device(name)
