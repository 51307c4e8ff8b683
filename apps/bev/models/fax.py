"""Fused axial cross-attention (FAX-CA): a map attends to the images of all cameras, first locally, then globally."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.bev.models.config import Size
from transect.apps.bev.models.geometry import directions, ground, span, to_ego
from transect.apps.bev.models.views import Views
from transect.core.attention import CrossWindowAttention
from transect.core.attention.grid import Partition, counts, fit
from transect.data_adapters.bev.grid import Grid

TINY = 1e-7
"""Added to the length of embeddings before they are divided by it."""


class Embedding(NamedTuple):
    """What attention knows of the calibration.

    Args:
        image: `(B, n, h, w, dim)`, of the ray through each cell of the image features.
        query: `(B, n, H, W, dim)`, of the place of each cell of the map seen from each camera; None without.
    """

    image: Tensor
    query: Tensor | None


class NormedCrossWindow(nn.Module):
    """Cross-attention of paired windows with a layer norm each before queries, keys and values.

    Shapes: query `(B, n, H, W, dim)` or `(B, H, W, dim)`, key and value `(B, n, h, w, dim)`; that of the query out.
    """

    def __init__(self, dim: int, heads: int, query_window: Size, window: Size, copies: bool, partition: Partition):
        super().__init__()
        self.query_norm, self.key_norm, self.value_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.attention = CrossWindowAttention(
            dim,
            heads,
            window=(None, *query_window) if copies else query_window,
            context_window=(None, *window),
            context_partition=partition,
        )

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attend; `mask` `(B, n, h, w)` is True where a key may be attended to."""
        out: Tensor = self.attention(self.query_norm(query), self.key_norm(key), self.value_norm(value), mask)
        return out


class MLP(nn.Module):
    """`x + W_2 gelu(W_1 LN(x))`, twice as wide inside: `(..., dim)` in, the same out."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen, self.narrow = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each cell."""
        out: Tensor = x + self.narrow(F.gelu(self.widen(self.norm(x))))
        return out


class FusedAxialCrossAttention(nn.Module):
    r"""One level of CoBEVT: a map attends to image features of the same number of windows.

    With the features F_n of view n, the unit embeddings e_n of the rays through its cells and b_n of the places of the
    map's cells seen from it (see `Embedding`)::

        k_n = e_n + W_k relu(BN(F_n));  v_n = W_v relu(BN'(F_n));  q_n = b_n + x, or q = x without embedding
        x = x + mean_n A_1(q_n, k, v);  x = x + MLP_1(x)          windows of neighbours against windows of neighbours
        x = x + A_2(x, k, v);           x = LN(x + MLP_2(x))      windows of neighbours against spread-out cells

    Window i of the map attends to window i of the features of all views. Features are padded with zeros to whole
    windows, and padding is attended to, as in the reference; absent views are not. The reference computes A_2 for n
    copies of one query, which all give the same: here it is computed once.

    Args:
        dim: Channels of the map.
        heads: Attention heads.
        channels: Of the image features.
        features: Their height and width.
        image: Height and width of the images, in pixels.
        grid: Of the labels, which the map spans.
        size: Height and width of the map.
        query_window: Height and width of its windows.
        embedded: Whether queries know their place.

    Source: Xu et al., "CoBEVT" (2022), section 3.3.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        channels: int,
        features: Size,
        image: Size,
        grid: Grid,
        size: Size,
        query_window: Size,
        embedded: bool,
    ) -> None:
        super().__init__()
        self.features, self.image, self.grid, self.size = features, image, grid, size
        windows = counts(fit(query_window, size), size)
        rows, columns = (-(-length // number) for length, number in zip(features, windows, strict=True))
        padded = rows * windows[0], columns * windows[1]
        self.missing = padded[0] - features[0], padded[1] - features[1]
        self.key_features, self.value_features = (
            nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, dim, 1, bias=False))
            for _ in range(2)
        )
        self.ray, self.camera = nn.Linear(4, dim, bias=False), nn.Linear(4, dim, bias=False)
        self.place = nn.Linear(2, dim) if embedded else None
        self.near = NormedCrossWindow(dim, heads, query_window, (rows, columns), embedded, "block")
        self.far = NormedCrossWindow(dim, heads, query_window, (rows, columns), False, "grid")
        self.near_mlp, self.far_mlp = MLP(dim), MLP(dim)
        self.norm = nn.LayerNorm(dim)

    def embed(self, intrinsics: Tensor, camera_to_ego: Tensor) -> Embedding:
        """The embeddings of a calibration, `(B, n, 3, 3)` and `(B, n, 4, 4)`.

        `e = unit(W_r r - W_c c)` for the ray `r` of each cell, the ego coordinates `(x, y, z, 1)` of its point at depth
        1, and the centre `c` of the camera; `b = unit(W_p p + b_p - W_c c)` for the place `p` of each cell of the map.
        Cells of features and of maps spread evenly over the image and the grid, the first and last ones on the edges.
        """
        device = camera_to_ego.device
        rows, columns = (span(n, end, device) for n, end in zip(self.features, self.image, strict=True))
        rays = F.pad(to_ego(camera_to_ego, directions(intrinsics, rows, columns)), (0, 1), value=1.0)
        centre = precise(self.camera, camera_to_ego.float()[..., 3])[:, :, None, None]
        image = unit(precise(self.ray, rays) - centre)
        if self.place is None:
            return Embedding(image, None)
        ends = self.grid.height, self.grid.width
        places = ground(self.grid, *(span(n, end, device) for n, end in zip(self.size, ends, strict=True)))
        return Embedding(image, unit(precise(self.place, places) - centre))

    def forward(self, x: Tensor, features: Tensor, embedding: Embedding, views: Views) -> Tensor:
        """Update the map.

        Args:
            x: `(B, H, W, dim)`.
            features: `(P, channels, h, w)` of the present views.
            embedding: Of the calibration.
            views: Which views are present.

        Returns:
            `(B, H, W, dim)`.
        """
        key = embedding.image + views.unpack(self.key_features(features).permute(0, 2, 3, 1))
        value = views.unpack(self.value_features(features).permute(0, 2, 3, 1))
        if any(self.missing):
            key, value = (F.pad(part, (0, 0, 0, self.missing[1], 0, self.missing[0])) for part in (key, value))
        mask = views.mask(key.shape[2:4])
        if embedding.query is None:
            x = x + self.near(x, key, value, mask)
        else:
            x = x + views.mean(self.near(embedding.query + x[:, None], key, value, mask))
        x = self.near_mlp(x)
        x = self.far_mlp(x + self.far(x, key, value, mask))
        out: Tensor = self.norm(x)
        return out


def precise(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer in float32 also under autocast."""
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        with torch.autocast(kind, enabled=False):
            return precise(layer, x)
    out: Tensor = layer(x)
    return out


def unit(x: Tensor) -> Tensor:
    """Vectors `(..., dim)` of length 1."""
    return x / (x.norm(dim=-1, keepdim=True) + TINY)
