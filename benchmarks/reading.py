"""Throughput and memory of reading a large image pair: `python -m benchmarks.reading`.

Two RGB uint8 pairs, 10k and 20k pixels a side (deflate, predictor 2, blocks of 512, compressed to about 0.55 like
LEVIR-CD), are written, read in several ways and deleted. Rates are megabytes delivered per core-second
(`time.process_time`, one GDAL thread, files in the page cache): with overlap, tiles have more bytes than the scene.
Decoded blocks are counted by the bytes that the process read from the files (Linux only): a block that is decoded again
is read again. Reading whole blocks one by one, which no model can use, is the upper bound on this machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter

from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.scene import Scene
from transect.data_adapters.overlap import prefetch

BLOCK = TILE = 512
SMALL, LARGE = 10_000, 20_000
BANDS: list[int | str] = [1, 2, 3]
OVERLAPS = 64, 128
GOAL_RATE, GOAL_MEMORY = 400, 1.1
CEILING, STRIPS = "whole blocks one by one (ceiling)", "strips"
OURS, PLAIN = "strips cut into 512 tiles", "rasterio windows of 512"


def main() -> None:
    """Print all results; with `--peak`, the peak memory of reading one pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to write the pairs, about 4 GB; default: a temporary folder")
    parser.add_argument("--peak", nargs=2, metavar=("BEFORE", "AFTER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(peak_memory(tuple(arguments.peak)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        small, large = (build_pair(Path(folder), side) for side in (SMALL, LARGE))
        report_rates(small)
        report_memory(small, large)


def build_pair(folder: Path, side: int) -> tuple[str, str]:
    """Write two rasters of `side` pixels, a smooth background with noise; return their paths."""
    rng = np.random.default_rng(0)
    paths = folder / f"before_{side}.tif", folder / f"after_{side}.tif"
    for path in paths:
        background = gaussian_filter(rng.normal(size=(8, BLOCK, BLOCK)), (0, 6, 6)) * 400 + 120
        noise = rng.normal(scale=3, size=(8, 3, BLOCK, BLOCK))
        blocks = np.clip(background[:, None] + noise, 0, 255).astype(np.uint8)
        with rasterio.open(
            path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", crs="EPSG:32632",
            transform=from_origin(5e5, 5e6, 0.5, 0.5), compress="deflate", predictor=2, interleave="pixel", tiled=True,
            blockxsize=BLOCK, blockysize=BLOCK, num_threads=2, bigtiff="if_safer",
        ) as raster:  # fmt: skip
            for index, (_, window) in enumerate(raster.block_windows()):
                raster.write(blocks[index % 8, :, : window.height, : window.width], window=window)
        stored = path.stat().st_size / (3 * side * side)
        print(f"built {path.name}: {side} x {side} x 3, compressed to {stored:.2f}", file=sys.stderr)
    return str(paths[0]), str(paths[1])


def report_rates(pair: tuple[str, str]) -> None:
    """Print megabytes delivered per core-second for each way of reading, and how often each block was decoded."""
    for path in pair:  # into the page cache
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass
    stored = sum(Path(path).stat().st_size for path in pair)
    ways: dict[str, Callable[[], Iterator[int]]] = {}
    ways[CEILING], ways[STRIPS] = partial(whole_blocks, pair), partial(our_strips, pair)
    for overlap in OVERLAPS:
        ways[f"{OURS}, overlap {overlap}"] = partial(our_tiles, pair, overlap)
        ways[f"{PLAIN}, overlap {overlap}"] = partial(plain_tiles, pair, overlap)
    if find_spec("torchgeo"):
        ways["torchgeo windows of 512, overlap 128"] = partial(torchgeo_tiles, pair, 128)
    print(f"{'10k x 10k RGB deflate pair':44s} {'MB/core-s':>10s} {'core-s':>7s} {'each block decoded':>19s}")
    rates = {}
    for name, way in ways.items():
        read_before, start = bytes_read(), time.process_time()
        delivered = sum(way())
        seconds = time.process_time() - start
        rates[name] = delivered / 1e6 / seconds
        times = (bytes_read() - read_before) / stored
        print(f"{name:44s} {rates[name]:10.0f} {seconds:7.2f} {times:18.2f}x")
    if not find_spec("torchgeo"):
        print("torchgeo is not installed: its reader was not measured")
    print(f"strips: {rates[STRIPS] / rates[CEILING]:.2f} x the ceiling")
    for overlap in OVERLAPS:
        ours, plain = (rates[f"{way}, overlap {overlap}"] for way in (OURS, PLAIN))
        print(f"overlap {overlap}: {ours / plain:.2f} x rasterio, {ours:.0f} MB/core-s (goal {GOAL_RATE})")


def report_memory(small: tuple[str, str], large: tuple[str, str]) -> None:
    """Print the peak memory of two fresh processes that read the pairs as inference does."""
    command = [sys.executable, "-m", "benchmarks.reading", "--peak"]
    runs = [subprocess.run([*command, *pair], check=True, capture_output=True) for pair in (small, large)]
    peaks = [float(run.stdout) for run in runs]
    print(f"peak memory: {peaks[0]:.0f} MB at 10k, {peaks[1]:.0f} MB at 20k", end="")
    print(f", ratio {peaks[1] / peaks[0]:.3f} (goal {GOAL_MEMORY})")


def peak_memory(pair: tuple[str, str]) -> float:
    """Peak resident memory of this process (VmHWM, MB) after reading `pair` in tiles with a reader thread."""
    for _ in our_tiles(pair, 128):
        pass
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def whole_blocks(pair: tuple[str, str]) -> Iterator[int]:
    """Bytes of each block, read once and discarded."""
    for path in pair:
        with rasterio.Env(GDAL_CACHEMAX=8 << 20), rasterio.open(path) as raster:
            for _, window in raster.block_windows():
                yield raster.read(BANDS, window=window).nbytes


def our_strips(pair: tuple[str, str]) -> Iterator[int]:
    """Bytes of each strip of the scene."""
    scene = Scene.open(pair[:1], pair[1:], ReadConfig(bands=BANDS))
    for strip in scene.strips():
        yield strip.before.nbytes + strip.after.nbytes


def our_tiles(pair: tuple[str, str], overlap: int) -> Iterator[int]:
    """Bytes of each 512 tile, copied into a buffer from strips that are prefetched by one, as for a batch."""
    scene = Scene.open(pair[:1], pair[1:], ReadConfig(bands=BANDS))
    width, height, stride = scene.grid.width, scene.grid.height, TILE - overlap
    tile = np.empty((2, len(BANDS), TILE, TILE), np.uint8)
    held = np.empty((2, len(BANDS), TILE, width), np.uint8)
    row = holding = 0
    for strip in prefetch(scene.strips()):
        end = strip.row + strip.after.shape[1]
        while row + TILE <= end or (end == height and row + overlap < end):
            above = min(max(0, strip.row - row), TILE)
            rows = min(TILE, end - row)
            for col in range(0, width - overlap, stride):
                columns = slice(col, min(col + TILE, width))
                part = tile[:, :, :rows, : columns.stop - col]
                for date, pixels in enumerate((strip.before, strip.after)):
                    first = holding - above
                    part[date, :, :above] = held[date, :, first : first + above, columns]
                    part[date, :, above:] = pixels[:, row + above - strip.row : row + rows - strip.row, columns]
                yield part.nbytes
            row += stride
        fresh = min(max(0, end - row), len(strip.valid))
        kept = max(0, end - row - fresh)
        for date, pixels in enumerate((strip.before, strip.after)):
            for band, rows_held in zip(pixels, held[date], strict=True):
                rows_held[:kept] = rows_held[holding - kept : holding]
                rows_held[kept : kept + fresh] = band[len(band) - fresh :]
        holding = kept + fresh
        del strip, pixels, band


def plain_tiles(pair: tuple[str, str], overlap: int) -> Iterator[int]:
    """Bytes of the same tiles, each read by rasterio with GDAL's default cache."""
    with rasterio.open(pair[0]) as before, rasterio.open(pair[1]) as after:
        for row in range(0, before.height - overlap, TILE - overlap):
            for col in range(0, before.width - overlap, TILE - overlap):
                window = Window(col, row, min(TILE, before.width - col), min(TILE, before.height - row))
                yield sum(raster.read(BANDS, window=window).nbytes for raster in (before, after))


def torchgeo_tiles(pair: tuple[str, str], overlap: int) -> Iterator[int]:
    """Bytes of the tiles that torchgeo's grid sampler reads from both rasters."""
    from torchgeo.datasets import RasterDataset
    from torchgeo.samplers import GridGeoSampler

    datasets = [RasterDataset(path) for path in pair]
    for box in GridGeoSampler(datasets[0], size=TILE, stride=TILE - overlap):
        yield sum(dataset[box]["image"].numel() for dataset in datasets)


def bytes_read() -> int:
    """Bytes that this process has read from files so far; 0 if the system does not report it."""
    counters = Path("/proc/self/io")
    return int(counters.read_text().split("rchar:")[1].split()[0]) if counters.exists() else 0


if __name__ == "__main__":
    main()
