"""Fused axial cross-attention against a float64 loop over windows, heads and tokens written from its equations."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.apps.bev.rigs import ring
from transect.apps.bev.models.fax import Embedding, FusedAxialCrossAttention
from transect.apps.bev.models.views import Views
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.grid import Grid

DIM, HEADS, CHANNELS = 8, 2, 5
IMAGE, GRID = (20, 36), Grid(16, 24, 0.5, offset=0.25)


def level(features=(5, 7), size=(4, 6), window=(2, 3), embedded=True) -> FusedAxialCrossAttention:
    torch.manual_seed(1)
    module = FusedAxialCrossAttention(
        DIM,
        HEADS,
        channels=CHANNELS,
        features=features,
        image=IMAGE,
        grid=GRID,
        size=size,
        query_window=window,
        embedded=embedded,
    ).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


def inputs(count, features=(5, 7), size=(4, 6), batch=1):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(batch, *size, DIM, generator=generator).double()
    feature = torch.randn(batch * count, CHANNELS, *features, generator=generator).double()
    return x, feature, [tensor.double() for tensor in ring(count, ReadConfig(height=32, width=32), batch)]


def naive_embeddings(module, intrinsics: Tensor, poses: Tensor):
    """One cell at a time: the ray of a cell, and the place of a cell of the map, from each camera."""
    (height, width), (rows, columns) = module.features, module.size
    image = torch.zeros(1, len(poses), height, width, DIM).double()
    query = torch.zeros(1, len(poses), rows, columns, DIM).double()
    for n, (k, pose) in enumerate(zip(intrinsics, poses, strict=True)):
        centre = module.camera.weight @ pose[:, 3]
        for i in range(height):
            for j in range(width):
                pixel = torch.tensor([j / (width - 1) * IMAGE[1], i / (height - 1) * IMAGE[0], 1.0]).double()
                ray = pose @ torch.cat([torch.linalg.solve(k, pixel), torch.ones(1).double()])
                image[0, n, i, j] = F.normalize(module.ray.weight @ ray - centre, dim=0)
        for i in range(rows):
            for j in range(columns):
                pixel = torch.tensor([j / (columns - 1) * GRID.width, i / (rows - 1) * GRID.height, 1.0]).double()
                place = torch.linalg.solve(torch.tensor(GRID.matrix), pixel)[:2]
                query[0, n, i, j] = F.normalize(module.place.weight @ place + module.place.bias - centre, dim=0)
    return Embedding(image, query)


def attend(part, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention of `(tokens, dim)`, one head and one query at a time."""
    attention, size = part.attention, DIM // HEADS
    q, k = attention.query(part.query_norm(queries)), attention.key(part.key_norm(keys))
    v = attention.value(part.value_norm(values))
    rows = []
    for query in q:
        heads = []
        for head in range(HEADS):
            channels = slice(head * size, (head + 1) * size)
            weights = (k[:, channels] @ query[channels] / math.sqrt(size)).softmax(0)
            heads.append(weights @ v[:, channels])
        rows.append(torch.cat(heads))
    return attention.out(torch.stack(rows))


def naive(module, x: Tensor, feature: Tensor, embedding: Embedding) -> Tensor:
    """All of one sample, window by window, with the copies of queries that the reference has in both steps."""
    count, (rows, columns), window = len(feature), module.size, module.near.attention.window[-2:]
    key = embedding.image[0] + module.key_features(feature).permute(0, 2, 3, 1)
    value = module.value_features(feature).permute(0, 2, 3, 1)
    numbers = rows // window[0], columns // window[1]
    lengths = [math.ceil(size / number) for size, number in zip(module.features, numbers, strict=True)]
    padding = [number * length - size for number, length, size in zip(numbers, lengths, module.features, strict=True)]
    key, value = (F.pad(part, (0, 0, 0, padding[1], 0, padding[0])) for part in (key, value))
    x = x[0]
    for part, mlp in ((module.near, module.near_mlp), (module.far, module.far_mlp)):
        out = torch.zeros_like(x)
        for a in range(numbers[0]):
            for b in range(numbers[1]):
                cells = slice(a * window[0], (a + 1) * window[0]), slice(b * window[1], (b + 1) * window[1])
                if part is module.near:
                    tokens = (slice(None), *(slice(i * n, (i + 1) * n) for i, n in zip((a, b), lengths, strict=True)))
                else:
                    tokens = (slice(None), slice(a, None, numbers[0]), slice(b, None, numbers[1]))
                queries = x[cells].reshape(1, -1, DIM).repeat(count, 1, 1)
                if part is module.near and embedding.query is not None:
                    queries = queries + embedding.query[0][:, cells[0], cells[1]].reshape(count, -1, DIM)
                read = attend(part, queries.flatten(0, 1), key[tokens].reshape(-1, DIM), value[tokens].reshape(-1, DIM))
                out[cells] = read.view(count, -1, DIM).mean(0).view(*window, DIM)
        x = x + out
        x = x + mlp.narrow(F.gelu(mlp.widen(mlp.norm(x))))
    return module.norm(x)[None]


@pytest.mark.parametrize(
    ("features", "window", "embedded"),
    [((5, 7), (2, 3), True), ((4, 6), (2, 2), False), ((3, 4), (4, 6), True), ((2, 3), (1, 6), True)],
)
def test_equals_a_loop_over_windows_with_its_gradients(features, window, embedded):
    module = level(features, window=window, embedded=embedded)
    x, feature, (intrinsics, poses) = inputs(3, features)
    embedding = naive_embeddings(level(features, window=window), intrinsics[0], poses[0])
    if not embedded:
        embedding = embedding._replace(query=None)
    leaves = [x.requires_grad_(), feature.requires_grad_(), *module.near.parameters(), *module.far.parameters()]
    leaves += [*module.key_features.parameters(), *module.value_features.parameters(), *module.near_mlp.parameters()]
    weights = torch.randn(1, 4, 6, DIM, generator=torch.Generator().manual_seed(3)).double()
    found, expected = module(x, feature, embedding, Views(1, 3)), naive(module, x, feature, embedding)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    gradients = [torch.autograd.grad((out * weights).sum(), leaves) for out in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_embeddings_equal_those_of_one_cell_at_a_time():
    module = level()
    _, _, (intrinsics, poses) = inputs(3)
    expected = naive_embeddings(module, intrinsics[0], poses[0])
    found = module.float().embed(intrinsics.float(), poses.float())
    torch.testing.assert_close(found.image, expected.image, rtol=0, atol=1e-5, check_dtype=False)
    torch.testing.assert_close(found.query, expected.query, rtol=0, atol=1e-5, check_dtype=False)
    torch.testing.assert_close(found.image.norm(dim=-1), torch.ones(1, 3, 5, 7), check_dtype=False)


def test_gradients_reach_the_embeddings_of_rays_cameras_and_places():
    module = level().float()
    x, feature, calibration = inputs(2)
    embedding = module.embed(*(tensor.float() for tensor in calibration))
    module(x.float(), feature.float(), embedding, Views(1, 2)).square().mean().backward()
    for parameter in (module.ray.weight, module.camera.weight, module.place.weight, module.place.bias):
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_windows_of_images_are_as_many_as_those_of_the_map():
    """Those of the published network follow: 6 x 12, 6 x 12 and 14 x 30 cells."""
    sizes = (((56, 120), (100, 100), (10, 10)), ((28, 60), (50, 50), (10, 10)), ((14, 30), (25, 25), (25, 25)))
    windows = [level(features, size, window).near.attention.context_window for features, size, window in sizes]
    assert windows == [(None, 6, 12), (None, 6, 12), (None, 14, 30)]
