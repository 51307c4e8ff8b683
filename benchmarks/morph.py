"""Speed of MORPH Ti against its published form, and parameter counts: `python -m benchmarks.morph`.

Prints CPU milliseconds of one thread for a forward pass of one sample, of our implementation and of a direct
reimplementation of the published form with the same weights, in alternation: patches zero-padded to 4096 features, all
4608 decoder outputs, 3-D kernels on lines and images, queries and keys along axes of length one.
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import seconds
from transect.apps.pde.models.config import MorphConfig
from transect.apps.pde.models.morph import Morph
from transect.apps.pde.weights import to_reference

SHAPES = {
    "1-D 1024, F3 C1": (1, 1, 3, 1, 1, 1, 1024),
    "2-D 64^2, F1 C1": (1, 1, 1, 1, 1, 64, 64),
    "2-D 128^2, F2 C1": (1, 1, 2, 1, 1, 128, 128),
    "3-D 32^3, F3 C3": (1, 1, 3, 3, 32, 32, 32),
}
#: Configurations with the published number of parameters, in millions.
SIZES = {
    "Ti": (MorphConfig(), 9.864),
    "S": (MorphConfig(dim=512, heads=8, mlp=2048), 32.830),
    "M": (MorphConfig(dim=768, heads=12, depth=8, mlp=3072), 125.602),
    "L": (
        MorphConfig(dim=1024, heads=16, depth=16, mlp=4096, max_context=16, positions="line_and_time"),
        483.293,
    ),
}
ROUNDS = 15
COLUMNS = "{:<18} {:>12} {:>12} {:>8} {:>16}"


def padded(state: dict[str, Tensor], x: Tensor, config: MorphConfig) -> Tensor:
    """Forward pass in the published form, with the published weight names."""
    batch, times, fields, components, *grid = x.shape
    patch = [1 if length == 1 else config.patch for length in grid]
    sides = [length // side for length, side in zip(grid, patch, strict=True)]

    part = "patch_embedding."
    h = F.pad(x.flatten(0, 2), (0, 0, 0, 0, 0, 0, 0, config.max_components - components))
    h = F.conv3d(h, state[part + "conv_features.input_proj.weight"])
    h = F.leaky_relu(F.conv3d(h, state[part + "conv_features.conv_stack.0.weight"], padding=1), 0.2)
    h = h.view(-1, config.filters, sides[0], patch[0], sides[1], patch[1], sides[2], patch[2])
    h = h.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)
    weight = state[part + "projection.weight"]
    h = F.linear(F.pad(h, (0, weight.shape[1] - h.shape[-1])), weight, state[part + "projection.bias"])
    h = h.view(batch * times, fields, -1, config.dim).transpose(1, 2).flatten(0, 1).transpose(0, 1)
    h, _ = F.multi_head_attention_forward(
        state[part + "field_attn.q"].expand(1, h.shape[1], -1),
        h,
        h,
        config.dim,
        config.fusion_heads,
        state[part + "field_attn.attn.in_proj_weight"],
        state[part + "field_attn.attn.in_proj_bias"],
        None,
        None,
        False,
        0.0,
        state[part + "field_attn.attn.out_proj.weight"],
        state[part + "field_attn.attn.out_proj.bias"],
        need_weights=False,
    )
    h = h[0].view(batch, times, -1, config.dim)
    table = state["pos_encoding.pos_embedding"][0, :times].transpose(1, 2)
    h = h + F.interpolate(table, size=h.shape[2], mode="linear", align_corners=False).transpose(1, 2)
    h = h.unflatten(2, sides)

    for block in range(config.depth):
        part = f"transformer_blocks.{block}."
        u = F.layer_norm(h, (config.dim,), state[part + "norm1.weight"], state[part + "norm1.bias"])
        if times > 1:
            u = u + _attention(state, f"{part}axial_attn.attn_t.", u, 1, config.heads)
        mixed = [
            _attention(state, f"{part}axial_attn.attn_{name}.", u, 2 + i, config.heads) for i, name in enumerate("dhw")
        ]
        h = h + u + sum(mixed)
        u = F.layer_norm(h, (config.dim,), state[part + "norm2.weight"], state[part + "norm2.bias"])
        u = F.gelu(F.linear(u, state[part + "mlp.0.base.weight"], state[part + "mlp.0.base.bias"]))
        h = h + F.linear(u, state[part + "mlp.3.base.weight"], state[part + "mlp.3.base.bias"])

    h = F.layer_norm(h, (config.dim,), state["decoder.norm.weight"], state["decoder.norm.bias"])
    h = F.linear(h, state["decoder.linear.weight"], state["decoder.linear.bias"])[:, -1]
    h = h[..., : fields * components * patch[0] * patch[1] * patch[2]].unflatten(-1, (fields, components, *patch))
    return h.permute(0, 4, 5, 1, 6, 2, 7, 3, 8).reshape(batch, fields, components, *grid)


def _attention(state: dict[str, Tensor], part: str, u: Tensor, axis: int, heads: int) -> Tensor:
    """Multi-head attention along one axis of `u` `(batch, times, depth, height, width, dim)`."""
    lines = u.movedim(axis, -2)

    def linear(name: str, h: Tensor) -> Tensor:
        return F.linear(h, state[f"{part}{name}.base.weight"], state[f"{part}{name}.base.bias"])

    query, key, value = (linear(name, lines).unflatten(-1, (heads, -1)).transpose(-2, -3) for name in "qkv")
    if lines.shape[-2] > 1:
        value = F.scaled_dot_product_attention(query, key, value)
    return linear("o", value.transpose(-2, -3).flatten(-2)).movedim(-2, axis)


def main(words: list[str]) -> None:
    """Measure the shapes whose names contain all the words."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = MorphConfig()
    model = Morph(config).eval()
    state = to_reference(model.state_dict(), heads=config.heads)
    print(COLUMNS.format("Ti, forward", "ours, ms", "padded, ms", "ratio", "largest error"))
    with torch.inference_mode():
        for name, shape in SHAPES.items():
            if not all(word in name for word in words):
                continue
            x = torch.randn(shape)
            runs = {"ours": lambda x=x: model(x), "padded": lambda x=x: padded(state, x, config)}
            error = (runs["ours"]() - runs["padded"]()).abs().max().item()
            times = seconds(runs, torch.device("cpu"), ROUNDS)
            ours, theirs = times["ours"], times["padded"]
            figures = f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}", f"{ours / theirs:.2f}", f"{error:.1e}"
            print(COLUMNS.format(name, *figures), flush=True)
    print(f"\n{'size':<4} {'parameters, M':>14} {'published, M':>14}")
    for name, (size, published) in SIZES.items():
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in Morph(size).parameters())
        print(f"{name:<4} {count / 1e6:>14.3f} {published:>14.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
