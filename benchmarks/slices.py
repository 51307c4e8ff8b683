"""Prediction of a PET study in DICOM files over its least cost: `python -m benchmarks.slices SERIES [--size N]`.

The least cost is that of the network alone, on slices that are ready, plus that of pydicom, which reads the pixels of
the same files. `predict` adds what makes a result: listing the study, choosing the series, SUV, the geometry, a label
if there is one, the preparation of slices, the table, the summary, key images of a tenth of the slices, and the records
of batch inference; without pictures. Both alternate in one process, after all imports, with a network of default size
and random weights.
"""

import argparse
import itertools
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from pydicom import dcmread
from torch import Tensor

from benchmarks.measure import seconds
from transect.apps.petct.app import PetCT
from transect.apps.petct.config import Config, State
from transect.apps.petct.models.resnet import SliceNetwork
from transect.core.precision import autocast
from transect.pipelines import model_folder
from transect.pipelines.predict import predict_cases

GOAL = 1.5
FLAGGED = 0.1
"""Share of the slices that are flagged."""


def forward(model: SliceNetwork, images: Tensor, config: Config) -> Tensor:
    """The network alone on slices `(Z, channels, size, size)`, in the batches and the precision of prediction."""
    with torch.inference_mode(), autocast(config.precision, images.device):
        features = [model.trunk(batch) for batch in images.split(config.slices_per_batch)]
        return model.logits(torch.cat(features)[None])


def main() -> int:
    """Measure and print; returns 1 if prediction takes more than `GOAL` times the least cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, help="folder of one study with a PET series")
    parser.add_argument("--size", type=int, default=Config().size, help="side of the slices that the network is given")
    parser.add_argument("--rounds", type=int, default=5, help="how often both are measured")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = replace(Config(), size=arguments.size)
    app = PetCT(config)
    network = app.model().eval()
    (case,) = app.adapter.cases(str(arguments.series))
    study = app.adapter.read(case)
    files = [image.path for image in study.pet.slices]
    threshold = float(np.quantile(app.predict(network, study).probability, 1 - FLAGGED))
    images = torch.rand(len(files), config.model.channels, arguments.size, arguments.size)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        model_folder.save(root / "model", "petct", PetCT(config, State(threshold=threshold)), network, "# benchmark\n")
        model = model_folder.load(str(root / "model"), device="cpu")
        attempts = itertools.count()

        def predict() -> None:
            (outcome,) = predict_cases(model, [str(arguments.series)], root / str(next(attempts)), pictures=0)
            assert outcome.status == "done", outcome.message

        runs = {
            "network": lambda: forward(network, images, config),
            "pydicom": lambda: [dcmread(path).pixel_array for path in files],
            "predict": predict,
        }
        spent = seconds(runs, torch.device("cpu"), arguments.rounds, budget=120.0)
    ratio = spent["predict"] / (spent["network"] + spent["pydicom"])
    rows, columns = study.pet.slices[0].size[::-1]
    print(f"{len(files)} slices of {columns} x {rows}, {arguments.size} x {arguments.size} for the network, 1 thread")
    print("   ".join(f"{name} {cpu:.2f} s" for name, cpu in spent.items()), f"  ratio {ratio:.2f}, at most {GOAL}")
    return int(ratio > GOAL)


if __name__ == "__main__":
    sys.exit(main())
