"""Damaged and hostile inputs of every app, for `benchmarks.faults`, and what came of each."""

import json
import os
import pickle
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.pipelines import model_folder
from transect.pipelines.check import check
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_class, app_names, config_class

FLIPS = 40
"""Damaged copies of a file of each app."""
SECRET = 200
"""Value of all pixels of a raster that no input may reach."""


@dataclass
class Row:
    """Counts of one kind of fault."""

    cases: int = 0
    refused: int = 0
    right: int = 0
    losses: int = 0
    break_ins: int = 0

    @property
    def wrong(self) -> int:
        """Cases that ended in an error that names nothing, or in a wrong result."""
        return self.cases - self.refused - self.right


def damaged_files(root: Path, rng: np.random.Generator) -> Row:
    """Byte flips, truncations and runs of zeros in the files of every app."""
    row = Row()
    for name in app_names():
        adapter = app_class(name)(config_class(name)()).adapter
        adapter.phantom(root / name, 1, 0)
        files = sorted(path for path in (root / name).rglob("*") if path.is_file())
        for number in range(FLIPS):
            file = files[number % len(files)]
            content = file.read_bytes()
            file.write_bytes(_damaged(content, rng))
            row.cases += 1
            problem = _problem(partial(check, name, [str(root / name)]))
            row.right += problem == ""
            row.refused += file.name in problem and problem.count("\n") == 0
            file.write_bytes(content)
    return row


def _damaged(content: bytes, rng: np.random.Generator) -> bytes:
    damaged, place = bytearray(content), int(rng.integers(len(content)))
    kind = rng.integers(3)
    if kind == 0:
        damaged[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del damaged[place:]
    else:
        damaged[place : place + 64] = bytes(len(damaged[place : place + 64]))
    return bytes(damaged)


def _problem(run: Callable[[], Any]) -> str:
    """The problem that a check reports or the error that it raises; empty if there is none."""
    try:
        checked, _ = run()
    except (BadInput, UsageError) as error:
        return str(error)
    return "; ".join(each.problem for each in checked if each.problem)


def hostile_rasters(root: Path, rng: np.random.Generator) -> Row:
    """Rasters that name another file: virtual rasters in any spelling, side files, archives and addresses."""
    row = Row()
    data = root / "data"
    data.mkdir()
    _raster(root / "secret.tif", SECRET)
    _raster(data / "after.tif", 60)
    (root / "secret.txt").write_bytes(bytes([SECRET]) * 3 * 64 * 64)
    adapter = ChangeAdapter(ReadConfig())
    for number, text in enumerate(_virtual_rasters(root)):
        file = data / f"before{number}.vrt"
        file.write_text(text)
        row.cases += 1
        _read_hostile(adapter, str(file), str(data / "after.tif"), row)
    for name in (
        f"/vsizip/{root}/secret.zip/secret.tif", f"vrt://{root}/secret.tif", f"GTIFF_DIR:1:{root}/secret.tif",
        f"NETCDF:{root}/secret.txt:x", next(_virtual_rasters(root)),
    ):  # fmt: skip
        row.cases += 1
        _read_hostile(adapter, name, str(data / "after.tif"), row)
    return row


def _virtual_rasters(root: Path) -> Iterator[str]:
    georeference = "<SRS>EPSG:32633</SRS><GeoTransform>500000,10,0,5000000,0,-10</GeoTransform>"
    for source in ("SimpleSource", "simplesource", "ComplexSource", "KernelFilteredSource", "NoDataSource"):
        for tag in ("SourceFilename", "sourcefilename", "SOURCEFILENAME"):
            for path, relative in ((root / "secret.tif", "0"), ("../secret.tif", "1")):
                bands = "".join(
                    f'<VRTRasterBand dataType="Byte" band="{band}"><{source}><{tag} relativetovrt="{relative}">{path}'
                    f"</{tag}><SourceBand>{band}</SourceBand></{source}></VRTRasterBand>"
                    for band in (1, 2, 3)
                )
                yield f'<VRTDataset rasterXSize="64" rasterYSize="64">{georeference}{bands}</VRTDataset>'
    for attribute in ("subClass", "subclass", "SUBCLASS"):
        bands = "".join(
            f'<VRTRasterBand dataType="Byte" band="{band}" {attribute}="VRTRawRasterBand"><SourceFilename '
            f'relativeToVRT="0">{root / "secret.txt"}</SourceFilename><ImageOffset>0</ImageOffset><PixelOffset>1'
            "</PixelOffset><LineOffset>64</LineOffset></VRTRasterBand>"
            for band in (1, 2, 3)
        )
        yield f'<VRTDataset rasterXSize="64" rasterYSize="64">{georeference}{bands}</VRTDataset>'


def _read_hostile(adapter: ChangeAdapter, before: str, after: str, row: Row) -> None:
    try:
        (case,) = adapter.cases(before, after)
        pixels = np.concatenate([strip.before for strip in adapter.read(case).strips()], axis=1)
    except BadInput:
        row.refused += 1
    else:
        row.break_ins += int((pixels == SECRET).all(axis=0).any())


def _raster(path: Path, value: int) -> None:
    options: dict[str, Any] = {"driver": "GTiff", "width": 64, "height": 64, "count": 3, "dtype": "uint8"}
    options |= {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10)}
    with rasterio.open(path, "w", **options) as raster:
        raster.write(np.full((3, 64, 64), value, np.uint8))


