"""Bits per dimension on scikit-learn's 8x8 digits: `python -m benchmarks.digits`.

The Axial Transformer against independent categorical pixels and a PixelCNN with the same number of parameters (within
5 %): same images, optimizer, schedule and epochs, three seeds each. The checkpoint is selected on the validation
images; the test images are evaluated once. Then CPU seconds per sample, semi-parallel against naive sampling. Takes
about eight minutes of one core.
"""

import copy
import math
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from transect.core.axial_transformer import AxialTransformer
from transect.core.positions import AxialPositions

LEVELS, GRID = 17, (8, 8)
SEEDS, EPOCHS, BATCH, RATE = 3, 20, 32, 6e-3
SAMPLES = 64
COLUMNS = "{:<18} {:>10} {:>10} {:>18} {:>18} {:>10} {:>6}"


def digits() -> tuple[Tensor, Tensor, Tensor]:
    """1297 training, 200 validation and 300 test images: int64 `(count, 8, 8)` with values 0 to 16."""
    images = torch.from_numpy(load_digits().images).long()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, validation, test = images[order].split((1297, 200, 300))
    return train, validation, test


class IndependentPixels(nn.Module):
    """Per-pixel frequencies in the training images, with add-one (Laplace) smoothing."""

    def __init__(self, train: Tensor) -> None:
        super().__init__()
        counts = F.one_hot(train, LEVELS).sum(0) + 1.0
        self.log_probability = nn.Parameter((counts / counts.sum(-1, keepdim=True)).log())

    def forward(self, x: Tensor) -> Tensor:
        return self.log_probability.expand(*x.shape, LEVELS)


