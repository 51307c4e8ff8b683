"""Numerical parity of SinBEVT and its modules with recorded outputs of the reference implementation."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from transect.apps.bev import weights
from transect.apps.bev.models.blocks import Decoder
from transect.apps.bev.models.fax import FusedAxialCrossAttention, NormedCrossWindow
from transect.apps.bev.models.geometry import ground, span
from transect.apps.bev.models.sinbevt import SinBEVT
from transect.apps.bev.models.views import Views
from transect.apps.parity import Comparison, ModuleT, compared, filled, recorded
from transect.data_adapters.bev.grid import Grid

PART, MODEL = 1e-5, 1e-4


def compare(fixture: Mapping[str, Any]) -> list[Comparison]:
    """Compare with a fixture: SinBEVT without its backbone (it has a "state_dict"), or a set of single modules.

    The 2-D self-attention of the modules belongs to the core, whose tests compare it.

    Raises:
        ValueError: the fixture has another form.
    """
    with torch.no_grad():
        return list(_trunk(fixture) if "state_dict" in fixture else _modules(fixture))


def _trunk(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    """All that follows the backbone, from recorded features."""
    config = weights.config_from_reference(fixture["state_dict"], source="fixture")
    model = SinBEVT(config.model, config.read, len(config.outputs))
    del model.backbone
    _filled(model, fixture, "", "")
    features = fixture["features"]
    views = Views(*features[0].shape[:2])
    calibration = fixture["intrinsics"], fixture["extrinsics"].double().inverse().float()
    taps = {f"cross_view_out[{k}]": attention for k, attention in enumerate(model.attention)}
    with recorded(taps | {"decoder": model.decoder.blocks[-1]}) as outputs:
        encoded = model.lift([views.pack(level) for level in features], model.geometry(*calibration), views)
        logits = model.decoder(encoded)
    for name, reference in zip(taps, fixture["cross_view_out"], strict=True):
        yield compared(name, outputs[name].permute(0, 3, 1, 2), reference, MODEL)
    yield compared("encoder_out", encoded, fixture["encoder_out"], MODEL)
    yield compared("decoder_out_mean", outputs["decoder"].mean((2, 3)), fixture["decoder_out_mean"], MODEL)
    yield compared("bev", logits[:, :1], fixture["bev"], MODEL)
    yield compared("center", logits[:, 1:], fixture["center"], MODEL)


def _modules(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    """Single modules by name."""
    for name, case in fixture.items():
        if name.startswith("CrossViewSwapAttention"):
            yield compared(name, _cross_view(case), case["out"], PART)
        elif name == "CrossWinAttention":
            yield from _cross_window(case)
        elif name == "Decoder":
            yield compared(name, _decoder(case), case["out"], PART)
        elif name == "BEVEmbedding_grids":
            yield from _grids(case)
        elif name != "Attention2D_relpos":
            raise ValueError(f"{name}: no such module")


def _filled(module: ModuleT, case: Mapping[str, Any], ours: str, published: str) -> ModuleT:
    names = weights.published_names
    return filled(module, case["state_dict"], names, ours=ours, published=published, join=weights.join)


def _cross_view(case: Mapping[str, Any]) -> Tensor:
    settings, bev = case["cfg"], case["bev_cfg"]
    index, x, feature = settings["index"], case["x"], case["feature"]
    windows = [tuple(settings[side][index]) for side in ("q_win_size", "feat_win_size")]
    module = FusedAxialCrossAttention(
        x.shape[1],
        settings["heads"][index],
        channels=settings["feat_dim"],
        features=(settings["feat_height"], settings["feat_width"]),
        image=(settings["image_height"], settings["image_width"]),
        grid=Grid(bev["bev_height"], bev["bev_width"], bev["h_meters"] / bev["bev_height"], bev["offset"]),
        size=(x.shape[2], x.shape[3]),
        query_window=windows[0],
        embedded=settings["bev_embedding_flag"][index],
    )
    if module.near.attention.context_window[1:] != windows[1]:
        raise ValueError(f"feat_win_size: found {windows[1]}, expected {module.near.attention.context_window[1:]}")
    _filled(module, case, "attention.0.", "encoder.cross_views.0.")
    views = Views(*feature.shape[:2])
    embedding = module.embed(case["I_inv"].double().inverse().float(), case["E_inv"])
    out: Tensor = module(x.permute(0, 2, 3, 1), views.pack(feature), embedding, views)
    return out.permute(0, 3, 1, 2)


def _cross_window(case: Mapping[str, Any]) -> Iterator[Comparison]:
    """Attention alone, with one query a view and with one for all; the recorded tensors are split into windows."""
    query, key, value = (_merged(case[name]) for name in ("q", "k", "v"))
    skip = _merged(case["skip"])
    for copies, names in ((True, ("out_noskip", "out")), (False, ("out_qn1",))):
        windows = case["q"].shape[-3:-1], case["k"].shape[-3:-1]
        module = NormedCrossWindow(query.shape[-1], case["cfg"]["heads"], *windows, copies, "block")
        _filled(module, case, "attention.0.near.", "encoder.cross_views.0.cross_win_attend_1.")
        out = module(query, key, value, None).mean(1) if copies else module(query[:, 0], key, value, None)
        for name in names:
            ours = out if name == "out_noskip" else out + skip
            yield compared(f"CrossWinAttention {name}", ours, _merged(case[name]), PART)


def _merged(windows: Tensor) -> Tensor:
    """The grid `(..., X p, Y q, dim)` of windows `(..., X, Y, p, q, dim)`."""
    return windows.transpose(-4, -3).flatten(-3, -2).flatten(-4, -3)


def _decoder(case: Mapping[str, Any]) -> Tensor:
    settings = case["cfg"]
    blocks = Decoder(settings["dim"], settings["blocks"], 1).blocks
    state = {name.removeprefix("layers."): tensor for name, tensor in case["state_dict"].items()}
    z = case["x"]
    for block in _filled(blocks, {"state_dict": state}, "decoder.blocks.", "decoder.layers."):
        z = block(z, case["x"])
    out: Tensor = z
    return out


def _grids(case: Mapping[str, Any]) -> Iterator[Comparison]:
    """Places on the ground of the cells of the finest and the coarsest map."""
    axes = (span(count, 200, torch.device("cpu")) for count in (100, 25))
    fine, coarse = (ground(Grid(), axis, axis).permute(2, 0, 1) for axis in axes)
    corners = fine[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    yield compared("grid0_corners", corners, case["grid0_corners"][:2], PART)
    yield compared("grid2", coarse, case["grid2"][:2], PART)
