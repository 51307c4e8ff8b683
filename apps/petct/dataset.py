"""Training runs of consecutive slices of labelled studies, read from prepared copies on disk."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from transect.apps.petct.config import Config
from transect.apps.petct.prepare import prepare, with_neighbours
from transect.apps.prepared import PreparedCopies
from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.petct.study import Study, StudyCase, counted_slices

POSITIONS = 4096
"""Number of runs of a study, of which an epoch takes a few."""


class TrainingRuns(Dataset[dict[str, NDArray[np.generic]]]):
    """Runs of consecutive slices at fixed random places; every second one has a slice with tumour, where there is one.

    A run is one slice for a network that judges each by itself. A study is prepared when a run of it is first read, and
    kept in a temporary folder as float16, from which only the run is read later.

    An item has, of each slice of the run, `images`, float32 `(run, channels, size, size)`; `positive`, float32
    `(run,)`, 1 where there is tumour; `counted`, bool `(run,)`, where the label counts; and `inside`, bool `(run,)`,
    False for the padding of a study that is shorter than a run. Item `i` is run `i % POSITIONS` of study
    `i // POSITIONS`.

    Args:
        cases: The studies, or parts of them.
        read: Reads one.
        config: Settings.
    """

    def __init__(self, cases: Sequence[StudyCase], read: Callable[[StudyCase], Study], config: Config) -> None:
        self.cases, self.read, self.config = cases, read, config
        self.copies = PreparedCopies("studies")
        studies = {(case.files, case.study): number for number, case in reversed(list(enumerate(cases)))}
        self.prepared = [studies[case.files, case.study] for case in cases]
        self.opened: dict[int, tuple[NDArray[np.float16], NDArray[np.bool_]]] = {}

    def __len__(self) -> int:
        return len(self.cases) * POSITIONS

    def __getitem__(self, index: int) -> dict[str, NDArray[np.generic]]:
        number, position = divmod(index, POSITIONS)
        images, positive = self._prepared(self.prepared[number])
        counted = counted_slices(len(positive), self.cases[number].part)
        run = self.config.model.slices
        rng = np.random.default_rng([number, position])
        wanted = np.flatnonzero(counted & positive if position % 2 == 0 else counted)
        if not len(wanted):
            wanted = np.flatnonzero(counted)
        start = max(min(int(rng.choice(wanted)) - int(rng.integers(run)), len(positive) - run), 0)
        count = min(run, len(positive))
        place, padding = slice(start, start + count), (0, run - count)
        read = with_neighbours(images, start, count, self.config.model.neighbours)
        return {
            "images": np.pad(read, (padding, (0, 0), (0, 0), (0, 0))),
            "positive": np.pad(positive[place].astype(np.float32), padding),
            "counted": np.pad(counted[place], padding),
            "inside": np.pad(np.ones(count, bool), padding),
        }

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files, for a loading process."""
        return self.__dict__ | {"opened": {}}

    def _prepared(self, number: int) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """The prepared slices `(Z, channels, size, size)` of a study, and which have tumour."""
        if number in self.opened:
            return self.opened[number]
        folder = self.copies.folder(number, partial(self._prepare, self.cases[number]))
        opened = np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "positive.npy")
        self.opened[number] = opened
        return opened

    def _prepare(self, case: StudyCase, folder: Path) -> None:
        study = self.read(case)
        if study.label is None:
            raise BadInput(study.pet.name, "label", "none", "a label of the tumour, to train on")
        np.save(folder / "positive.npy", study.label.positive)
        np.save(folder / "images.npy", prepare(study, self.config).astype(np.float16))


class RunBatches(Sampler[list[int]]):
    """Batches of runs: as many of each study in every epoch, others in each, in random order.

    Half of the runs are those with tumour: of each study alternately, and of single runs of alternate studies. A last
    batch that is not full is left out, unless it is the only one: BatchNorm needs several slices.

    Args:
        studies: Number of studies.
        count: Runs per study and epoch.
        size: Batch size.
        seed: Of the choice and the order.
    """

    def __init__(self, studies: int, count: int, size: int, seed: int) -> None:
        self.studies, self.count, self.size, self.seed, self.epoch = studies, count, size, seed, 0

    @property
    def sampler(self) -> "RunBatches":
        """The object whose `set_epoch` is called before each epoch: itself."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that determines the runs of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return max(self.studies * self.count // self.size, 1)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        halves = torch.randint(POSITIONS // 2, (self.studies, self.count), generator=generator)
        numbers = torch.arange(self.studies)[:, None]
        runs = POSITIONS * numbers + 2 * halves + (numbers + torch.arange(self.count) + self.epoch) % 2
        order = runs.flatten()[torch.randperm(runs.numel(), generator=generator)]
        yield from (batch.tolist() for batch in order.split(self.size)[: len(self)])


def labelled(cases: Sequence[Case]) -> list[StudyCase]:
    """The studies among `cases`.

    Raises:
        BadInput: one of them can have no label.
    """
    studies = [case for case in cases if isinstance(case, StudyCase)]
    without = [case.id for case in studies if not case.label and case.study is None]
    if without:
        names = ", ".join(without[:5])
        raise BadInput(
            "training studies", "label", f"none for {names}", "a label of each", "add it or remove the study"
        )
    return studies
