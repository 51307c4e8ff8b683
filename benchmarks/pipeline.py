"""CPU time of batch inference on top of the model: `python -m benchmarks.pipeline [model name] [side] [precision]`.

Prints CPU seconds of the bare model over the tiles of a scene, of the whole pipeline on the same scene (reading,
blending, writing, polygons, pictures, the map, hashes), each in one thread, and their difference, which hardly depends
on the model, next to what the processor computes in. The least of five runs counts, since other work on the machine
only adds. Exit status: 1 if the difference exceeds its limit.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin

from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.config import Config
from transect.apps.change_detection.inference import Tiling
from transect.apps.change_detection.models.build import build
from transect.apps.change_detection.models.config import ModelConfig, ModelName
from transect.core.precision import Precision, autocast, computes_in_bf16
from transect.data_adapters.change_detection.phantom import draw_pair
from transect.pipelines.model_folder import Model
from transect.pipelines.predict_case import predict_case

TILE, OVERLAP = 512, 64
LIMIT = 0.7 / 2048**2
"""CPU seconds of the pipeline itself for a pixel."""
RUNS = 5
CPU = torch.device("cpu")


def write_scene(folder: Path, side: int) -> tuple[str, str]:
    """Write a georeferenced synthetic pair of `side` x `side` pixels, tiled and compressed."""
    pieces = [draw_pair(np.random.default_rng(seed), seed)[:2] for seed in range(16)]
    profile = {
        **dict(driver="GTiff", dtype="uint8", count=3, width=side, height=side, crs="EPSG:32637"),
        **dict(tiled=True, blockxsize=512, blockysize=512, compress="deflate", predictor=2, interleave="pixel"),
        "transform": from_origin(589035, 756165, 0.5, 0.5),
    }
    paths = []
    for date, name in enumerate(("before", "after")):
        across = -(-side // pieces[0][0].shape[1])
        rows = [
            np.concatenate([pieces[(row + column) % 16][date] for column in range(across)], 1) for row in range(across)
        ]
        image = np.concatenate(rows)[:side, :side]
        paths.append(str(folder / f"{name}.tif"))
        with rasterio.open(paths[-1], "w", **profile) as raster:
            raster.write(image.transpose(2, 0, 1))
    return paths[0], paths[1]


def main(name: str = "unet", side_length: str = "2048", precision: str = "auto") -> int:
    """Measure and print; returns 1 if the difference is above the limit."""
    side = int(side_length)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model_name: ModelName = next(choice for choice in get_args(ModelName) if choice == name)
    config = replace(Config(), model=ModelConfig(name=model_name), tile=TILE, overlap=OVERLAP, threshold=1.0)
    config = replace(config, precision=next(choice for choice in get_args(Precision) if choice == precision))
    app = ChangeDetection(config)
    module = build(config.model).to(memory_format=torch.channels_last).eval()
    starts = Tiling(TILE, OVERLAP).starts(side)
    tiles = len(starts) ** 2
    batch = [torch.rand(config.tiles_per_batch, 3, TILE, TILE).to(memory_format=torch.channels_last) for _ in range(2)]
    sizes = [
        len(starts[first : first + config.tiles_per_batch]) for first in range(0, len(starts), config.tiles_per_batch)
    ]

    def bare() -> None:
        with torch.inference_mode(), autocast(config.precision, CPU):
            for size in sizes * len(starts):
                module.score(batch[0][:size], batch[1][:size])

    with tempfile.TemporaryDirectory() as scratch:
        paths = write_scene(Path(scratch), side)
        (case,) = app.adapter.cases(*paths)
        model = Model("benchmark", Path(scratch), "", app, module)

        def whole() -> None:
            with tempfile.TemporaryDirectory(dir=scratch) as out:  # a new one, so that no case is already there
                outcome = predict_case(model, case, Path(out))
            assert outcome.status == "done", outcome.message

        bare_seconds, whole_seconds = [], []
        with torch.inference_mode(), autocast(config.precision, CPU):
            module.score(batch[0][:1], batch[1][:1])
        for _ in range(RUNS):  # alternating, so that other load affects both equally
            bare_seconds.append(_cpu_seconds(bare))
            whole_seconds.append(_cpu_seconds(whole))
    bare_least, whole_least = min(bare_seconds), min(whole_seconds)
    own, limit = whole_least - bare_least, LIMIT * side**2
    computes = "bf16" if config.precision != "fp32" and computes_in_bf16(CPU) else "fp32"
    print(f"{name}, {side} x {side} pixels, {tiles} tiles of {TILE} with {OVERLAP} overlap, 1 thread, {computes}")
    print(f"bare model     {bare_least:8.2f} CPU s")
    print(f"whole pipeline {whole_least:8.2f} CPU s   {side * side / 1e6 / whole_least:.3f} Mpx/core-s")
    print(f"pipeline's own {own:8.2f} CPU s   at most {limit:.2f}")
    return int(own > limit)


def _cpu_seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
