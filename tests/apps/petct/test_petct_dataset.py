"""Prepared slices, training runs, the order of training, the loss and augmentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.apps.petct.studies import a_case, a_study, small
from transect.apps.petct.config import AugmentConfig, Config
from transect.apps.petct.dataset import POSITIONS, RunBatches, TrainingRuns, labelled
from transect.apps.petct.losses import augment, classification_loss
from transect.apps.petct.models.config import ModelConfig
from transect.apps.petct.prepare import prepare, with_neighbours
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.study import Study, StudyCase

SLICES = 20
RNG = np.random.default_rng(0)
VALUES = RNG.random((32, 32, SLICES), np.float32) * 25


def read(case: StudyCase) -> Study:
    """Each slice has its number in a corner, so that it can be recognized."""
    values = VALUES.copy()
    values[31, 31] = np.arange(SLICES)  # the patient's right and front: the first row and column of a prepared slice
    return a_study(values, (3, 4, 11), part=case.part)


def runs(name: str = "slice_context", **model: object) -> TrainingRuns:
    return TrainingRuns([a_case("a"), a_case("b")], read, small(name, **model))


def numbers(item: dict) -> list[int]:
    return np.round(item["images"][:, 0, 0, 0] * 25, 1).astype(int).tolist()


def test_suv_and_hu_become_0_to_1_in_the_orientation_of_a_display():
    values = np.zeros((40, 32, 3), np.float32)
    values[0, 0, 0], values[39, 31, 1], values[5, 3, 2] = 12.5, 400, -1
    hu = np.full(values.shape, -1024, np.float32)
    hu[0, 0], hu[39, 0] = 40, 3000
    config = Config(ModelConfig(inputs="pet+ct"), size=32)
    study = a_study(values, ct=hu)
    images = prepare(study, replace(config, size=40))
    assert images.dtype == np.float32
    assert images.shape == (3, 2, 40, 40)
    assert (images.min(), images.max()) == (0, 1)
    # RAS index (0, 0) is the left and back of the patient: the last column and row.
    assert images[0, 0, -1, -1] == pytest.approx(0.5)
    assert images[1, 0, 0, 0] == 1
    assert images[0, 1, -1, -1] == pytest.approx(0.5)
    assert images[0, 1, -1, 0] == 1
    np.testing.assert_array_equal(prepare(study, config, slice(1, 3)), prepare(study, config)[1:])


def test_any_orientation_in_the_plane_gives_the_same_slices():
    study = a_study(VALUES)
    grid = study.pet.grid
    turned = np.ascontiguousarray(VALUES[::-1].transpose(1, 0, 2))
    affine = grid.affine @ np.array([[0, -1, 0, 31], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    other = replace(study, pet=replace(study.pet, values=turned, grid=replace(grid, affine=affine)))
    np.testing.assert_array_equal(prepare(study, small()), prepare(other, small()))


def test_smaller_slices_are_means_and_larger_ones_are_interpolated():
    values = np.zeros((128, 128, 1), np.float32)
    values[::2, ::2] = 25  # a quarter of the pixels, which sampling every fourth one would miss or exaggerate
    assert prepare(a_study(values), small(size=32))[0, 0, 4:-4, 4:-4] == pytest.approx(0.25, abs=0.01)
    ramp = np.tile(np.arange(32, dtype=np.float32)[:, None, None], (1, 32, 1))
    large = prepare(a_study(ramp), small(size=64))[0, 0, 0][::-1] * 25
    np.testing.assert_allclose(large[2:40], np.arange(0.75, 19.5, 0.5), atol=1e-4)


def test_a_network_that_takes_ct_refuses_a_study_without():
    with pytest.raises(BadInput, match=r"study: CT: found none, expected a CT: the model takes pet\+ct"):
        prepare(a_study(VALUES), small(inputs="pet+ct"))


def test_neighbours_are_further_channels_and_the_ends_repeat():
    images = np.arange(5, dtype=np.float16)[:, None, None, None] + np.array([0, 0.5])[:, None, None]
    found = with_neighbours(images, 3, 2, 1)[:, :, 0, 0]
    assert found.tolist() == [[2, 2.5, 3, 3.5, 4, 4.5], [3, 3.5, 4, 4.5, 4, 4.5]]


def test_a_run_is_consecutive_slices_with_their_labels():
    dataset = runs(run=6)
    whole = prepare(read(dataset.cases[0]), dataset.config).astype(np.float16)
    for index in (0, 1, POSITIONS + 8, POSITIONS + 9):
        item = dataset[index]
        found = numbers(item)
        assert found == list(range(found[0], found[0] + 6))
        np.testing.assert_array_equal(item["images"], whole[found].astype(np.float32))
        assert item["positive"].tolist() == [float(number in (3, 4, 11)) for number in found]
        assert item["counted"].all()
        assert item["inside"].all()
        assert {key: value.dtype for key, value in item.items()} == {
            "images": np.float32,
            "positive": np.float32,
            "counted": bool,
            "inside": bool,
        }


def test_every_second_run_has_tumour_and_the_others_are_anywhere():
    single, longer = runs("resnet18"), runs(run=6)
    positive = [single[index]["positive"].item() for index in range(0, 120)]
    assert positive[::2] == [1.0] * 60
    assert 0 < np.mean(positive[1::2]) < 0.35  # 3 of 20
    assert {numbers(single[index])[0] for index in range(1, 240, 2)} == set(range(SLICES))
    assert all(longer[index]["positive"].any() for index in range(0, 60, 2))
    places = [np.flatnonzero(longer[index]["positive"]) for index in range(0, 120, 2)]
    assert {int(place) for each in places for place in each} == set(range(6))  # not always in the middle


def test_a_study_shorter_than_a_run_is_padded():
    item = runs(run=24)[5]
    assert item["images"].shape == (24, 1, 32, 32)
    assert item["inside"].tolist() == item["counted"].tolist() == [True] * 20 + [False] * 4
    assert numbers(item)[:20] == list(range(20))
    assert not item["images"][20:].any()


def test_slices_of_another_part_are_seen_and_do_not_count():
    parts = [a_case(f"a{number}", part=(number, 5)) for number in range(5)]
    parts = [replace(part, pet="a", label="b") for part in parts]
    seen: list[str] = []

    def counted_read(case: StudyCase) -> Study:
        seen.append(case.id)
        return read(case)

    dataset = TrainingRuns(parts, counted_read, small("slice_context", run=20))
    items = [dataset[POSITIONS * number + 1] for number in range(5)]
    assert all(numbers(item) == list(range(20)) for item in items)
    assert np.sum([item["counted"] for item in items], axis=0).tolist() == [1] * 20
    assert seen == ["a0"]  # one prepared copy serves all parts
    single = TrainingRuns(parts, read, small("resnet18"))
    chosen = {numbers(single[POSITIONS * 2 + index])[0] for index in range(0, 200)}
    assert chosen == set(np.flatnonzero(read(parts[2]).counted))


def test_a_study_without_tumour_has_runs_too():
    dataset = TrainingRuns([a_case("a")], lambda case: a_study(VALUES), small("resnet18"))
    assert dataset[0]["positive"].tolist() == [0.0]


def test_a_study_without_label_is_refused_by_name():
    with pytest.raises(BadInput, match=r"label: found none for one"):
        labelled([StudyCase("one", "one", pet="one.nii.gz")])
    dataset = TrainingRuns([a_case("a")], lambda case: a_study(VALUES, None), small())
    with pytest.raises(BadInput, match="study: label: found none"):
        _ = dataset[0]
    assert list(dataset.copies.root.glob("[0-9]*")) == []


def test_prepared_studies_outlive_loading_processes_and_go_with_the_dataset():
    dataset = runs("resnet18")
    loader = DataLoader(dataset, batch_sampler=RunBatches(2, 2, 2, 0), num_workers=1)
    assert [batch["images"].shape for batch in loader] == [(2, 1, 1, 32, 32)] * 2
    folder = dataset.copies.root
    assert (folder / "0" / "images.npy").is_file()
    del dataset, loader
    assert not folder.exists()


def test_an_epoch_has_as_many_runs_of_each_study_half_of_them_with_tumour():
    for count, tumours in ((4, {2}), (1, {0, 1})):
        batches = RunBatches(4, count, 4, seed=1)
        epochs = []
        for epoch in (0, 1, 0):
            batches.sampler.set_epoch(epoch)
            epochs.append(list(batches))
        assert len(batches) == len(epochs[0])
        flat = [index for batch in epochs[0] for index in batch]
        by_study = [[index for index in flat if index // POSITIONS == study] for study in range(4)]
        assert [len(indices) for indices in by_study] == [count] * 4
        assert {sum(index % 2 == 0 for index in indices) for indices in by_study} == tumours
        assert sum(index % 2 == 0 for index in flat) == 2 * count
        assert epochs[0] == epochs[2] != epochs[1]


def test_all_batches_are_full_but_a_single_one():
    for studies, size, expected in ((5, 2, [2, 2]), (5, 8, [5]), (4, 2, [2, 2])):
        batches = RunBatches(studies, 1, size, seed=0)
        assert [len(batch) for batch in batches] == expected
        assert len(batches) == len(expected)


def test_the_loss_is_the_mean_cross_entropy_of_the_slices_that_count():
    logits, positive = torch.tensor([[1.0, -2.0, 3.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    counted = torch.tensor([[True, True, False]])
    expected = (np.log1p(np.exp(-1)) + np.log1p(np.exp(-2))) / 2
    assert classification_loss(logits, positive, counted).item() == pytest.approx(expected, rel=1e-6)
    assert classification_loss(logits, positive, counted & False).item() == 0


def test_augmentation_is_alike_for_all_slices_of_a_run_and_differs_between_runs():
    image = torch.rand(1, 1, 1, 32, 32)
    torch.manual_seed(0)
    changed = augment(image.repeat(3, 5, 2, 1, 1), AugmentConfig(noise=0), slice(None))
    assert torch.equal(changed, changed[:, :1, :1].expand_as(changed))
    assert not torch.equal(changed[0], changed[1])
    torch.manual_seed(0)
    assert torch.equal(changed, augment(image.repeat(3, 5, 2, 1, 1), AugmentConfig(noise=0), slice(None)))
    noisy = augment(image.repeat(1, 5, 1, 1, 1), AugmentConfig(noise=0.1), slice(None))
    assert not torch.equal(noisy[:, 0], noisy[:, 1])


def test_augmentation_flips_shifts_and_scales_uptake_of_the_pet_alone():
    torch.manual_seed(0)
    images = 0.5 * torch.rand(8, 2, 2, 16, 16)
    plain = AugmentConfig(flip=False, affine=0, shift=0, gain=0, noise=0)
    assert torch.equal(augment(images, plain, slice(None)), images)
    flipped = augment(images, replace(plain, flip=True), slice(None))
    each = [torch.allclose(one, two.flip(-1), atol=1e-5) for one, two in zip(images, flipped, strict=True)]
    same = [torch.allclose(one, two, atol=1e-5) for one, two in zip(images, flipped, strict=True)]
    assert all(a != b for a, b in zip(each, same, strict=True))
    assert 0 < sum(each) < 8
    scaled = augment(images, replace(plain, gain=0.2), slice(0, None, 2))
    assert torch.equal(scaled[:, :, 1], images[:, :, 1])
    ratio = (scaled[:, :, 0] / images[:, :, 0]).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert 0.8 <= ratio.min() < 1 < ratio.max() <= 1.2
    spot = torch.zeros(64, 1, 1, 41, 41)
    spot[..., 20, 20] = 1
    moved = augment(spot, replace(plain, shift=0.1), slice(None))
    places = torch.stack([moved.sum(axis).flatten(1) @ torch.arange(41.0) for axis in (-1, -2)])
    assert 0.6 * 4.1 < (places - 20).abs().max() <= 4.1 + 1e-3
