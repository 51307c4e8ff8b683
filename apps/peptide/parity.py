"""How far RankNovo and its parts are from recorded outputs of the reference implementation."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transect.apps.peptide import weights
from transect.apps.peptide.batch import candidate_arrays, padded
from transect.apps.peptide.models.candidate_embedding import CandidateEmbedding
from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.mass_encoding import MassEncoding
from transect.apps.peptide.models.reranker import CandidateLayer, Reranker
from transect.apps.peptide.models.vocabulary import PAD
from transect.apps.published import Comparison, compared, fill
from transect.data_adapters.peptide.proforma import parse_peptide

TOLERANCE = 1e-5
LAYER = "layers.0."


def compare(fixture: Mapping[str, Any]) -> list[Comparison]:
    """Compare with a fixture: a whole model (it has a "state_dict"), the blocks of a layer, or the encodings of masses.

    Raises:
        ValueError: the fixture has another form.
    """
    with torch.no_grad():
        if "state_dict" in fixture:
            return list(_model(fixture))
        if "mass_in" in fixture:
            return list(_encodings(fixture))
        return list(_blocks(fixture))


def _close(quantity: str, ours: Tensor, reference: Tensor, where: Tensor | None = None) -> Comparison:
    if where is not None and ours.shape == reference.shape:
        ours, reference = ours[where], reference[where]
    return compared(quantity, ours, reference, TOLERANCE)


def _model(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    """Tokens, memory, embedding, decoder and both predictions; of lists of different depth too, and of one alone."""
    model = weights.from_reference(fixture["state_dict"], heads=fixture["config"]["n_head"], source="fixture").eval()
    taps: dict[str, Tensor] = {}
    model.norm.register_forward_hook(lambda _, __, output: taps.update(decoder_out=output))
    spectra, precursors = fixture["spectra"], fixture["precursors"]

    tokens, masses = _lists(fixture["candidates"])
    yield _close("tokens", tokens, fixture["tokens"])
    there = ~fixture["memory_padding_mask"]
    memory, mask = model.encoder(spectra, precursors[:, 0])
    yield _close("memory_padding_mask", mask, there)
    yield _close("memory", memory, fixture["memory"], there)
    embedding: CandidateEmbedding = model.embedding
    embedded = embedding.of_tokens(tokens, masses, precursors[:, 0], precursors[:, 1].long())
    there = tokens != PAD
    yield _close("token_embedding", embedded, fixture["token_embedding"])
    deviations = _scores(model, spectra, precursors, tokens, masses)
    yield _close("decoder_out", taps["decoder_out"], fixture["decoder_out"], there)
    yield _close("global_prediction", deviations.peptide, fixture["global_prediction"], fixture["row_valid"])
    yield _close("local_prediction", deviations.residue, fixture["local_prediction"], there)
    yield from _labels(fixture)
    if "ragged_candidates" in fixture:
        ragged = fixture["ragged_candidates"]
        found = _scores(model, spectra, precursors, *_lists(ragged)).peptide
        yield _close("ragged_global", found, fixture["ragged_global"], fixture["ragged_valid"])
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
            found = residue_mass_deviations(masses, parsed[0])
            residue[index, row, 1 : 1 + len(found)] = torch.from_numpy(found)
    yield Comparison("pmd_labels", compared("", peptide, fixture["pmd_labels"], 0).error, 1e-8)
    mask = fixture["rmd_mask"]
    yield _close("rmd_labels", residue, fixture["rmd_labels"].double(), mask)


def _lists(texts: list[list[str]]) -> tuple[Tensor, Tensor]:
    """Tokens and masses of lists of candidates, gaps shown, padded by whole rows and columns."""
    lists = [candidate_arrays([parse_peptide(text) for text in row], mask_gaps=False) for row in texts]
    return padded([one.tokens for one in lists], PAD), padded([one.masses for one in lists])


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
    """Row and column attention by themselves, and a whole layer; the reference puts the batch behind the grid."""
    x, there = fixture["x"].permute(2, 0, 1, 3), ~fixture["pad"]
    config = RerankerConfig(
        dim=x.shape[-1],
        heads=fixture["heads"],
        feedforward=fixture["ffn"],
        row_scale="padded",
        dropout=0,
        evidence=False,
    )
    layer = CandidateLayer(config).eval()
    _fill(layer, LAYER, {"": fixture["layer"]["sd"]}, config.heads)
    found = layer(x, there, fixture["memory"], ~fixture["memory_pad"])
    yield _close("layer", found, fixture["layer"]["out"].permute(2, 0, 1, 3), there)
    row, column = layer.row, layer.column
    assert column is not None
    _fill(row, LAYER + "row.", {"row_self_attention.layer.": fixture["row"]["sd"]}, config.heads)
    _fill(column, LAYER + "column.", {"column_self_attention.layer.": fixture["col"]["sd"]}, config.heads)
    scale = (config.dim // config.heads * x.shape[1]) ** -0.5
    calls: dict[str, Callable[..., Tensor]] = {"row": partial(row, scale=scale), "col": column}
    for name, call in calls.items():
        recorded = fixture[name]
        yield _close(name, call(x, there), recorded["out"].permute(2, 0, 1, 3), there)
        yield _close(f"{name}_nomask", call(x, None), recorded["out_nomask"].permute(2, 0, 1, 3))
        if "out_single_row" in recorded:
            yield _close(f"{name}_single_row", call(x[:, :1], None), recorded["out_single_row"].permute(2, 0, 1, 3))


def _fill(module: nn.Module, ours: str, states: Mapping[str, Mapping[str, Tensor]], heads: int) -> None:
    """Fill a module that a whole model would call `ours` from the published tensors of a layer."""
    fill(
        module,
        {
            f"msa_decoder.{LAYER}{prefix}{name}": tensor
            for prefix, state in states.items()
            for name, tensor in state.items()
        },
        lambda name: weights.published_names(ours + name),
        source="fixture",
        join=lambda name, parts: weights.join(ours + name, parts, heads),
    )
