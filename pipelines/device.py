"""The device that a model computes on, as `--device` names it."""

import torch

from transect.pipelines.errors import UsageError


def choose(name: str) -> torch.device:
    """The device called `name`; "auto" is the first CUDA device where there is one, else the CPU.

    Raises:
        UsageError: this machine has no such device.
    """
    available = ["cpu", *(["mps"] if torch.backends.mps.is_available() else [])]
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if name == "auto":
        return torch.device(gpus[0] if gpus else "cpu")
    if (f"{name}:0" if name == "cuda" else name) not in (*available, *gpus):
        raise UsageError(f"--device: found {name}, expected one of auto, {', '.join([*available, *gpus])}")
    return torch.device(name)
