"""The training loss: regression of mass deviations and list-wise ranking of candidates."""

import torch.nn.functional as F
from torch import Tensor

from transect.apps.peptide.config import LossConfig
from transect.apps.peptide.models.reranker import Deviations
from transect.apps.peptide.models.vocabulary import GAP, PAD, START


def ranking_loss(deviations: Deviations, batch: dict[str, Tensor], config: LossConfig) -> Tensor:
    r"""The scalar loss of a batch, with predicted `deviations`.

    With p the predicted and d the true deviations of the candidates of a spectrum, and r those of its residues::

        L = a huber(p, d) + b huber(r_predicted, r_true) + c CE(softmax(-d / temperature), softmax(-p / temperature))

    The Huber losses are means over all candidates and over all residues, the cross entropy over spectra; all three are
    minimal at p = d.

    Source: RankNovo's coarse and fine losses (its equation 10, whose norm is not published); list-wise cross entropy:
    Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach" (2007), with our own targets.
    """
    tokens = batch["tokens"]
    candidates = tokens[:, :, 0] == START
    residues = (tokens != PAD) & (tokens != GAP) & (tokens != START)
    true = batch["peptide_deviation"]
    loss = config.peptide * F.smooth_l1_loss(deviations.peptide[candidates].float(), true[candidates])
    residue = F.smooth_l1_loss(deviations.residue[residues].float(), batch["residue_deviation"][residues])
    loss = loss + config.residue * residue
    predicted = (-deviations.peptide.float() / config.temperature).masked_fill(~candidates, -1e9).log_softmax(1)
    target = (-true / config.temperature).masked_fill(~candidates, -1e9).softmax(1)
    return loss - config.listwise * (target * predicted.masked_fill(~candidates, 0)).sum(1).mean()
