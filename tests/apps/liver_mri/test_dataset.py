"""Training windows, their augmentation and what is kept of the training volumes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from transect.apps.liver_mri.config import AugmentConfig, State
from transect.apps.liver_mri.dataset import POSITIONS, TrainingWindows, WindowBatches, labelled
from transect.apps.liver_mri.losses import augment, segmentation_loss
from transect.apps.liver_mri.prepare import prepare
from transect.apps.liver_mri.training_data import compared, learned, merged
from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.cases import Label, LabelledVolume, VolumeCase
from transect.data_adapters.volume.phantom import Abdomen, abdomen
from transect.data_adapters.volume.volume import Grid, Volume

CASES = [VolumeCase(name, name, image=name, label="yes") for name in ("a", "b")]


def drawn(seed: int) -> Abdomen:
    return abdomen(np.random.default_rng(seed), (40, 36, 20), (8.0, 8.0, 11.0))


def read(case: VolumeCase) -> LabelledVolume:
    one = drawn(ord(case.id))
    return LabelledVolume(Volume(one.values, one.grid, case.id), lambda: Label(one.liver))


@pytest.fixture(scope="module")
def windows() -> TrainingWindows:
    return TrainingWindows(CASES, read, (9.0, 9.0, 11.0), (16, 16, 32))


def test_windows_are_parts_of_the_prepared_volume(windows):
    image, _ = prepare(read(CASES[1]).volume, windows.spacing)
    item = windows[POSITIONS + 3]
    assert item["image"].shape == item["label"].shape == (1, 16, 16, 32)
    assert item["image"][..., 21:].max() == 0  # the volume has 20 or 21 slices
    patch = item["image"][0, :, :, :20].astype(np.float16)
    views = np.lib.stride_tricks.sliding_window_view(image.astype(np.float16), (16, 16, 20))
    assert (views == patch).all((-1, -2, -3)).sum() == 1


def test_every_second_window_is_centred_on_liver(windows):
    for position in range(0, 20, 2):
        label = windows[position]["label"][0]
        assert label[8, 8].any() or label.mean() > 0.02
    assert np.mean([windows[place]["label"].mean() for place in range(0, 60, 2)]) > 1.2 * np.mean(
        [windows[place]["label"].mean() for place in range(1, 60, 2)]
    )


def test_the_prepared_volumes_are_removed_with_the_dataset():
    dataset = TrainingWindows(CASES, read, (), (16, 16, 32))
    _ = dataset[0]
    folder = dataset.copies.root
    assert folder.is_dir()
    del dataset
    assert not folder.exists()


def test_a_volume_is_read_once():
    seen: list[str] = []

    def counted(case: VolumeCase) -> LabelledVolume:
        seen.append(case.id)
        return read(case)

    dataset = TrainingWindows(CASES, counted, (), (16, 16, 32))
    for index in (0, 5, POSITIONS, 1):
        _ = dataset[index]
    assert seen == ["a", "b"]


def test_a_volume_without_label_is_refused_by_name():
    with pytest.raises(BadInput, match=r"label: found none for scan"):
        labelled([VolumeCase("scan", "scan", image="scan.nii.gz")])
    unlabelled = TrainingWindows(CASES, lambda case: LabelledVolume(read(case).volume), (), (16, 16, 32))
    with pytest.raises(BadInput, match="a: label: found none"):
        _ = unlabelled[0]


def test_an_epoch_has_the_same_number_of_windows_of_each_volume_and_others_in_each_epoch():
    batches = WindowBatches(3, 4, 5, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        batches.sampler.set_epoch(epoch)
        epochs.append(list(batches))
    assert [len(batch) for batch in epochs[0]] == [5, 5, 2]
    assert len(batches) == 3
    flat = [index for batch in epochs[0] for index in batch]
    assert [sum(index // POSITIONS == volume for index in flat) for volume in range(3)] == [4, 4, 4]
    assert sum(index % 2 == 0 for index in flat) == 6
    assert epochs[0] == epochs[2] != epochs[1]


def test_augmentation_follows_torchs_generator_and_keeps_the_label_on_its_organ():
    one = drawn(1)
    image = torch.from_numpy(prepare(Volume(one.values, one.grid), ())[0])[None, None].repeat(2, 1, 1, 1, 1)
    label = torch.from_numpy(np.ascontiguousarray(one.liver[::-1, ::-1]))[None, None].repeat(2, 1, 1, 1, 1)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(augment(image, label, AugmentConfig()))
    assert torch.equal(results[0][0], results[1][0])
    assert not torch.equal(results[0][0], results[2][0])
    assert not torch.equal(results[0][0][0], results[0][0][1])
    torch.manual_seed(0)
    for _ in range(4):  # flips and turns alone: intensities inside the label stay those of the organ
        images, labels = augment(image, label, AugmentConfig(flip="xyz", contrast=0, gain=0, bias=0, noise=0))
        assert set(labels.unique().tolist()) == {0, 1}
        assert images[labels == 1].mean() == pytest.approx(float(image[label == 1].mean()), abs=0.05)


def test_no_augmentation_changes_nothing():
    image, label = torch.rand(1, 1, 4, 5, 6), torch.ones(1, 1, 4, 5, 6, dtype=torch.uint8)
    images, labels = augment(image, label, AugmentConfig("", 0, 0, 0, 0, 0))
    assert torch.equal(images, image)
    assert torch.equal(labels, label)


def test_the_loss_is_dice_and_cross_entropy_summed_over_the_maps():
    torch.manual_seed(0)
    maps = [torch.randn(2, 1, 6, 5, 4) for _ in range(4)]
    label = (torch.rand(2, 1, 6, 5, 4) > 0.5).to(torch.uint8)
    target = label.float()
    expected = sum(
        DiceLoss(sigmoid=True)(logits, target) + torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        for logits in maps
    )
    assert segmentation_loss(maps, label) == pytest.approx(float(expected), rel=1e-6)


def volume(spacing: tuple[float, float, float], size: int = 10, modality: str = "MR", part: str = "ABDOMEN") -> Volume:
    values = np.full((size, size, size), 5, np.int16)
    facts = {"BodyPartExamined": part} if part else {}
    return Volume(values, Grid((size, size, size), np.diag([*spacing, 1.0])), "v", modality, facts)


def test_the_spacing_is_the_median_of_training_but_not_too_fine():
    state = learned([volume((0.7, 0.8, 4.0)), volume((0.7, 0.8, 6.0)), volume((0.7, 0.8, 5.0))], None, False)
    assert state.spacing == (1.5, 1.5, 5.0)
    assert state.shape == (5, 6, 12)
    assert (state.thickest, state.extent, state.resolution) == (6.0, 60.0, "full")
    fast = learned([volume((2.0, 1.6, 4.0))], None, True)
    assert (fast.spacing, fast.resolution) == ((4.0, 3.2, 4.0), "fast")
    assert learned([volume((2.0, 1.6, 4.0))], (1.0, 2.0, 3.0), False).spacing == (1.0, 2.0, 3.0)


def test_a_volume_unlike_the_training_volumes_is_described():
    state = learned([volume((2, 2, 4)), volume((2, 2, 5))], None, False)
    assert compared(volume((2, 2, 6)), state) == []
    assert compared(volume((2, 2, 6), modality="", part=""), state) == []
    assert "slices 9 mm apart, in the training data up to 5 mm" in compared(volume((2, 2, 9)), state)
    assert "modality CT, in the training data MR" in compared(volume((2, 2, 4), modality="CT"), state)
    assert "body part HEAD, in the training data ABDOMEN" in compared(volume((2, 2, 4), part="HEAD"), state)
    assert any("head to foot" in line for line in compared(volume((2, 2, 4), size=40), state))
    negative = volume((2, 2, 4))
    negative.values[0, 0] = -3
    assert compared(negative, state) == []
    negative.values[:2] = -1000
    for known in (state, State()):
        assert "values below zero, as the air of CT has and MR has not" in compared(negative, known)
    assert compared(volume((2, 2, 4)), State()) == []


def test_the_state_of_an_ensemble_is_that_of_all_members():
    states = [learned([volume((2, 2, 4))], None, False), learned([volume((2, 2, 8), part="LIVER")], None, False)]
    both = merged(states)
    assert both.body_parts == ("ABDOMEN", "LIVER")
    assert both.thickest == 8.0
    assert compared(volume((2, 2, 9)), both) == []


def test_loading_processes_do_not_remove_the_prepared_volumes(tmp_path: Path):
    dataset = TrainingWindows(CASES, read, (), (16, 16, 32))
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=WindowBatches(2, 2, 2, 0), num_workers=1)
    assert len(list(loader)) == 2
    assert (dataset.copies.root / "0" / "image.npy").is_file()
