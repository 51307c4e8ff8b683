"""Where pixels look and where points project, and the baselines that are built on it: answers known by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.apps.bev.rigs import FORWARD, READ, ring, sized, small
from transect.apps.bev.models.bilinear import Bilinear
from transect.apps.bev.models.geometry import cell_centres, cells_of, directions, ground, inverse, project, span, to_ego
from transect.apps.bev.models.lift_splat import LiftSplat
from transect.apps.bev.models.views import Views
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.grid import Grid

CPU = torch.device("cpu")
DOWN = torch.tensor([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, -1, 10], [0, 0, 0, 1]])
"""A camera 10 m above the origin that looks down, with forward at the top of its image."""


def test_inverse_is_that_of_linear_algebra():
    matrices = torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(0)) + 2 * torch.eye(3)
    torch.testing.assert_close(inverse(matrices), torch.linalg.inv(matrices), rtol=1e-3, atol=1e-4)


def test_projection_undoes_the_rays_of_pixels():
    intrinsics, poses = ring(5)
    rows, columns = torch.tensor([0.0, 7.5, 31.0]), torch.tensor([0.0, 20.25, 55.0, 60.0])
    for depth in (0.5, 3.0, 40.0):
        points = to_ego(poses, depth * directions(intrinsics, rows, columns))
        for camera in range(5):
            pixels, found = project(intrinsics[:, camera], poses[:, camera], points[0, camera].flatten(0, 1))
            torch.testing.assert_close(found, torch.full((1, 12), depth), rtol=1e-4, atol=1e-4)
            expected = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flip(-1).view(1, 12, 2)
            torch.testing.assert_close(pixels, expected, rtol=0, atol=2e-3)


def test_projection_by_hand():
    """A point 12 m ahead, 3 m to the left and 0.5 m high, from a camera at (2, 0, 1.5) that looks forward."""
    pose = torch.tensor([[0.0, 0, 1, 2], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    intrinsics = torch.tensor([[100.0, 0, 60], [0, 80, 40], [0, 0, 1]])
    pixels, depth = project(intrinsics, pose, torch.tensor([[12.0, 3.0, 0.5]]))
    torch.testing.assert_close(depth, torch.tensor([10.0]))
    torch.testing.assert_close(pixels, torch.tensor([[60 - 30.0, 40 + 8.0]]))


@pytest.mark.parametrize("grid", [Grid(), Grid(60, 100, 0.4, offset=0.3)])
def test_ground_is_the_inverse_of_the_view_matrix(grid):
    rows, columns = torch.tensor([0.0, 12.5, 59.0]), torch.tensor([0.0, 99.0])
    places = ground(grid, rows, columns)
    for i, row in enumerate(rows.tolist()):
        for j, column in enumerate(columns.tolist()):
            expected = np.linalg.solve(grid.matrix, [column, row, 1])[:2]
            np.testing.assert_allclose(places[i, j].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(("grid", "size"), [(Grid(), (50, 50)), (Grid(32, 48, 1.0, offset=-0.25), (8, 12))])
def test_cells_are_found_at_their_centres_and_nowhere_beyond_the_map(grid, size):
    centres = cell_centres(grid, size, CPU)
    expected = torch.arange(size[0] * size[1]).view(size)
    assert torch.equal(cells_of(centres, grid, size), expected)
    step = centres[0, 0] - centres[1, 1]
    assert torch.equal(cells_of(centres + 0.49 * step, grid, size), expected)
    beyond = cells_of(centres[0] + 0.51 * step * torch.tensor([1.0, 0]), grid, size)
    assert (beyond == size[0] * size[1]).all()
    assert (cells_of(centres[:, 0] + 0.51 * step * torch.tensor([0, 1.0]), grid, size) == size[0] * size[1]).all()


def test_cells_lie_where_upsampling_puts_them():
    """Upsampling the places of cells by the decoder's rule gives the places of the pixels."""
    grid = Grid(32, 48, 0.5)
    coarse = cell_centres(grid, (8, 12), CPU).permute(2, 0, 1)[None]
    up = nn.functional.interpolate(coarse, size=(32, 48), mode="bilinear", align_corners=True)
    pixels = ground(grid, torch.arange(32.0), torch.arange(48.0))
    torch.testing.assert_close(up[0].permute(1, 2, 0), pixels, rtol=0, atol=1e-5)
    assert span(5, 8.0, CPU).tolist() == [0, 2, 4, 6, 8]


