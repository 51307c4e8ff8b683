"""Training finds known lesions, and the benchmark of learning runs and tells its baselines from the models."""

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from benchmarks import lesions
from tests.apps.petct.studies import SMALL
from transect.apps.petct.app import PetCT
from transect.apps.petct.config import AugmentConfig, Config
from transect.apps.petct.dataset import POSITIONS
from transect.apps.petct.models.config import ModelConfig
from transect.data_adapters.petct.config import PhantomConfig


@pytest.mark.parametrize("name", ["resnet18", "slice_context"])
def test_the_tumour_of_a_few_bodies_is_learned(name, tmp_path):
    config = Config(
        ModelConfig(name, run=16, **SMALL),
        phantom=PhantomConfig(context=False, size=32, slices=32),
        augment=AugmentConfig(False, 0, 0, 0, 0),
        size=32,
        suv_max=15.0,
        precision="fp32",
    )
    app = PetCT(config)
    app.adapter.phantom(tmp_path, 3, 0)
    cases = app.adapter.cases(str(tmp_path))
    torch.manual_seed(0)
    model, dataset = app.model(), app.dataset(cases)
    optimizer = torch.optim.AdamW(app.parameter_groups(model), lr=3e-3)
    step = 1 if name == "slice_context" else 16
    order = np.random.default_rng(0).permutation(3 * POSITIONS)
    for batch in range(150):
        chosen = order[batch * 4 * step : (batch + 1) * 4 * step]
        optimizer.zero_grad()
        app.loss(model, default_collate([dataset[int(index)] for index in chosen])).backward()
        optimizer.step()
    model.eval()
    samples = [app.adapter.read(case) for case in cases]
    contributions = [app.metric.contribution(app.predict(model, sample), sample) for sample in samples]
    app = PetCT(config, app.metric.calibrate(contributions))
    summary = app.metric.summary(contributions)
    assert summary["auroc"] > 0.95
    assert summary["sensitivity_per_lesion"] >= 0.95
    assert summary["specificity"] > summary["suv4_specificity"]


def test_the_benchmark_prints_its_tables(capsys):
    lesions.run(lesions.Sizes(training=4, validation=3, unseen=3, few=3, seeds=2, seconds=0.01), 3)
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith(("SUV", "41 %", "resnet18", "slice_context"))]
    assert len(rows) == 8
    for row in rows:
        assert row.count("+-") == (2 if row.startswith(("resnet18", "slice_context")) else 0)
    assert all(line in printed for line in ("with context, unseen", "without context, unseen", "held-out AUROC"))
