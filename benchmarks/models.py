"""Inference speed of the change detectors on one CPU core: `python -m benchmarks.models [tile size]`.

Prints megapixels of image pair per core-second (best of a few runs, CPU time) and the ratio to a plain
`segmentation_models_pytorch.Unet` with a ResNet-18 in fp32, measured in the same run, so that machines can be compared.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable

# Set before torch is imported: huge pages speed up large matrices, and idle threads must not spin.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from transect.apps.change_detection.models.build import build
from transect.apps.change_detection.models.config import ModelConfig, ModelName
from transect.apps.change_detection.models.detector import ChangeDetector
from transect.core.precision import computes_in_bf16

NAMES: tuple[ModelName, ...] = ("unet", "siamese_concat", "siamese_difference", "cdmaskformer")
REPEATS = 3
BF16 = computes_in_bf16(torch.device("cpu"))  # otherwise bf16 is emulated and takes minutes per tile
COLUMNS = "{:<20} {:<10} {:<14} {:>9} {:>14} {:>15}"


def seconds(run: Callable[[], object]) -> float:
    """Minimum CPU time of `REPEATS` runs after a warm-up."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def scorer(model: ChangeDetector, pair: list[Tensor], bf16: bool, channels_last: bool) -> Callable[[], object]:
    """A function that runs the model on a pair of images."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    images = [image.contiguous(memory_format=layout) for image in pair]

    def run() -> None:
        autocast = torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            model.score(*images)

    return run


def main(size: int = 512) -> None:
    """Measure every model in fp32 and, if supported, bf16, contiguous and channels-last."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pair = [torch.randn(1, 3, size, size) for _ in range(2)]
    megapixels = size * size / 1e6

    peer = smp.Unet("resnet18", encoder_weights=None, in_channels=6, classes=1).eval()
    with torch.inference_mode():
        baseline = megapixels / seconds(lambda: peer(torch.cat(pair, 1)).sigmoid())
    if not BF16:
        print("this CPU has no bf16 instructions: bf16 is skipped", file=sys.stderr)
    print(COLUMNS.format("model", "precision", "layout", "Mpx/core-s", "x smp Unet fp32", "x own fp32"))
    print(COLUMNS.format("smp.Unet resnet18", "fp32", "contiguous", f"{baseline:.3f}", "1.00", "1.00"))
    for name in NAMES:
        model = build(ModelConfig(name=name)).eval()
        own = None
        for bf16 in (False, True) if BF16 else (False,):
            for channels_last in (False, True):
                speed = megapixels / seconds(scorer(model, pair, bf16, channels_last))
                own = own or speed
                precision, layout = "bf16" if bf16 else "fp32", "channels_last" if channels_last else "contiguous"
                ratios = f"{speed / baseline:.2f}", f"{speed / own:.2f}"
                print(COLUMNS.format(name, precision, layout, f"{speed:.3f}", *ratios), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
