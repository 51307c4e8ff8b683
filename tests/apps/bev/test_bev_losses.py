"""The loss against the numbers of the reference, and what counts in it."""

import pytest
import torch

from transect.apps.bev.losses import CENTER_WEIGHT, focal, map_loss


@pytest.fixture(scope="module")
def reference(fixtures):
    return torch.load(fixtures / "bev" / "loss_metric_nuscenes.pt", weights_only=True)


def random_maps(channels, classes):
    torch.manual_seed(0)
    logits, masks = torch.randn(2, channels, 12, 12), torch.randint(0, 2, (2, classes, 12, 12))
    return logits, masks, torch.rand(2, 12, 12), torch.randint(1, 5, (2, 12, 12)).byte()


def test_focal_loss_is_that_of_the_reference(reference):
    each = focal(reference["logit"], reference["label"])
    torch.testing.assert_close(each, reference["focal_none"], rtol=1e-5, atol=1e-7)


def test_the_vehicle_loss_is_that_of_the_reference(reference):
    logits, masks, visibility = (reference[name] for name in ("logit", "label", "visibility"))
    known, nothing = torch.ones(visibility.shape, dtype=torch.bool), torch.zeros(visibility.shape)
    no_center = torch.full_like(logits, -100)  # certain that there is none, which costs nothing
    loss = map_loss(torch.cat([logits, no_center], 1), masks, nothing, visibility, known, ["vehicle"])
    torch.testing.assert_close(loss, reference["focal_visible_mean"], rtol=1e-6, atol=0)


def test_soft_targets_cost_least_at_their_value():
    p = torch.tensor([0.2, 0.5, 0.7]).logit().requires_grad_()
    assert focal(torch.tensor([4.0, -4.0]), torch.tensor([1.0, 0.0])).max() < 1e-5
    assert (focal(p, torch.full((3,), 0.5))[1] <= focal(p, torch.full((3,), 0.5))).all()


def test_centres_count_a_tenth_and_only_where_visible():
    logits, masks, center, visibility = random_maps(2, 1)
    known = torch.ones(visibility.shape, dtype=torch.bool)
    whole = map_loss(logits, masks, center, visibility, known, ["vehicle"])
    visible = visibility >= 2
    of_class = focal(logits[:, 0], masks[:, 0].float())[visible].mean()
    torch.testing.assert_close(whole - of_class, CENTER_WEIGHT * focal(logits[:, 1], center)[visible].mean())


def test_the_road_counts_also_below_hidden_vehicles():
    logits, masks, center, visibility = random_maps(3, 2)
    known = torch.ones(visibility.shape, dtype=torch.bool)
    both = map_loss(logits, masks, center, visibility, known, ["vehicle", "road"])
    vehicle = map_loss(logits[:, ::2], masks[:, :1], center, visibility, known, ["vehicle"])
    torch.testing.assert_close(both - vehicle, focal(logits[:, 1], masks[:, 1].float()).mean())
    alone = map_loss(logits[:, 1:2], masks[:, 1:], center, visibility, known, ["road"])
    torch.testing.assert_close(alone, both - vehicle)


@pytest.mark.parametrize("classes", [["vehicle"], ["road"]])
def test_pixels_without_a_label_do_not_count(classes):
    logits, masks, center, visibility = random_maps(2, 1)
    known = torch.ones(visibility.shape, dtype=torch.bool)
    known[..., 0] = False
    changed = logits.clone()
    changed[..., 0] += 9
    arguments = masks, center, visibility, known, classes
    assert map_loss(logits, *arguments) == map_loss(changed, *arguments)
    assert map_loss(logits, masks, center, visibility, torch.zeros_like(known), classes) == 0