def hostile_models(root: Path, rng: np.random.Generator) -> Row:
    """Model folders that would run code, take memory, fetch from a network, or predict from weights that are NaN."""
    row, canary = Row(), root / "ran"
    for name in app_names():
        good = random_model(root, name)
        for number, spoil in enumerate(_spoiled(canary)):
            folder = root / f"{name}{number}"
            shutil.copytree(good, folder)
            spoil(folder)
            row.cases += 1
            clock, before = time.monotonic(), len(ESCAPES)
            try:
                model_folder.load(str(folder))
            except (UsageError, BadInput) as error:
                row.refused += str(folder) in str(error) and time.monotonic() - clock < LONGEST_LOAD
            row.break_ins += len(ESCAPES) - before
    row.break_ins += canary.exists()
    return row


ESCAPES: list[str] = []
"""Connections and processes that this process started, by the name of the audit event."""
LONGEST_LOAD = 10.0


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that adds to `ESCAPES`."""
    if event in ("socket.connect", "os.system", "os.exec", "os.posix_spawn"):
        ESCAPES.append(event)


def _spoiled(canary: Path) -> Iterator[Callable[[Path], object]]:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {canary}",)

    def append(text: str) -> Callable[[Path], object]:
        return lambda folder: (folder / "config.yaml").open("a").write(text)

    def weights(content: bytes) -> Callable[[Path], object]:
        return lambda folder: (folder / "model.safetensors").write_bytes(content)

    def not_finite(folder: Path) -> None:
        file = folder / "model.safetensors"
        content = file.read_bytes()
        start = 8 + struct.unpack("<Q", content[:8])[0]
        file.write_bytes(content[:start] + b"\xff" * (len(content) - start))

    header = json.dumps({"w": {"dtype": "F32", "shape": [10**9, 10**6], "data_offsets": [0, 4]}}).encode()
    levels = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))]
    yield weights(pickle.dumps(Hostile()))
    yield weights(struct.pack("<Q", len(header)) + header + bytes(4))
    yield weights(struct.pack("<Q", 1 << 60) + b"{}")
    yield weights(b"")
    yield not_finite
    yield append("x: !!python/object/apply:os.system ['touch " + str(canary) + "']\n")
    yield append("\n".join(levels) + "\n")
    yield append("x: " + "[" * 5000 + "]" * 5000 + "\n")
    yield lambda folder: (folder / "config.yaml").write_text("app: ../../../etc\n")
    yield lambda folder: (folder / "state.json").write_text("[" * 100_000)
    yield lambda folder: (folder / "state.json").unlink()


def random_model(root: Path, name: str) -> Path:
    """A model with random weights and default settings, fitted to synthetic data."""
    torch.manual_seed(0)
    app = app_class(name)(config_class(name)())
    app.adapter.phantom(root / f"{name}_data", 3, 0)
    app = type(app)(app.config, app.fit([*app.adapter.cases(str(root / f"{name}_data"))]))
    model_folder.save(root / f"{name}_model", name, app, app.model(), "# random weights\n")
    return root / f"{name}_model"
