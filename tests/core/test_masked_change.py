"""The mechanisms of mask-based change detection against naive implementations of their equations in float64."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.core.helpers import close, randomised
from transect.core.attention import (
    FewQueryAttention,
    MultiScaleDeformableAttention,
    SceneAxialCrossAttention,
    SqueezeAxialAttention,
)
from transect.core.conv import ConvBN

SHAPES = [(3, 5), (2, 2)]


def case(name: str) -> tuple[nn.Module, tuple]:
    """A small mechanism and inputs for it, in float64."""
    torch.manual_seed(0)
    if name == "squeeze_axial":
        return randomised(SqueezeAxialAttention(4, 2, heads=2)), (torch.randn(2, 3, 5, 4).double(),)
    if name == "scene_axial":
        sizes = [(2, 3, 8), (2, 3, 8), (2, 5, 8), (2, 4, 8), (2, 4, 5, 8)]
        return randomised(SceneAxialCrossAttention(8, 2)), tuple(torch.randn(size).double() for size in sizes)
    if name == "few_query":
        sizes = [(2, 3, 8), (2, 7, 8), (2, 7, 8)]
        return randomised(FewQueryAttention(8, 2)), tuple(torch.randn(size).double() for size in sizes)
    tokens = sum(height * width for height, width in SHAPES)
    query, value = torch.randn(2, 6, 8).double(), torch.randn(2, tokens, 8).double()
    return randomised(MultiScaleDeformableAttention(8, 2, heads=2, points=3)), (
        query,
        torch.rand(2, 6, 2, 2).double(),
        value,
    )


def test_few_query_equals_multi_head_attention():
    module, (query, key, value) = case("few_query")
    peer = nn.MultiheadAttention(8, 2, batch_first=True).double()
    peer.load_state_dict(module.state_dict())
    mask = torch.rand(2, 3, 7) < 0.5
    mask[..., 0] = True
    close(module(query, key, value), peer(query, key, value)[0])
    close(module(query, key, value, mask), peer(query, key, value, attn_mask=~mask.repeat_interleave(2, 0))[0])


def test_scene_axial_equals_the_outer_product_of_its_maps():
    module, (query_x, query_y, key_x, key_y, value) = case("scene_axial")
    dim, heads = 8, 2
    weight, bias = module.in_proj_weight.view(5, heads, 4, dim), module.in_proj_bias.view(5, heads, 4)
    gate = (value.mean((1, 2)) @ module.scene.weight.T + module.scene.bias).sigmoid().view(2, heads, 4)
    expected = torch.zeros(2, 3, dim).double()
    for n in range(2):
        for head in range(heads):
            logits = []
            for query, key, i in ((query_x, key_x, 0), (query_y, key_y, 1)):
                q = query[n] @ weight[i, head].T + bias[i, head]
                k = (key[n] @ weight[2 + i, head].T + bias[2 + i, head]) * gate[n, head]
                logits.append(q @ k.T / 2)
            full = logits[1].softmax(-1)[:, :, None] * logits[0].softmax(-1)[:, None, :]  # (queries, H, W)
            projected = value[n] @ weight[4, head].T + bias[4, head]
            expected[n, :, head * 4 : head * 4 + 4] = torch.einsum("qyx,yxc->qc", full, projected)
    close(module(query_x, query_y, key_x, key_y, value), expected @ module.out_proj.weight.T + module.out_proj.bias)


def test_squeeze_axial_equals_its_equation():
    module, (x,) = case("squeeze_axial")
    heads, key_dim, keys = 2, 2, 4
    norm = lambda part, image: part.norm(part.conv(image))  # noqa: E731
    qkv = norm(module.qkv, x.permute(0, 3, 1, 2))
    query, key, value = qkv[:, :keys], qkv[:, keys : 2 * keys], qkv[:, 2 * keys :]
    encoded = []
    for part, squeezed in ((module.row, 3), (module.column, 2)):
        q, k, v = (tensor.mean(squeezed) for tensor in (query, key, value))  # (n, channels, lines)
        q = q + F.interpolate(part.query_position, q.shape[-1], mode="linear", align_corners=False)
        k = k + F.interpolate(part.key_position, k.shape[-1], mode="linear", align_corners=False)
        outs = []
        for head in range(heads):
            rows, values = slice(head * key_dim, (head + 1) * key_dim), slice(head * 4, head * 4 + 4)
            weights = (q[:, rows].transpose(1, 2) @ k[:, rows] / math.sqrt(key_dim)).softmax(-1)
            outs.append((weights @ v[:, values].transpose(1, 2)).transpose(1, 2))
        encoded.append(norm(part.encode, F.relu6(torch.cat(outs, 1)).unsqueeze(squeezed)))
    gate = norm(module.project, F.relu6(value + encoded[0] + encoded[1]))
    detail = norm(module.detail_pointwise, F.relu6(norm(module.detail_depthwise, qkv)))
    close(module(x), (F.relu6(gate + 3) / 6 * detail).permute(0, 2, 3, 1))


def test_deformable_equals_reading_every_sample_in_turn():
    module, (query, reference, value) = case("deformable")
    module.requires_grad_(False)
    heads, levels, points = 2, 2, 3
    offsets = module.sampling_offsets(query).view(2, 6, heads, levels, points, 2)
    weights = module.attention_weights(query).view(2, 6, heads, levels * points).softmax(-1)
    values = module.value_proj(value).view(2, -1, heads, 4)
    out = torch.zeros(2, 6, heads, 4).double()
    outside = 0
    for n, i, head, level, point in torch.cartesian_prod(*map(torch.arange, (2, 6, heads, levels, points))).tolist():
        height, width = SHAPES[level]
        start = sum(h * w for h, w in SHAPES[:level])
        x = float(reference[n, i, level, 0] * width + offsets[n, i, head, level, point, 0]) - 0.5
        y = float(reference[n, i, level, 1] * height + offsets[n, i, head, level, point, 1]) - 0.5
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if not (0 <= row < height and 0 <= column < width):
                    outside += 1
                    continue
                share = (1 - abs(y - row)) * (1 - abs(x - column)) * weights[n, i, head, level * points + point]
                out[n, i, head] += share * values[n, start + row * width + column, head]
    assert 50 < outside < 500  # of 576 corners: the border must be part of the test
    close(module(query, reference, value, SHAPES), module.output_proj(out.flatten(2)))


def test_deformable_places_keep_their_digits_in_bf16():
    module = MultiScaleDeformableAttention(2, levels=1, heads=1, points=1)
    for layer in (module.value_proj, module.output_proj):
        nn.init.eye_(layer.weight)
    nn.init.zeros_(module.sampling_offsets.bias)
    width = 501
    stripes = (torch.arange(width) % 2).float()[None, :, None].expand(1, -1, 2)
    reference = torch.stack([(torch.arange(width) + 0.5) / width, torch.full((width,), 0.5)], -1)[None, :, None]
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        read = module(torch.zeros(1, width, 2), reference, stripes, [(1, width)])
    torch.testing.assert_close(read.float(), stripes, rtol=0, atol=0.01)


def test_deformable_starts_on_a_compass_rose():
    module = MultiScaleDeformableAttention(16, levels=3, heads=8, points=4)
    offsets = module.sampling_offsets.bias.view(8, 3, 4, 2)
    assert torch.allclose(offsets.abs().amax(-1), torch.arange(1.0, 5).expand(8, 3, 4))
    assert torch.allclose(offsets[1, 0, 0], torch.ones(2))  # the second of eight points north-east


def test_folded_norm_equals_convolution_then_norm():
    for groups, stride in ((1, 1), (4, 2)):
        module = randomised(ConvBN(4, 8, 3, groups=groups, stride=stride))
        x = torch.randn(2, 4, 5, 7).double()
        close(module(x), module.norm(module.conv(x)))
