"""Memory and time to segment a large volume, with MONAI's for comparison: `python -m benchmarks.volumes`.

A synthetic volume of 512 x 512 x 300 voxels (int16, 0.7 x 0.7 x 1 mm, written as NIfTI) is read, resampled to
1.5 x 1.5 x 2 mm, predicted in windows of 96 x 96 x 64, brought back to its own grid, and its mask is written. Each row
is a process of its own: the peak of its memory above that after all imports, and the CPU seconds of one thread from the
last window to the mask.

The network of the first two rows takes the logit of a voxel from its intensity alone, so that the memory is that of
everything else, and both masks have to agree. The last row is the app with a model of default size and random weights.
MONAI's row is its transforms Orientationd, Spacingd and NormalizeIntensityd, sliding_window_inference and Invertd.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from transect.apps.liver_mri import app as liver
from transect.apps.liver_mri.config import Config, State

SHAPE, VOXEL, SPACING = (512, 512, 300), (0.7, 0.7, 1.0), (1.5, 1.5, 2.0)
GOAL = 1.5
OURS, MONAI, DEFAULT = "ours, network of one voxel", "MONAI, network of one voxel", "ours, default model"
#: Smallest Dice of the masks of ours and of MONAI, whose resampled grids and edges differ a little.
AGREEMENT = 0.95


class OneVoxel(nn.Module):
    """The normalized intensity less 1 as the logit."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(-1.0))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """`(batch, 1, X, Y, Z)` in and out."""
        return (x + self.offset,)


def write_volume(path: Path, shape: tuple[int, ...] = SHAPE) -> None:
    """Write smooth blobs with some noise inside an ellipsoid of air, with axes in the directions LPS."""
    rng = np.random.default_rng(0)
    coarse = ndimage.gaussian_filter(rng.normal(size=[-(-n // 8) for n in shape]), 3)
    coarse /= coarse.std()
    header = nib.Nifti1Image(np.zeros((1, 1, 1), np.int16), np.diag([-VOXEL[0], -VOXEL[1], VOXEL[2], 1])).header
    values = np.empty(shape, np.int16)
    x, y = ((np.arange(n) - n / 2) / (0.45 * n) for n in shape[:2])
    inside = x[:, None] ** 2 + y**2 < 1
    for k in range(shape[2]):
        plane = coarse[..., k // 8].repeat(8, 0).repeat(8, 1)[: shape[0], : shape[1]]
        values[..., k] = inside * (300 + 80 * ndimage.uniform_filter(plane, 8) + rng.normal(size=shape[:2]))
    nib.save(nib.Nifti1Image(values, header.get_best_affine(), header), path)


def ours(volume: Path, out: Path, config: Config, model: nn.Module | None) -> dict[str, float]:
    """Segment a volume with the app, and write what `transect predict` does; the CPU seconds after the network."""
    app = liver.LiverMRI(config, State(spacing=SPACING, shape=(256, 256, 256), resolution="full"))
    torch.manual_seed(0)
    network = (app.model() if model is None else model).eval()
    started: list[float] = []

    def slabs(*arguments: Any) -> Iterator[Any]:
        started.append(time.process_time())
        return liver_slabs(*arguments)

    liver_slabs = liver.slabs
    (case,) = app.adapter.cases(str(volume))
    with mock.patch.object(liver, "slabs", slabs):
        prediction = app.predict(network, app.adapter.read(case))
        voxels = int(prediction.mask.sum())
    seconds = time.process_time() - started[0]
    app.adapter.write(case, prediction, out, "benchmark")
    return {"seconds": seconds, "voxels": voxels}


def monai_path(volume: Path, out: Path) -> dict[str, float]:
    """The same with MONAI's transforms."""
    from monai.inferers import sliding_window_inference
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        NormalizeIntensityd,
        Orientationd,
        SaveImage,
        Spacingd,
    )

    prepare = Compose(
        [
            LoadImaged("image", dtype=np.float32),
            EnsureChannelFirstd("image"),
            Orientationd("image", "RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd("image", SPACING, mode="bilinear", padding_mode="border"),
            NormalizeIntensityd("image", nonzero=True),
        ]
    )
    sample, model = prepare({"image": str(volume)}), OneVoxel()
    with torch.inference_mode():
        logits = sliding_window_inference(
            sample["image"][None], (96, 96, 64), 1, lambda x: model(x)[0], overlap=0.25, mode="gaussian"
        )
        sample["pred"] = torch.sigmoid(logits[0])
        start = time.process_time()
        inverse = Invertd("pred", prepare, orig_keys="image", nearest_interp=False, to_tensor=True)
        mask = inverse(sample)["pred"] >= 0.5
        seconds = time.process_time() - start
        SaveImage(out, output_dtype=np.uint8, print_log=False, separate_folder=False, output_postfix="mask")(mask)
    return {"seconds": seconds, "voxels": int(mask.sum())}


def run(way: str, volume: Path, out: Path) -> dict[str, float]:
    """One row, in this process: seconds, voxels of the mask, and the peak of memory above the imports in MB."""
    import monai.inferers
    import monai.transforms  # noqa: F401

    from transect.data_adapters.liver_mri import write  # noqa: F401

    torch.set_num_threads(1)
    before = _memory("VmRSS")
    rows: dict[str, Callable[[], dict[str, float]]] = {
        OURS: lambda: ours(volume, out, Config(), OneVoxel()),
        MONAI: lambda: monai_path(volume, out),
        DEFAULT: lambda: ours(volume, out, Config(), None),
    }
    result = rows[way]()
    return result | {"peak": _memory("VmHWM") - before}


def _memory(name: str) -> float:
    """A line of `/proc/self/status` in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024 / 1e6


def dice(folder: Path) -> float:
    """Dice of the two masks."""
    masks = (nib.Nifti1Image.from_filename(next(folder.glob(f"{number}/*mask.nii.gz"))) for number in (0, 1))
    first, second = (np.asanyarray(mask.dataobj) > 0 for mask in masks)
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def main(shape: tuple[int, ...] = SHAPE, ways: tuple[str, ...] = (OURS, MONAI, DEFAULT)) -> int:
    """Print the table; returns 1 if ours needs more memory than the goal."""
    peaks = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_volume(root / "volume.nii.gz", shape)
        print(f"{' x '.join(map(str, shape))} int16, {root.joinpath('volume.nii.gz').stat().st_size / 1e6:.0f} MB")
        print(f"{'':30} {'peak MB':>8} {'CPU s back to the grid':>24} {'voxels':>10}")
        for number, way in enumerate(ways):
            (root / str(number)).mkdir()
            command = [sys.executable, "-m", "benchmarks.volumes", way]
            command += [str(root / "volume.nii.gz"), str(root / str(number))]
            row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout.splitlines()[-1])
            peaks[way] = row["peak"]
            print(f"{way:30} {row['peak']:8.0f} {row['seconds']:24.1f} {row['voxels']:10}", flush=True)
        agreement = dice(root)
    print(f"Dice of ours and MONAI's: {agreement:.4f}")
    assert agreement >= AGREEMENT, "ours and MONAI's masks differ"
    print(f"goal: at most {GOAL} GB above the imports")
    return int(max(peak for way, peak in peaks.items() if way != MONAI) > 1000 * GOAL)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        sys.exit(main())
