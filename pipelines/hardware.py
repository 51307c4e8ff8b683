"""What the machine computes well."""

import torch


def computes_in_bf16() -> bool:
    """Whether a GPU, or else the CPU, has instructions for bf16: without them bf16 is many times slower than fp32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
