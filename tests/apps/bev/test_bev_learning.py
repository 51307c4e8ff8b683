"""The reduced SinBEVT of `small.yaml` overfits eight samples of synthetic drives."""

import torch
from torch import nn
from torch.utils.data import default_collate

from transect.apps.bev.app import BirdsEyeView
from transect.pipelines.config import load_training
from transect.pipelines.find import ROOT

STEPS = 60
"""About 25 CPU seconds. `python -m benchmarks.bev` prints the curve of 90."""


def test_eight_samples_are_overfitted(tmp_path):
    torch.manual_seed(0)
    config, training, _ = load_training(
        "bev", ROOT / "bev" / "small.yaml", ["--augment.drop_views=0", "--augment.mirror=false", "--augment.light=0"]
    )
    app = BirdsEyeView(config)
    app.adapter.phantom(tmp_path, 8, 0)
    cases = app.adapter.cases(str(tmp_path))
    dataset, model = app.dataset(cases), app.model()
    batch = default_collate([dataset[index] for index in range(8)])
    optimizer = torch.optim.AdamW(app.parameter_groups(model), training.learning_rate)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * min(2 - 2 * step / STEPS, 1)
        optimizer.zero_grad()
        app.loss(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip)
        optimizer.step()
    model.eval()
    samples = [app.adapter.read(case) for case in cases]
    contributions = [app.metric.contribution(app.predict(model, sample), sample) for sample in samples]
    state = app.metric.calibrate(contributions)
    summary = BirdsEyeView(config, state).metric.summary(contributions)
    assert summary["vehicle_iou_visible_calibrated"] > 0.6, summary
