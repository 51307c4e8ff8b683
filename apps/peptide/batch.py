"""Spectra and their candidates as the tensors that the reranker reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apps.peptide.models import vocabulary
from data_adapters.peptide.peptide import Peptide


@dataclass(frozen=True)
class CandidateArrays:
    """The candidates of one spectrum as rows of a table.

    `tokens` (candidates, columns) int64 with a start token in front and, behind the end, gaps or padding; `masses`
    (candidates, columns) float64, Da, 0 for all that is no residue.
    """

    tokens: NDArray[np.int64]
    masses: NDArray[np.float64]


def candidate_arrays(peptides: Sequence[Peptide], *, mask_gaps: bool) -> CandidateArrays:
    """Peptides side by side from their N-termini: no alignment, the shorter ones end earlier."""
    columns = 1 + max(len(peptide.residues) for peptide in peptides)
    tokens = np.full((len(peptides), columns), vocabulary.PAD if mask_gaps else vocabulary.GAP)
    masses = np.zeros((len(peptides), columns))
    tokens[:, 0] = vocabulary.START
    for row, peptide in enumerate(peptides):
        end = 1 + len(peptide.residues)
        tokens[row, 1:end] = vocabulary.tokens_of(peptide)
        masses[row, 1:end] = peptide.masses
    return CandidateArrays(tokens, masses)


def padded(arrays: Sequence[NDArray[np.generic]], fill: float = 0) -> Tensor:
    """Arrays of one rank, each filled up at the ends of its axes to the largest, as one tensor."""
    shape = tuple(max(array.shape[axis] for array in arrays) for axis in range(arrays[0].ndim))
    out = np.full((len(arrays), *shape), fill, arrays[0].dtype)
    for index, array in enumerate(arrays):
        out[(index, *map(slice, array.shape))] = array
    return torch.from_numpy(out)