class MaskedConv(nn.Conv2d):
    """Convolution over the earlier pixels in raster order, including the current pixel unless `first`."""

    live: Tensor

    def __init__(self, dim: int, kernel: int, *, first: bool) -> None:
        super().__init__(dim, dim, kernel, padding=kernel // 2)
        raster = torch.arange(kernel * kernel).view(kernel, kernel)
        self.register_buffer("live", raster < raster[kernel // 2, kernel // 2] + (not first))

    def forward(self, h: Tensor) -> Tensor:
        weight = self.weight * self.live
        return F.conv2d(h.movedim(-1, 1), weight, self.bias, padding=self.padding).movedim(1, -1)


class ConvBlock(nn.Module):
    """`h + W gelu(conv(LN(h)))`."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Dropout(dropout),
            MaskedConv(dim, 3, first=False),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(dim, dim),
        )

    def forward(self, h: Tensor) -> Tensor:
        return h + self.mix(h)


class PixelCNN(nn.Module):
    """Masked convolutions: a 5x5 one that excludes the current pixel, then residual ones that include it."""

    def __init__(self, dim: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Embedding(LEVELS, dim),
            AxialPositions(dim, GRID, std=1.0),
            MaskedConv(dim, 5, first=True),
            AxialPositions(dim, GRID, std=1.0),
            *(ConvBlock(dim, dropout) for _ in range(blocks)),
            nn.LayerNorm(dim),
            nn.Linear(dim, LEVELS),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def axial(seed: int) -> AxialTransformer:
    """About 90 000 parameters; the settings of both models were selected on the validation images."""
    torch.manual_seed(seed)
    return AxialTransformer(LEVELS, GRID, dim=32, heads=2, outer_layers=2, inner_layers=3, dropout=0.1)


def pixel_cnn(seed: int) -> PixelCNN:
    """The same number of parameters, within 5 %."""
    torch.manual_seed(seed)
    return PixelCNN(dim=46, blocks=5, dropout=0.15)


def parameters(model: nn.Module) -> int:
    """Number of trainable parameters, without masked weights."""
    masked = sum(
        part.weight.numel() - int((part.live * torch.ones_like(part.weight)).sum())
        for part in model.modules()
        if isinstance(part, MaskedConv)
    )
    return sum(parameter.numel() for parameter in model.parameters()) - masked


@torch.no_grad()
def bits(model: nn.Module, x: Tensor) -> Tensor:
    """Bits per dimension of each image."""
    nats = F.cross_entropy(model.eval()(x).movedim(-1, 1), x, reduction="none")
    return nats.flatten(1).mean(1) / math.log(2)


def train(model: nn.Module, images: Tensor, validation: Tensor, seed: int) -> tuple[nn.Module, int]:
    """Train; return the checkpoint with the best validation score, and its epoch."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps, pct_start=0.1)
    best, best_epoch, best_bits = model, 0, math.inf
    for epoch in range(EPOCHS):
        model.train()
        for batch in images[torch.randperm(len(images), generator=generator)].split(BATCH)[:steps]:
            optimizer.zero_grad()
            F.cross_entropy(model(batch).movedim(-1, 1), batch).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        score = float(bits(model, validation).mean())
        if score < best_bits:
            best, best_epoch, best_bits = copy.deepcopy(model), epoch + 1, score
    return best.eval(), best_epoch


@torch.no_grad()
def sample_naively(model: nn.Module, count: int, generator: torch.Generator) -> Tensor:
    """Sample with a full forward pass per pixel."""
    x = torch.zeros(count, *GRID, dtype=torch.long)
    for row in range(GRID[0]):
        for column in range(GRID[1]):
            probability = model(x)[:, row, column].softmax(-1)
            x[:, row, column] = torch.multinomial(probability, 1, generator=generator)[:, 0]
    return x


def compare_samplers(model: AxialTransformer) -> None:
    """Print CPU seconds per image of both samplers, with the same random numbers."""
    print(f"\n{'CPU seconds per sample':<24} {'naive':>10} {'semi-parallel':>15} {'ratio':>7} {'same pixels':>12}")
    for count in (1, SAMPLES):
        start = time.process_time()
        expected = sample_naively(model, count, torch.Generator().manual_seed(0))
        between = time.process_time()
        drawn, _ = model.sample(count, generator=torch.Generator().manual_seed(0))
        naive, fast = between - start, time.process_time() - between
        same = f"{float((drawn == expected).float().mean()):.1%}"
        row = f"{naive / count:>10.4f} {fast / count:>15.4f} {naive / fast:>6.1f}x {same:>12}"
        print(f"{f'batch of {count}':<24} {row}", flush=True)


def with_error(values: Tensor) -> str:
    """Format the mean over images and its standard error."""
    return f"{float(values.mean()):.4f} +- {float(values.std() / math.sqrt(len(values))):.4f}"


def main() -> None:
    """Train, select, test and print."""
    torch.set_num_threads(1)
    images, validation, test = digits()
    print(COLUMNS.format("bits per dimension", "parameters", "validation", "test", "by seed", "best epoch", "CPU s"))
    independent = IndependentPixels(images)
    validated, tested = f"{float(bits(independent, validation).mean()):.4f}", with_error(bits(independent, test))
    print(COLUMNS.format("independent pixels", parameters(independent), validated, tested, "", "", ""), flush=True)
    means: list[Tensor] = []
    for name, build in (("PixelCNN", pixel_cnn), ("Axial Transformer", axial)):
        start = time.process_time()
        runs = [train(build(seed), images, validation, seed) for seed in range(SEEDS)]
        seconds = f"{(time.process_time() - start) / SEEDS:.0f}"
        validated = f"{float(torch.stack([bits(model, validation) for model, _ in runs]).mean()):.4f}"
        by_seed = torch.stack([bits(model, test) for model, _ in runs])
        means.append(by_seed.mean(0))
        per_seed = " ".join(f"{value:.3f}" for value in by_seed.mean(1).tolist())
        epochs = " ".join(str(epoch) for _, epoch in runs)
        size = parameters(runs[0][0])
        print(COLUMNS.format(name, size, validated, with_error(means[-1]), per_seed, epochs, seconds), flush=True)
    print(f"Axial Transformer - PixelCNN, image by image: {with_error(means[1] - means[0])}")
    model = runs[-1][0]
    assert isinstance(model, AxialTransformer)
    compare_samplers(model)


if __name__ == "__main__":
    main()
