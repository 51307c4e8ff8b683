"""Spectra and their candidates as the tensors that the reranker reads."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transect.apps.peptide.config import Config
from transect.apps.peptide.evidence import evidence
from transect.apps.peptide.models import vocabulary
from transect.apps.peptide.models.vocabulary import PAD
from transect.apps.peptide.peaks import model_peaks
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectrum import CandidateSet, Spectrum


class CandidateArrays(NamedTuple):
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


def evidence_arrays(spectrum: Spectrum, peptides: Sequence[Peptide], config: Config) -> NDArray[np.float32]:
    """What the spectrum shows of each peptide, `(candidates, columns, CHANNELS)` float32."""
    read = config.read
    return evidence(spectrum, peptides, config.peaks.tolerance_ppm, read.isotopes, read.precursor_tolerance_ppm)


def batch_of(candidate_sets: Sequence[CandidateSet], config: Config) -> dict[str, Tensor]:
    """Spectra with one candidate or more as a batch, padded to the largest among them."""
    lists = [[candidate.peptide for candidate in candidate_set.candidates] for candidate_set in candidate_sets]
    arrays = [candidate_arrays(peptides, mask_gaps=config.model.mask_gaps) for peptides in lists]
    batch = {
        "peaks": padded([model_peaks(candidate_set.spectrum, config.peaks) for candidate_set in candidate_sets]),
        "precursor_mass": torch.tensor(
            [candidate_set.spectrum.precursor_mass for candidate_set in candidate_sets], dtype=torch.float32
        ),
        "charge": torch.tensor([candidate_set.spectrum.charge for candidate_set in candidate_sets]),
        "tokens": padded([one.tokens for one in arrays], PAD),
        "masses": padded([one.masses for one in arrays]),
    }
    if config.model.evidence:
        pairs = zip(candidate_sets, lists, strict=True)
        batch["evidence"] = padded(
            [evidence_arrays(candidate_set.spectrum, peptides, config) for candidate_set, peptides in pairs]
        )
    return batch


def padded(arrays: Sequence[NDArray[np.generic]], fill: float = 0) -> Tensor:
    """Arrays of one rank, each filled up at the ends of its axes to the largest, as one tensor."""
    shape = tuple(max(array.shape[axis] for array in arrays) for axis in range(arrays[0].ndim))
    out = np.full((len(arrays), *shape), fill, arrays[0].dtype)
    for index, array in enumerate(arrays):
        out[(index, *map(slice, array.shape))] = array
    return torch.from_numpy(out)


def trimmed(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch without the rows, columns and peaks that are padding in all of its spectra."""
    there = batch["tokens"] != PAD
    rows, columns = int(there.any(2).sum(1).max()), int(there.any(1).sum(1).max())
    peaks = int((batch["peaks"].sum(2) != 0).sum(1).max())
    cut: dict[str, tuple[int, ...]] = {"peaks": (peaks,), "peptide_deviation": (rows,)}
    for name in ("tokens", "masses", "evidence", "residue_deviation"):
        cut[name] = (rows, columns)
    return {name: tensor[(slice(None), *map(slice, cut.get(name, ())))] for name, tensor in batch.items()}
