"""The losses against their equations, the matching against scipy's Hungarian assignment, and edge cases of labels."""

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from transect.apps.change_detection.losses import Target, change_loss, match
from transect.apps.change_detection.models.mask_decoder import MaskPrediction


def prediction(layers: int = 2, images: int = 3, queries: int = 4, side: int = 4) -> MaskPrediction:
    torch.manual_seed(0)
    logits, masks = torch.randn(layers, images, queries, 2), 2 * torch.randn(layers, images, queries, side, side)
    return MaskPrediction(logits.requires_grad_(), masks.requires_grad_())


def labels(images: int = 3, side: int = 16) -> Tensor:
    torch.manual_seed(1)
    return (torch.rand(images, side, side) < 0.3).to(torch.uint8)


def expected_loss(output: MaskPrediction, target: Tensor) -> Tensor:
    """The published loss for images that all hold an object, one image at a time."""
    total = torch.zeros(())
    for logits, masks in zip(output.class_logits, output.masks, strict=True):
        full = F.interpolate(masks, scale_factor=4, mode="bilinear")
        classes = torch.zeros(logits.shape[:2], dtype=torch.long)
        terms = []
        for i, label in enumerate(target.float()):
            p = full[i].sigmoid()
            entropy = F.binary_cross_entropy_with_logits(full[i], label.expand_as(p), reduction="none")
            correct = torch.where(label > 0, p, 1 - p)
            alpha = torch.where(label > 0, 0.25, 0.75)
            focal = (alpha * (1 - correct) ** 2 * entropy).mean((1, 2))
            dice = 1 - (2 * (p * label).sum((1, 2)) + 1) / (p.sum((1, 2)) + label.sum() + 1)
            cost = 10 * focal - logits[i].softmax(-1)[:, 1] + 10 * dice
            (query,), _ = linear_sum_assignment(cost.detach()[:, None].numpy())
            classes[i, query] = 1
            terms.append(10 * entropy[query].mean() + 10 * dice[query])
        weights = torch.tensor([0.1, 1.0])
        total = total + F.cross_entropy(logits.transpose(1, 2), classes, weights) + sum(terms) / len(terms)
    return total


def test_mask_loss_equals_its_equation():
    output, target = prediction(), labels()
    torch.testing.assert_close(change_loss(output, target), expected_loss(output, target))


def test_image_that_changed_everywhere_keeps_its_object():
    output = prediction(images=1)
    everywhere = torch.ones(1, 16, 16, dtype=torch.uint8)
    torch.testing.assert_close(change_loss(output, everywhere), expected_loss(output, everywhere))


def test_ignored_pixels_count_nowhere():
    output, target = prediction(), labels()
    target[:, :8] = 255
    shuffled = output.masks.detach().clone()
    shuffled[..., 0, :] = 5.0  # reaches only the upper six rows after upsampling
    first, second = change_loss(output, target), change_loss(MaskPrediction(output.class_logits, shuffled), target)
    torch.testing.assert_close(first, second)
    logits = torch.randn(3, 16, 16)
    assert change_loss(logits, target) == change_loss(logits.index_fill(1, torch.arange(8), 9.0), target)


def test_ignored_half_gives_the_loss_of_the_other_half_alone():
    target = labels()
    logits = torch.randn(3, 16, 16)
    ignored = target.clone()
    ignored[:, :8] = 255
    torch.testing.assert_close(change_loss(logits, ignored), change_loss(logits[:, 8:], target[:, 8:]))


def test_image_that_is_ignored_everywhere_says_nothing():
    output, target = prediction(images=3), labels()
    target[2] = 255
    two = MaskPrediction(output.class_logits[:, :2], output.masks[:, :2])
    torch.testing.assert_close(change_loss(output, target), change_loss(two, target[:2]))
    nothing = change_loss(output, torch.full_like(target, 255))
    assert nothing == 0
    assert change_loss(torch.randn(3, 16, 16), torch.full_like(target, 255)).isfinite()


def test_batch_without_change_trains_the_classes_only():
    output = prediction()
    loss = change_loss(output, torch.zeros(3, 16, 16, dtype=torch.uint8))
    loss.backward()
    none = torch.zeros(3, 4, dtype=torch.long)
    torch.testing.assert_close(loss, sum(F.cross_entropy(each.transpose(1, 2), none) for each in output.class_logits))
    assert output.class_logits.grad.abs().min() > 0
    assert not output.masks.grad.any()


def test_match_takes_the_mask_that_fits():
    target = torch.zeros(1, 16, 16)
    target[0, :8] = 1
    masks = torch.full((1, 3, 4, 4), -6.0)
    masks[0, 2, :2] = 6.0
    objects = Target(target.flatten(1), torch.ones(1, 256))
    assert match(torch.zeros(1, 3, 2), masks, objects, (16, 16)).tolist() == [2]


def test_pixel_loss_equals_its_equation():
    logits, target = torch.randn(3, 16, 16), labels()
    truth, p = target.float(), logits.sigmoid()
    dice = 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
    torch.testing.assert_close(change_loss(logits, target), F.binary_cross_entropy(p, truth) + dice)


@pytest.mark.parametrize("perfect", [True, False])
def test_loss_prefers_the_truth(perfect):
    target = labels()
    logits = torch.where((target == 1) == perfect, 20.0, -20.0)
    assert (change_loss(logits, target) < 0.01) == perfect


def test_sizes_that_are_no_multiple_of_four_are_cropped():
    output = prediction()
    target = labels()[:, :14, :15]
    wide = F.pad(target, (0, 1, 0, 2), value=255)
    torch.testing.assert_close(change_loss(output, target), change_loss(output, wide))
