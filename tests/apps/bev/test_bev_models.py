"""What holds of all networks: views without order that may be absent, sizes, and what is refused."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.apps.bev.rigs import NAMES, READ, SIZES, ring, sized, small
from transect.apps.bev.config import Config
from transect.apps.bev.models.build import build
from transect.apps.bev.models.config import (
    BackboneConfig,
    BilinearConfig,
    LiftSplatConfig,
    ModelConfig,
    SinBEVTConfig,
)
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.grid import Grid

CLOSE = {"rtol": 0, "atol": 1e-5}


def images(count, batch=1, read=READ):
    """Noise, of which each view has another colour."""
    generator = torch.Generator().manual_seed(count)
    noise = torch.rand(batch, count, 3, read.height, read.width, generator=generator)
    return noise * torch.rand(batch, count, 3, 1, 1, generator=generator)


def test_sinbevt_has_the_published_number_of_parameters():
    network = build(ModelConfig(), ReadConfig(), 2)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert counts == {
        "backbone": 340_160,
        "attention": 19_936 + 75_488 + 296_384,
        "refine": 2_368 + 9_088 + 35_584,
        "down": 45_824 + 182_784,
        "decoder": 244_992 + 37_122,
    }
    assert sum(p.numel() for p in network.parameters()) == 1_609_730


def test_sinbevt_takes_fewer_operations_than_the_reference():
    """The reference takes 36.5 GFLOP, of which the copies of queries in the second attention are nearly 9."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build(ModelConfig(), ReadConfig(), 2).eval()
        network(torch.rand(1, 6, 3, 224, 480), torch.rand(1, 6, 3, 3), torch.rand(1, 6, 4, 4))
    assert 25e9 < counter.get_total_flops() < 28e9


