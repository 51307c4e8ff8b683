"""Selection of the floating-point precision that a device supports natively."""

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]


def computes_in_bf16(device: torch.device) -> bool:
    """Whether `device` has instructions for bf16; without them bf16 is many times slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Context that computes in bf16 if requested, or with "auto" if `device` supports it natively; else in fp32."""
    bf16 = precision == "bf16" or (precision == "auto" and computes_in_bf16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)
