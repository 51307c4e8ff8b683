"""The tokens of RankNovo: residues, modified residues, N-termini and the marks around them."""

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
SIZE = 41  # with an end, a full stop, seven empty ones and a mask that nothing uses
_TOKENS = {residue: index + 4 for index, residue in enumerate(VOCABULARY)}


def tokens_of(peptide: Peptide) -> Sequence[int]:
    """The token of each element; one that RankNovo does not know is `UNKNOWN`, which its mass alone describes."""
    return [_TOKENS.get(residue, UNKNOWN) for residue in peptide.residues]
