"""Training on one real scan finds its liver: the way from the file through loss, weights and windows to the mask."""

import time

import numpy as np
import torch
from torch.utils.data import default_collate

from transect.apps.liver_mri.app import LiverMRI
from transect.apps.liver_mri.config import AugmentConfig, Config
from transect.apps.liver_mri.models.config import ModelConfig, SRMAMambaConfig
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.nifti import read_nifti


def test_the_liver_of_one_mr_is_learned_within_two_cpu_minutes(shared_file, tmp_path):
    config = Config(
        model=ModelConfig(srma_mamba=SRMAMambaConfig(dim=16, drop_path=0.0)),
        read=VolumeConfig(label="5"),
        augment=AugmentConfig("", 0, 0, 0, 0, 0),
        spacing=(4.0, 4.0, 4.0),
        precision="fp32",
    )
    folder = shared_file("data/medical/totalsegmentator")
    files = [str(folder / "example_mr_sm.nii.gz"), str(folder / "example_seg_mr.nii.gz")]
    app = LiverMRI(config)
    (case,) = app.adapter.cases(*files)
    app = LiverMRI(config, app.fit([case]))
    assert app.window == (96, 80, 16)
    torch.manual_seed(0)
    started = time.process_time()
    model, batch = app.model(), default_collate([app.dataset([case])[0]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0)
    for _ in range(40):
        optimizer.zero_grad()
        app.loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert time.process_time() - started < 120
    sample = app.adapter.read(case)
    prediction = app.predict(model.eval(), sample)
    scores = app.metric.summary([app.metric.contribution(prediction, sample)])
    assert scores["dice"] > 0.95
    assert scores["hd95_mm"] < 9
    facts = app.adapter.write(case, prediction, tmp_path, "a model")
    assert abs(facts["volume_ml"] - 499) < 40  # of the label, 498.96 mL
    written, source = read_nifti(tmp_path / "mask.nii.gz"), read_nifti(files[0])
    np.testing.assert_array_equal(written.grid.affine, source.grid.affine)
    np.testing.assert_array_equal(written.values, prediction.mask)
