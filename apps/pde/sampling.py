"""Batches of equal shapes, balanced between data sets of whatever sizes."""

from collections.abc import Iterator, Mapping

import torch
from torch.utils.data import Sampler

Groups = Mapping[str, Mapping[object, list[int]]]


class BalancedBatches(Sampler[list[int]]):
    """Batches that each come from one group of one data set.

    In every step each data set is as likely as the others, and within it each group by its number of examples. A group
    is gone through in random order, again and again: none is ever used up, so the weights hold to the end of an epoch.
    One group alone is gone through once an epoch.

    Args:
        groups: indices of the examples that may share a batch, by data set.
        size: examples of a batch; of a smaller group all.
        seed: of the order, which differs from epoch to epoch.
        steps: of an epoch; 0 takes as many as all examples make batches.
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
        """What is told the epoch: itself."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass have the order of `epoch`."""
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
    """Batches of one group without end; what is left of a pass is too small for one and dropped."""
    while True:
        order = torch.randperm(len(indices), generator=generator).tolist()
        for batch in range(max(len(indices) // size, 1)):
            yield [indices[place] for place in order[batch * size : (batch + 1) * size]]