# ---------------------------------------------------------------- one bright feature under a camera that looks down

LOOK = ReadConfig(height=33, width=49, grid=Grid(32, 48, 0.5))
"""Of an image of which each pixel stands for 0.5 m on the ground, the middle one for the origin."""
INTRINSICS = torch.tensor([[20.0, 0, 24], [0, 20.0, 16], [0, 0, 1]])


def first_channel(network) -> None:
    """Replace all learned parts after the features, so that the first channels come out as they are."""
    network.neck = nn.Identity()
    network.neck.forward = lambda features: features[0]
    network.map_network = nn.Identity()


@pytest.mark.parametrize("place", [(0.0, 0.0), (5.0, -3.5), (-6.5, 10.0)])
def test_bilinear_sampling_puts_a_bright_pixel_into_its_cell(place):
    """At full resolution the cells of the map and the pixels of the image coincide."""
    network = Bilinear(sized("bilinear"), LOOK, 1).eval()
    first_channel(network)
    network.heights, network.size = (0.0, 5.0), (32, 48)
    row, column = 16 - place[0] / 0.5, 24 - place[1] / 0.5
    feature = torch.zeros(1, 8, 33, 49)
    feature[0, 0, int(row), int(column)] = 1.0
    geometry = network.geometry(INTRINSICS[None, None], DOWN[None, None])
    assert geometry.visible[0, 0, 0].all()
    lifted = network.lift([feature], geometry, Views(1, 1))
    assert lifted.shape == (1, 16, 32, 48)
    expected = torch.zeros(32, 48)
    expected[int(row), int(column)] = 1.0
    torch.testing.assert_close(lifted[0, 0], expected, rtol=0, atol=1e-4)
    # A point at a height of 5 m is seen under twice the angle: its pixel is twice as far from the middle.
    seen = (lifted[0, 1] > 0.9).nonzero().tolist()
    half = [16 - place[0] / 2 / 0.5, 24 - place[1] / 2 / 0.5]
    assert seen == ([half] if all(value % 1 == 0 for value in half) else [])


@pytest.mark.parametrize("place", [(0.0, 0.0), (5.0, -3.5), (-6.5, 10.0)])
def test_lift_splat_puts_a_bright_pixel_into_its_cell(place):
    network = LiftSplat(sized("lift_splat"), LOOK, 1).eval()
    first_channel(network)
    network.context = nn.Identity()
    network.size, network.features = (32, 48), (33, 49)
    network.near, network.far, network.depths = 5.0, 15.0, 3
    network.depth = Depth(3, certain=1)
    row, column = int(16 - place[0] / 0.5), int(24 - place[1] / 0.5)
    feature = torch.zeros(1, 8, 33, 49)
    feature[0, 3, row, column] = 2.0
    lifted = network.lift([feature], network.geometry(INTRINSICS[None, None], DOWN[None, None]), Views(1, 1))
    expected = torch.zeros(8, 32, 48)
    expected[3, row, column] = 2.0
    torch.testing.assert_close(lifted[0], expected, rtol=0, atol=1e-4)


class Depth(nn.Module):
    """Depth logits that are sure of one depth everywhere."""

    def __init__(self, depths: int, certain: int) -> None:
        super().__init__()
        self.logits = 50.0 * nn.functional.one_hot(torch.tensor(certain), depths)

    def forward(self, x):
        return self.logits[:, None, None].expand(len(x), -1, *x.shape[2:])


