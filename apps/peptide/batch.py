"""Input tensors of the reranker from spectra and their candidates."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transect.apps.peptide.config import Config, PeaksConfig
from transect.apps.peptide.evidence import evidence
from transect.apps.peptide.models import vocabulary
from transect.apps.peptide.models.vocabulary import PAD
from transect.data_adapters.peptide.peptide import PROTON, Peptide
from transect.data_adapters.peptide.spectrum import CandidateSet, Spectrum


def model_peaks(spectrum: Spectrum, config: PeaksConfig) -> NDArray[np.float32]:
    """The most intense peaks, `(peaks, 2)` float32: m/z in Th and square root of intensity, of unit norm.

    Peaks outside the m/z range and near the precursor, at any charge up to its own, are removed first. If none are
    left, the result is one peak of m/z 0 and intensity 1.

    Written here because spectrum_utils, which the reference uses, compiles a class anew in every process: 17 CPU
    seconds before the first spectrum.

    Source: preprocessing of RankNovo (2025).
    """
    mz, intensity = spectrum.mz, spectrum.intensity
    keep = (mz >= config.min_mz) & (mz <= config.max_mz) & (intensity > 0)
    if config.remove_precursor:
        for charge in range(1, spectrum.charge + 1):
            keep &= np.abs(mz - (spectrum.precursor_mass / charge + PROTON)) > config.remove_precursor
    mz, root = mz[keep], np.sqrt(intensity[keep].astype(np.float64))
    if not len(mz):
        return np.array([[0, 1]], np.float32)
    strongest = np.sort(np.argsort(-root, kind="stable")[: config.count])
    mz, root = mz[strongest], root[strongest]
    return np.stack([mz, root / np.linalg.norm(root)], 1).astype(np.float32)


class CandidateArrays(NamedTuple):
    """The candidates of one spectrum as rows of a table.

    `tokens` (candidates, columns) int64, start token first, gaps or padding after the end; `masses` (candidates,
    columns) float64, Da, 0 for tokens that are not residues.
    """

    tokens: NDArray[np.int64]
    masses: NDArray[np.float64]


def candidate_arrays(peptides: Sequence[Peptide], *, mask_gaps: bool) -> CandidateArrays:
    """Stack peptides as rows from their N-termini, without alignment.

    Args:
        peptides: at least one.
        mask_gaps: mark the tokens after the end of a peptide as padding instead of gaps.
    """
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
    """Evidence of the spectrum for each peptide, `(candidates, columns, CHANNELS)` float32; see `evidence`."""
    read = config.read
    return evidence(spectrum, peptides, config.peaks.tolerance_ppm, read.isotopes, read.precursor_tolerance_ppm)


def batch_of(candidate_sets: Sequence[CandidateSet], config: Config) -> dict[str, Tensor]:
    """Collate spectra with at least one candidate each into a batch, padded to the largest."""
    spectra = [candidate_set.spectrum for candidate_set in candidate_sets]
    lists = [[candidate.peptide for candidate in candidate_set.candidates] for candidate_set in candidate_sets]
    tables = [candidate_arrays(peptides, mask_gaps=config.model.mask_gaps) for peptides in lists]
    batch = {
        "peaks": padded([model_peaks(spectrum, config.peaks) for spectrum in spectra]),
        "precursor_mass": torch.tensor([spectrum.precursor_mass for spectrum in spectra], dtype=torch.float32),
        "charge": torch.tensor([spectrum.charge for spectrum in spectra]),
        "tokens": padded([table.tokens for table in tables], PAD),
        "masses": padded([table.masses for table in tables]),
    }
    if config.model.evidence:
        pairs = zip(spectra, lists, strict=True)
        batch["evidence"] = padded([evidence_arrays(spectrum, peptides, config) for spectrum, peptides in pairs])
    return batch


def padded(arrays: Sequence[NDArray[np.generic]], fill: float = 0) -> Tensor:
    """Stack arrays of equal rank, each padded at the ends of its axes to the largest."""
    shape = tuple(max(array.shape[axis] for array in arrays) for axis in range(arrays[0].ndim))
    return torch.stack([padded_to(shape, array, fill) for array in arrays])


def padded_to(shape: tuple[int, ...], array: NDArray[np.generic], fill: float = 0) -> Tensor:
    """Pad an array at the ends of its axes to `shape`."""
    out = np.full(shape, fill, array.dtype)
    out[tuple(map(slice, array.shape))] = array
    return torch.from_numpy(out)


def trimmed(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Crop a batch by the rows, columns and peaks that are padding in all of its spectra."""
    present = batch["tokens"] != PAD
    rows, columns = int(present.any(2).sum(1).max()), int(present.any(1).sum(1).max())
    peaks = int((batch["peaks"].sum(2) != 0).sum(1).max())
    cut: dict[str, tuple[int, ...]] = {"peaks": (peaks,), "peptide_deviation": (rows,)}
    for name in ("tokens", "masses", "evidence", "residue_deviation"):
        cut[name] = (rows, columns)
    return {name: tensor[(slice(None), *map(slice, cut.get(name, ())))] for name, tensor in batch.items()}
