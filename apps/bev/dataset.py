"""Training samples: images, calibration and labels of a rig as arrays of one size, read from prepared copies."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from transect.apps.bev.config import Config
from transect.apps.prepared import PreparedCopies
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.sample import Frame, FrameCase

VIEWS = 8
"""Number of views of an item; a sample with fewer is padded."""

Arrays = dict[str, NDArray[np.generic]]


class TrainingSamples(Dataset[Arrays]):
    """The samples of `cases` in their order.

    An item has `images` uint8 `(VIEWS, 3, h, w)`, `intrinsics` float32 `(VIEWS, 3, 3)`, `camera_to_ego` float32
    `(VIEWS, 4, 4)`, `present` bool `(VIEWS,)`, `masks` uint8 `(classes, H, W)`, `center` float32 and `visibility` uint8
    `(H, W)`. Views that are not there are black, with the identity as their calibration.

    Decoding six images of 1600 x 900 takes 0.16 CPU seconds, three times a step of a small network. Samples are
    therefore kept in a temporary folder after they are first read, if all of them fit in half of the free space there.

    Args:
        cases: The samples.
        read: Reads one.
        config: Settings.
    """

    def __init__(self, cases: Sequence[FrameCase], read: Callable[[FrameCase], Frame], config: Config) -> None:
        self.cases, self.read, self.classes = cases, read, config.classes
        self.copies = PreparedCopies("samples")
        images = 3 * VIEWS * config.read.height * config.read.width
        labels = config.read.grid.height * config.read.grid.width * (len(config.classes) + 5)
        self.kept = len(cases) * (images + labels) <= shutil.disk_usage(self.copies.root).free // 2

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Arrays:
        if not self.kept:
            return padded(self._read(index))
        folder = self.copies.folder(index, partial(self._write, index))
        with np.load(folder / "sample.npz") as stored:
            arrays = dict(stored)
        return padded(arrays)

    def _read(self, index: int) -> Arrays:
        return with_labels(self.read(self.cases[index]), self.classes)

    def _write(self, index: int, folder: Path) -> None:
        np.savez(folder / "sample.npz", **self._read(index))


def inputs(frame: Frame) -> Arrays:
    """What a network is given of a sample: `images` uint8 `(n, 3, h, w)`, `intrinsics`, `camera_to_ego` float32."""
    return {
        "images": np.ascontiguousarray(frame.images.transpose(0, 3, 1, 2)),
        "intrinsics": frame.intrinsics.astype(np.float32),
        "camera_to_ego": frame.camera_to_ego.astype(np.float32),
    }


def with_labels(frame: Frame, classes: Sequence[str]) -> Arrays:
    """The inputs and labels of a sample.

    Raises:
        BadInput: it has no labels, or lacks that of a class.
    """
    labels = frame.labels()
    if labels is None:
        raise BadInput(frame.case.files[0], "labels", "none", "annotations, to train on")
    return {
        **inputs(frame),
        "masks": np.stack([labels.mask(name) for name in classes]),
        "center": labels.center.astype(np.float32),
        "visibility": labels.visibility,
    }


def padded(arrays: Arrays) -> Arrays:
    """The arrays of a sample with VIEWS views, and which of them are `present`."""
    count = len(arrays["images"])
    whole = dict(arrays, present=np.arange(VIEWS) < count)
    for name, filling in (("images", 0), ("intrinsics", np.eye(3)), ("camera_to_ego", np.eye(4))):
        values = arrays[name]
        every = np.empty((VIEWS, *values.shape[1:]), values.dtype)
        every[:count], every[count:] = values, filling
        whole[name] = every
    return whole
