"""Batches of equal shapes, balanced between data sets of different sizes."""

from collections.abc import Iterator, Mapping

import torch
from torch.utils.data import Sampler

Groups = Mapping[str, Mapping[object, list[int]]]


class BalancedBatches(Sampler[list[int]]):
    """Batches that each come from one group of one data set.

    Each step samples a data set uniformly, and within it a group in proportion to its number of examples. Groups are
    iterated in random order and reshuffled when exhausted, so that the probabilities hold throughout an epoch. A single
    group is iterated once per epoch.

    Args:
        groups: indices of the examples that may share a batch, by data set.
        size: batch size; smaller groups give smaller batches.
        seed: of the order, which differs between epochs.
        steps: batches per epoch; 0 takes as many as one pass over all examples.
    """

    def __init__(self, groups: Groups, size: int, seed: int, steps: int = 0) -> None:
        self.groups = [
            (1 / len(groups) * len(indices) / sum(map(len, of_set.values())), indices)
            for of_set in groups.values()
            for indices in of_set.values()
        ]
        self.size, self.seed, self.epoch = size, seed, 0
        self.steps = steps or sum(max(len(indices) // size, 1) for _, indices in self.groups)

    @property
    def sampler(self) -> "BalancedBatches":
        """The object whose `set_epoch` is called before each epoch: itself."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that determines the order of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        streams = [_batches(indices, self.size, generator) for _, indices in self.groups]
        weights = torch.tensor([weight for weight, _ in self.groups], dtype=torch.float64)
        for chosen in torch.multinomial(weights, self.steps, replacement=True, generator=generator).tolist():
            yield next(streams[chosen])


def _batches(indices: list[int], size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Endless batches of one group; the incomplete last batch of a pass is dropped."""
    while True:
        order = torch.randperm(len(indices), generator=generator).tolist()
        for batch in range(max(len(indices) // size, 1)):
            yield [indices[place] for place in order[batch * size : (batch + 1) * size]]
