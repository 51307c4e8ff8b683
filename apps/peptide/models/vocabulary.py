"""The token vocabulary of RankNovo: residues, modified residues, N-termini and special tokens."""

from collections.abc import Sequence

from transect.data_adapters.peptide.peptide import Peptide

#: In the order of the published embedding; RankNovo writes the modified ones as the digits 0 to 7.
VOCABULARY = (
    *"GASPVTLINDQKEMHFRYW",
    "C[Carbamidomethyl]",
    "M[Oxidation]",
    "N[Deamidated]",
    "Q[Deamidated]",
    "[Acetyl]-",
    "[+25.980265]-",
    "[Carbamyl]-",
    "[Ammonia-loss]-",
)
START, PAD, UNKNOWN, GAP = 0, 1, 3, 32
SIZE = 41  # including unused special tokens: end, full stop, mask and seven reserved ones
_TOKENS = {residue: index + 4 for index, residue in enumerate(VOCABULARY)}


def tokens_of(peptide: Peptide) -> Sequence[int]:
    """The token of each element; elements outside the vocabulary are `UNKNOWN` and represented by their mass."""
    return [_TOKENS.get(residue, UNKNOWN) for residue in peptide.residues]
