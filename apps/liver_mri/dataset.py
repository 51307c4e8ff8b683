"""Training windows of labelled volumes, read from prepared copies on disk."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from transect.apps.liver_mri.prepare import Spacing, prepare, prepare_label
from transect.apps.prepared import PreparedCopies
from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.volume.cases import LabelledVolume, VolumeCase

POSITIONS = 1024
"""Number of windows of a volume, of which an epoch takes a few."""

CENTRES = 4096
"""Number of voxels of the liver that windows may be centred on."""

Window = tuple[int, int, int]


class TrainingWindows(Dataset[dict[str, NDArray[np.generic]]]):
    """Windows of labelled volumes at fixed random places, every second one centred on a voxel of the liver.

    A volume is prepared when a window of it is first read, and kept in a temporary folder, from which only the window
    is read later. MONAI's PersistentDataset would read the whole volume each time.

    An item is `image`, float32 `(1, *window)`, normalized and padded with zeros, and `label`, uint8 `(1, *window)`.
    Item `i` is window `i % POSITIONS` of volume `i // POSITIONS`.

    Args:
        cases: the volumes.
        read: reads one.
        spacing: voxel size in mm of the working grid; empty for that of each volume.
        window: size in voxels.
    """

    def __init__(
        self,
        cases: Sequence[VolumeCase],
        read: Callable[[VolumeCase], LabelledVolume],
        spacing: Spacing,
        window: Window,
    ) -> None:
        self.cases, self.read, self.spacing, self.window = cases, read, spacing, window
        self.copies = PreparedCopies("volumes")

    def __len__(self) -> int:
        return len(self.cases) * POSITIONS

    def __getitem__(self, index: int) -> dict[str, NDArray[np.generic]]:
        number, position = divmod(index, POSITIONS)
        image, label, centres = self._prepared(number)
        rng = np.random.default_rng([number, position])
        size = np.array(self.window)
        free = np.maximum(np.array(image.shape) - size, 0)
        start = rng.integers(0, free + 1)
        if position % 2 == 0 and len(centres):
            start = np.clip(centres[rng.integers(len(centres))] - size // 2, 0, free)
        place = tuple(slice(int(low), int(low + side)) for low, side in zip(start, size, strict=True))
        padding = [
            (0, int(side - part.stop + part.start)) for side, part in zip(size, _cut(place, image.shape), strict=True)
        ]
        return {
            "image": np.pad(np.asarray(image[place], np.float32), padding)[None],
            "label": np.pad(np.asarray(label[place]), padding)[None],
        }

    def _prepared(self, number: int) -> tuple[NDArray[np.float16], NDArray[np.uint8], NDArray[np.int64]]:
        """The image and label of a volume on the working grid, and voxels of its liver `(count, 3)`."""
        folder = self.copies.folder(number, partial(self._prepare, self.cases[number]))
        image, label = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("image", "label"))
        return image, label, np.load(folder / "centres.npy")

    def _prepare(self, case: VolumeCase, folder: Path) -> None:
        sample = self.read(case)
        if sample.label is None:
            raise BadInput(sample.volume.name, "label", "none", "a label of the liver, to train on")
        image, _ = prepare(sample.volume, self.spacing)
        label = prepare_label(sample.label, sample.volume.grid, self.spacing)
        liver = np.flatnonzero(label)
        chosen = np.random.default_rng(0).choice(liver, min(len(liver), CENTRES), replace=False)
        np.save(folder / "image.npy", image.astype(np.float16))
        np.save(folder / "label.npy", label)
        np.save(folder / "centres.npy", np.stack(np.unravel_index(chosen, label.shape), axis=-1))


class WindowBatches(Sampler[list[int]]):
    """Batches of windows: `count` of each volume in every epoch, others in each, in random order.

    Args:
        volumes: number of volumes.
        count: windows per volume and epoch.
        size: batch size.
        seed: of the choice and the order.
    """

    def __init__(self, volumes: int, count: int, size: int, seed: int) -> None:
        self.volumes, self.count, self.size, self.seed, self.epoch = volumes, count, size, seed, 0

    @property
    def sampler(self) -> "WindowBatches":
        """The object whose `set_epoch` is called before each epoch: itself."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that determines the windows of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.volumes * self.count // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        halves = torch.randint(POSITIONS // 2, (self.volumes, self.count), generator=generator)
        windows = 2 * halves + torch.arange(self.count) % 2
        windows += POSITIONS * torch.arange(self.volumes)[:, None]
        order = windows.flatten()[torch.randperm(windows.numel(), generator=generator)]
        yield from (batch.tolist() for batch in order.split(self.size))


def labelled(cases: Sequence[Case]) -> list[VolumeCase]:
    """The volumes among `cases`.

    Raises:
        BadInput: one of them can have no label.
    """
    volumes = [case for case in cases if isinstance(case, VolumeCase)]
    without = [case.id for case in volumes if not case.label and case.study is None]
    if without:
        names = ", ".join(without[:5])
        raise BadInput(
            "training volumes", "label", f"none for {names}", "a label of each", "add it or remove the image"
        )
    return volumes


def _cut(place: tuple[slice, ...], shape: tuple[int, ...]) -> list[slice]:
    return [slice(part.start, min(part.stop, n)) for part, n in zip(place, shape, strict=True)]