@pytest.mark.parametrize("name", NAMES)
def test_order_of_cameras_does_not_matter(name):
    network, (intrinsics, poses), x = small(name).eval(), ring(6), images(6)
    intrinsics[:, 2, 0, 0] *= 1.2
    order = [4, 2, 0, 5, 1, 3]
    with torch.no_grad():
        expected = network(x, intrinsics, poses)
        torch.testing.assert_close(network(x[:, order], intrinsics[:, order], poses[:, order]), expected, **CLOSE)
        assert (network(x[:, order], intrinsics, poses) - expected).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_view_is_left_out_whatever_it_holds(name):
    network, (intrinsics, poses), x = small(name).eval(), ring(4, batch=2), images(4, 2)
    present = torch.tensor([[True, False, True, True], [True, True, False, False]])
    x[~present] = torch.nan
    poses[~present], intrinsics[~present] = 0.0, torch.nan
    with torch.no_grad():
        logits = network(x, intrinsics, poses, present)
        for sample in range(2):
            part = (tensor[sample][present[sample]][None] for tensor in (x, intrinsics, poses))
            torch.testing.assert_close(logits[sample], network(*part)[0], **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_absent_views_take_no_part_in_training(name):
    """Neither in the statistics of batch normalization nor in gradients."""
    (intrinsics, poses), x = ring(3), images(3)
    padded = [torch.cat([tensor, torch.full_like(tensor[:, :1], 5.0)], 1) for tensor in (x, intrinsics, poses)]
    present = torch.tensor([[True, True, True, False]])
    networks = small(name), small(name)
    networks[0](x, intrinsics, poses).square().mean().backward()
    networks[1](*padded, present).square().mean().backward()
    for (key, buffer), other in zip(networks[0].named_buffers(), networks[1].buffers(), strict=True):
        torch.testing.assert_close(other, buffer, msg=key)
    for (key, parameter), other in zip(networks[0].named_parameters(), networks[1].parameters(), strict=True):
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", range(1, 7))
def test_any_number_of_views_runs(name, count):
    with torch.no_grad():
        logits = small(name).eval()(images(count, 2), *ring(count, batch=2))
    assert logits.shape == (2, 2, 32, 48)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_images_of_odd_sizes_run_and_others_than_configured_are_refused(name):
    read = ReadConfig(height=45, width=67, grid=Grid(16, 24))
    network = small(name, read).eval()
    assert network(images(2, 1, read), *ring(2, read)).shape == (1, 2, 16, 24)
    with pytest.raises(ValueError, match=r"images: found \(32, 56\), expected \(45, 67\)"):
        network(images(2), *ring(2))


def test_geometry_is_computed_once_for_a_calibration_and_anew_when_weights_change(monkeypatch):
    network, (intrinsics, poses), x = small("sinbevt").eval(), ring(2), images(2)
    calls = []
    geometry = network.geometry
    monkeypatch.setattr(network, "geometry", lambda *given: calls.append(1) or geometry(*given))
    with torch.no_grad():
        first = network(x, intrinsics, poses)
        assert torch.equal(network(x, intrinsics.clone(), poses.clone()), first)
        assert len(calls) == 1
        moved = poses.clone()
        moved[..., 0, 3] += 3.0
        other = network(x, intrinsics, moved)
        assert len(calls) == 2
        assert (other - first).abs().max() > 1e-4
        network.attention[0].ray.weight.mul_(-1)
        changed = network(x, intrinsics, moved)
        assert len(calls) == 3
        assert (changed - other).abs().max() > 1e-4
    network(x, intrinsics, moved)
    assert len(calls) == 4, "gradients need the geometry computed anew"


def test_a_network_made_in_inference_mode_predicts():
    with torch.inference_mode():
        network = small("sinbevt").eval()
        first = network(images(2), *ring(2))
        network.attention[0].ray.weight.mul_(-1)
        assert (network(images(2), *ring(2)) - first).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_geometry_keeps_its_precision_under_autocast(name):
    network, calibration = small(name).eval(), ring(3)
    expected = network.geometry(*calibration)
    with torch.autocast("cpu", torch.bfloat16):
        found = network.geometry(*calibration)
        logits = network(images(3), *calibration)
    pairs = zip(torch.utils._pytree.tree_leaves(found), torch.utils._pytree.tree_leaves(expected), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs if isinstance(one, torch.Tensor))
    assert (logits - network(images(3), *calibration)).abs().max() < 0.15


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_changes_nothing(name):
    gradients = []
    for checkpointing in (False, True):
        network = small(name)
        network.backbone.checkpointing = checkpointing
        network(images(2), *ring(2)).square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (BackboneConfig, {"widths": (8,)}, "model.backbone.widths: found"),
        (BackboneConfig, {"widths": (8, 0)}, "model.backbone.widths: found"),
        (SinBEVTConfig, {"dims": (32, 64, 96)}, "model.sinbevt.dims: found .* each twice the one before"),
        (SinBEVTConfig, {"dims": (32, 64)}, "model.sinbevt.heads: found .* 2, as of dims"),
        (SinBEVTConfig, {"heads": (1, 3, 4)}, "model.sinbevt.heads: found .* divisors"),
        (SinBEVTConfig, {"query_windows": ((10, 10), (0, 10), (25, 25))}, "model.sinbevt.query_windows: found"),
        (SinBEVTConfig, {"bottlenecks": (2, -1, 2)}, "model.sinbevt.bottlenecks: found"),
        (SinBEVTConfig, {"decoder": ()}, "model.sinbevt.decoder: found"),
        (SinBEVTConfig, {"decoder": (64, 33)}, "model.sinbevt.decoder: found"),
        (BilinearConfig, {"heights": ()}, "model.bilinear.heights: found"),
        (BilinearConfig, {"heights": (float("nan"),)}, "model.bilinear.heights: found"),
        (BilinearConfig, {"dim": 30}, "model.bilinear.dim: found 30, expected a multiple of 4"),
        (LiftSplatConfig, {"nearest": 0.0}, "model.lift_splat.nearest: found"),
        (LiftSplatConfig, {"farthest": 1.0}, "model.lift_splat.farthest: found"),
        (LiftSplatConfig, {"depths": 1}, "model.lift_splat.depths: found"),
        (ModelConfig, {"backbone": BackboneConfig("residual", (8, 16, 32))}, "model.sinbevt.dims: found 3"),
        (ModelConfig, {"name": "bilinear", "bilinear": BilinearConfig(levels=4)}, "model.bilinear.levels: found 4"),
        (Config, {"read": ReadConfig(grid=Grid(100, 200))}, "read.grid.height: found 100, expected a multiple of 8"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(kind, options, words):
    with pytest.raises(ValueError, match=words):
        kind(**options)


def test_center_is_predicted_next_to_vehicles_alone():
    assert Config().outputs == ("vehicle", "center")
    assert Config(classes=("road", "lane")).outputs == ("road", "lane")


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_sinbevt_has_any_number_of_levels_and_the_same_windows_on_both_sides(levels):
    read = ReadConfig(height=64, width=112, grid=Grid(64, 96))
    sizes = SinBEVTConfig(
        dims=tuple(8 * 2**k for k in range(levels)),
        heads=(2,) * levels,
        query_windows=((5, 7),) * levels,
        bottlenecks=(1,) * levels,
        bev_embedding=(True,) * levels,
        decoder=(8, 8, 8),
    )
    config = ModelConfig(backbone=BackboneConfig("residual", (4, 4, 6, 8)), sinbevt=sizes)
    torch.manual_seed(0)
    network = build(config, read, 1).eval()
    assert network.prior.shape[1:] == (8 * 2 ** (levels - 1), 12 * 2 ** (levels - 1))
    with torch.no_grad():
        assert network(images(2, 1, read), *ring(2, read)).shape == (1, 1, 64, 96)


def test_sizes_of_small_networks_are_those_of_the_tests():
    assert {sized(name).decoder for name in NAMES} == {(16, 8), (8, 8)}
    assert SIZES.levels == 2