@pytest.mark.parametrize("camera", range(3))
def test_lift_splat_agrees_with_the_projection_of_the_cell(camera):
    """A cell in front of a tilted, rolled camera: lifting the pixel that it projects to, at its depth, leads back."""
    network = LiftSplat(sized("lift_splat"), READ, 1)
    intrinsics, poses = ring(3)
    centres = cell_centres(READ.grid, network.size, CPU).view(-1, 2)
    points = nn.functional.pad(centres, (0, 1))
    pixels, depth = project(intrinsics[0, camera], poses[0, camera], points)
    inside = (depth > 2) & (pixels >= 0).all(1) & (pixels <= torch.tensor([55.0, 31.0])).all(1)
    assert inside.sum() > 5
    for cell in inside.nonzero().flatten().tolist():
        (u, v), z = pixels[cell], depth[cell]
        point = to_ego(poses[:, camera], z * directions(intrinsics[:, camera], v[None], u[None]))
        assert cells_of(point[..., :2], READ.grid, network.size).item() == cell


def test_lift_splat_keeps_all_features_over_the_map_whatever_their_order():
    network = LiftSplat(sized("lift_splat"), READ, 1).eval()
    first_channel(network)
    network.context = nn.Identity()
    intrinsics, poses = ring(4, batch=2)
    features = [torch.rand(8, 8, *network.features, generator=torch.Generator().manual_seed(0))]
    cells = network.geometry(intrinsics, poses)
    lifted = network.lift(features, cells, Views(2, 4))
    assert torch.equal(network.lift(features, cells, Views(2, 4)), lifted), "the sum has a fixed order"
    depth = network.depth(features[0]).softmax(1).unflatten(0, (2, 4)) * (cells < 8 * 12)
    kept = (depth.sum(2)[:, :, None] * features[0].unflatten(0, (2, 4))).sum((1, 3, 4))
    torch.testing.assert_close(lifted.sum((2, 3)), kept, rtol=1e-4, atol=1e-4)


def test_bilinear_features_are_the_mean_over_the_cameras_that_see_a_point():
    network = Bilinear(sized("bilinear"), READ, 1).eval()
    first_channel(network)
    intrinsics, poses = ring(6)
    values = torch.arange(1.0, 7)
    features = [values[:, None, None, None].expand(6, 8, 8, 14).contiguous()]
    geometry = network.geometry(intrinsics, poses)
    sampled = network.lift(features, geometry, Views(1, 6)).unflatten(1, (8, 3))[0, 0]
    visible = geometry.visible[0].float()
    assert {0, 1, 2} <= set(visible.sum(0).int().unique().tolist())
    inner = ((geometry.place.abs() < 0.8).all(-1) | ~geometry.visible).all(1)[0]  # away from the zeros beyond edges
    expected = (visible * values[:, None, None, None]).sum(0) / visible.sum(0).clamp(min=1)
    torch.testing.assert_close(sampled[inner], expected[inner])


def test_points_behind_a_camera_are_not_seen():
    network = small("bilinear")
    intrinsics, poses = ring(1)
    visible = network.geometry(intrinsics, poses).visible[0, 0]
    assert not visible[:, 4:].any(), "rows below the middle are behind a camera that looks forward"
    assert visible[:, :4].any()


def test_a_point_behind_a_camera_on_its_axis_is_not_seen_where_its_pixel_would_be_in_the_image():
    network = small("bilinear")
    centres = cell_centres(READ.grid, network.size, CPU)
    pose = torch.eye(4)
    pose[:3, :3] = FORWARD
    pose[:2, 3] = centres[4, 6]
    intrinsics = torch.tensor([[28.0, 0, 0], [0, 28, 0], [0, 0, 1]])
    visible = network.geometry(intrinsics[None, None], pose[None, None]).visible[0, 0, 0]
    assert visible[:4, 6].all()
    assert not visible[4:].any()
