"""The surface of a mask: closed, the right way out, where the mask is, and as large."""

import numpy as np
import pytest

from transect.apps.liver_mri.mesh import surface, write_ply
from transect.data_adapters.volume.resample import reorient
from transect.data_adapters.volume.volume import Grid

RADIUS, CENTRE = 40.0, np.array([30.0, -12.0, 5.0])


def ball(spacing=(2.0, 3.0, 5.0), orientation="RAS", shift=0.0):
    shape = tuple(round(120 / step) for step in spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = CENTRE - (np.array(shape) - 1) / 2 * spacing + [0, 0, shift]
    grid = Grid(shape, affine)
    places = grid.world(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1))
    mask = (np.linalg.norm(places - CENTRE, axis=-1) <= RADIUS).astype(np.uint8)
    return reorient(mask, grid, orientation)


def enclosed(vertices, triangles):
    """Volume in mm3 by the divergence theorem; positive if the normals point outwards."""
    a, b, c = (vertices[triangles[:, corner]].astype(float) for corner in range(3))
    return np.einsum("ni,ni->", a, np.cross(b, c)) / 6


def open_edges(triangles):
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    there = {tuple(edge) for edge in edges.tolist()}
    return [edge for edge in there if edge[::-1] not in there]


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LAS", "SPR"])
def test_a_ball_is_closed_and_has_its_volume_and_place(orientation):
    vertices, triangles = surface(*ball(orientation=orientation))
    assert open_edges(triangles) == []
    assert enclosed(vertices, triangles) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.03)
    assert vertices.mean(axis=0) == pytest.approx(CENTRE, abs=0.5)
    assert np.linalg.norm(vertices - CENTRE, axis=1) == pytest.approx(RADIUS, abs=3)


def test_a_mask_that_reaches_the_edge_is_closed_there():
    vertices, triangles = surface(*ball(shift=50.0))
    assert open_edges(triangles) == []
    assert 0.4 < enclosed(vertices, triangles) / (4 / 3 * np.pi * RADIUS**3) < 0.8


def test_no_voxels_have_no_surface():
    vertices, triangles = surface(np.zeros((9, 8, 7), np.uint8), Grid((9, 8, 7), np.eye(4)))
    assert (vertices.shape, triangles.shape) == ((0, 3), (0, 3))


def test_a_field_of_view_of_metres_has_steps_that_fit():
    mask, grid = ball()
    large = Grid(grid.shape, np.diag([20.0, 20.0, 20.0, 1.0]) @ grid.affine)
    vertices, triangles = surface(mask, large)
    assert len(triangles) < 300_000
    assert vertices.mean(axis=0) == pytest.approx(20 * CENTRE, abs=10)


def test_a_ply_holds_the_mesh(tmp_path):
    vertices, triangles = surface(*ball())
    write_ply(tmp_path / "ball.ply", vertices, triangles)
    head, _, body = (tmp_path / "ball.ply").read_bytes().partition(b"end_header\n")
    assert f"element vertex {len(vertices)}\n".encode() in head
    assert b"comment SPACE=RAS\n" in head
    split = 12 * len(vertices)
    assert np.array_equal(np.frombuffer(body[:split], "<f4").reshape(-1, 3), vertices)
    faces = np.frombuffer(body[split:], [("count", "u1"), ("corners", "<i4", 3)])
    assert set(faces["count"]) == {3}
    assert np.array_equal(faces["corners"], triangles)
