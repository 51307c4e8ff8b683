"""Which cameras of each sample are there; absent ones are left out of all computations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """The views of the samples of a batch.

    Features of images are computed of the `P` present views alone, one after another, so that absent ones take no part
    in batch normalization.

    Args:
        batch: Number of samples, B.
        number: Number of views of each, n.
        present: bool `(B, n)`; None where all are there.
    """

    batch: int
    number: int
    present: Tensor | None = None

    def pack(self, x: Tensor) -> Tensor:
        """The present views: `(B, n, ...)` to `(P, ...)`."""
        return x.flatten(0, 1) if self.present is None else x[self.present]

    def unpack(self, x: Tensor) -> Tensor:
        """`(P, ...)` to `(B, n, ...)`, zeros for absent views."""
        if self.present is None:
            return torch.unflatten(x, 0, (self.batch, self.number))
        whole = x.new_zeros(self.batch, self.number, *x.shape[1:])
        whole[self.present] = x
        return whole

    def mask(self, grid: Sequence[int]) -> Tensor | None:
        """True at the tokens of present views, `(B, n, *grid)`; None where all are there."""
        if self.present is None:
            return None
        return self.present.view(self.batch, self.number, *[1] * len(grid)).expand(-1, -1, *grid)

    def mean(self, x: Tensor) -> Tensor:
        """The mean over the present views of each sample, `(B, n, ...)` to `(B, ...)`; zeros where none is there."""
        if self.present is None:
            return x.mean(1)
        weights = self.present / self.present.sum(1, keepdim=True).clamp(min=1)
        return (x * weights.to(x.dtype).view(self.batch, self.number, *[1] * (x.ndim - 2))).sum(1)

    def calibrated(self, intrinsics: Tensor, camera_to_ego: Tensor) -> tuple[Tensor, Tensor]:
        """The calibration with identities in place of absent views, whose own may hold anything."""
        if self.present is None:
            return intrinsics, camera_to_ego
        there = self.present[..., None, None]
        three, four = (
            torch.eye(size, dtype=x.dtype, device=x.device) for size, x in ((3, intrinsics), (4, camera_to_ego))
        )
        return torch.where(there, intrinsics, three), torch.where(there, camera_to_ego, four)
