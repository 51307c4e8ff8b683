"""Numerical parity of RankNovo and its modules with recorded outputs of the reference implementation."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transect.apps.parity import Comparison, ModuleT, compared, filled, recorded
from transect.apps.peptide import weights
from transect.apps.peptide.batch import candidate_arrays, padded
from transect.apps.peptide.models.candidate_embedding import CandidateEmbedding
from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.mass_encoding import MassEncoding
from transect.apps.peptide.models.reranker import CandidateLayer, Reranker
from transect.apps.peptide.models.vocabulary import PAD
from transect.data_adapters.peptide.proforma import parse_peptide

TOLERANCE = 1e-5
LAYER = "layers.0."


def compare(fixture: Mapping[str, Any]) -> list[Comparison]:
    """Compare with a fixture: a whole model (it has a "state_dict"), the blocks of a layer, or the encodings of masses.

    Raises:
        ValueError: the fixture has another form.
    """
    run = _model if "state_dict" in fixture else _encodings if "mass_in" in fixture else _blocks
    with torch.no_grad():
        return list(run(fixture))


def _close(quantity: str, ours: Tensor, reference: Tensor, where: Tensor | None = None) -> Comparison:
    return compared(quantity, ours, reference, TOLERANCE, where)


def _model(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    """Tokens, memory, embedding, decoder and both predictions; also for candidate lists of different lengths."""
    model = weights.from_reference(fixture["state_dict"], heads=fixture["config"]["n_head"], source="fixture").eval()
    spectra, precursors = fixture["spectra"], fixture["precursors"]

    tokens, masses = _lists(fixture["candidates"])
    yield _close("tokens", tokens, fixture["tokens"])
    present = ~fixture["memory_padding_mask"]
    memory, mask = model.encoder(spectra, precursors[:, 0])
    yield _close("memory_padding_mask", mask, present)
    yield _close("memory", memory, fixture["memory"], present)
    embedding: CandidateEmbedding = model.embedding
    embedded = embedding.of_tokens(tokens, masses, precursors[:, 0], precursors[:, 1].long())
    present = tokens != PAD
    yield _close("token_embedding", embedded, fixture["token_embedding"])
    with recorded({"decoder_out": model.norm}) as taps:
        deviations = _scores(model, spectra, precursors, tokens, masses)
    yield _close("decoder_out", taps["decoder_out"], fixture["decoder_out"], present)
    yield _close("global_prediction", deviations.peptide, fixture["global_prediction"], fixture["row_valid"])
    yield _close("local_prediction", deviations.residue, fixture["local_prediction"], present)
    yield from _labels(fixture)
    if "ragged_candidates" in fixture:
        ragged = fixture["ragged_candidates"]
        peptide = _scores(model, spectra, precursors, *_lists(ragged)).peptide
        yield _close("ragged_global", peptide, fixture["ragged_global"], fixture["ragged_valid"])
        if "solo_global" in fixture:
            alone = _scores(model, spectra[-1:], precursors[-1:], *_lists(ragged[-1:])).peptide
            yield _close("solo_global", alone, fixture["solo_global"])


def _labels(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    """The deviations of each candidate from the first of its list, which is the true peptide."""
    from transect.apps.peptide.distances import peptide_mass_deviation, residue_mass_deviations

    peptide, residue = torch.zeros_like(fixture["pmd_labels"]), torch.zeros_like(fixture["rmd_labels"]).double()
    for index, texts in enumerate(fixture["candidates"]):
        parsed = [torch.tensor(parse_peptide(text).masses, dtype=torch.float64).numpy() for text in texts]
        for row, masses in enumerate(parsed):
            peptide[index, row] = peptide_mass_deviation(masses, parsed[0])
            deviations = residue_mass_deviations(masses, parsed[0])
            residue[index, row, 1 : 1 + len(deviations)] = torch.from_numpy(deviations)
    yield Comparison("pmd_labels", compared("", peptide, fixture["pmd_labels"], 0).error, 1e-8)
    mask = fixture["rmd_mask"]
    yield _close("rmd_labels", residue, fixture["rmd_labels"].double(), mask)


def _lists(texts: list[list[str]]) -> tuple[Tensor, Tensor]:
    """Tokens and masses of lists of candidates, gaps not masked, padded by whole rows and columns."""
    lists = [candidate_arrays([parse_peptide(text) for text in row], mask_gaps=False) for row in texts]
    return padded([arrays.tokens for arrays in lists], PAD), padded([arrays.masses for arrays in lists])


def _scores(model: Reranker, spectra: Tensor, precursors: Tensor, tokens: Tensor, masses: Tensor) -> Any:
    return model(spectra, precursors[:, 0], precursors[:, 1].long(), tokens, masses)


def _encodings(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    dim = fixture["mass_out"].shape[-1]
    encoding = MassEncoding(dim)
    yield _close("sin_term", encoding.wavelengths, fixture["sin_term"])
    encoding.wavelengths = fixture["sin_term"]
    yield _close("mass_out", encoding(fixture["mass_in"].squeeze(-1)), fixture["mass_out"])
    peaks, state = fixture["peak_in"], fixture["peak_sd"]
    intensity = nn.functional.linear(peaks[..., 1:], state["int_encoder.weight"])
    yield _close("peak_out", encoding(peaks[..., 0]) + intensity, fixture["peak_out"])


def _blocks(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    """Row and column attention, and a whole layer; the reference puts the batch axis after the grid."""
    x, present = fixture["x"].permute(2, 0, 1, 3), ~fixture["pad"]
    config = RerankerConfig(
        dim=x.shape[-1],
        heads=fixture["heads"],
        feedforward=fixture["ffn"],
        row_scale="padded",
        dropout=0,
        evidence=False,
    )
    layer = _filled(CandidateLayer(config), fixture["layer"], "", "", config.heads)
    output = layer(x, present, fixture["memory"], ~fixture["memory_pad"])
    yield _close("layer", output, fixture["layer"]["out"].permute(2, 0, 1, 3), present)
    assert layer.column is not None
    row = _filled(layer.row, fixture["row"], "row.", "row_self_attention.layer.", config.heads)
    column = _filled(layer.column, fixture["col"], "column.", "column_self_attention.layer.", config.heads)
    scale = (config.dim // config.heads * x.shape[1]) ** -0.5
    calls: dict[str, Callable[..., Tensor]] = {"row": partial(row, scale=scale), "col": column}
    for name, call in calls.items():
        case = fixture[name]
        yield _close(name, call(x, present), case["out"].permute(2, 0, 1, 3), present)
        yield _close(f"{name}_nomask", call(x, None), case["out_nomask"].permute(2, 0, 1, 3))
        if "out_single_row" in case:
            yield _close(f"{name}_single_row", call(x[:, :1], None), case["out_single_row"].permute(2, 0, 1, 3))


def _filled(module: ModuleT, case: Mapping[str, Any], part: str, published: str, heads: int) -> ModuleT:
    """The `part` of a layer, or all of it, with a case's weights; `published` is its name in the reference."""
    names, join = weights.published_names, partial(weights.join, heads=heads)
    return filled(module, case["sd"], names, ours=LAYER + part, published=f"msa_decoder.{LAYER}{published}", join=join)
