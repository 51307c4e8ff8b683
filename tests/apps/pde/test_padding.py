"""Padding against numpy, which supports one mode per call."""

import numpy as np
import pytest
import torch

from transect.apps.pde.models.padding import pad

MODES = {"periodic": "wrap", "wall": "reflect", "open": "edge"}


def padded(x: np.ndarray, axis: int, before: int, after: int, mode: str) -> np.ndarray:
    return np.pad(x, [(before, after) if each == axis else (0, 0) for each in range(x.ndim)], mode)


@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_goes_on_by_each_condition_also_further_than_the_axis_is_long(boundary, length):
    x = np.random.default_rng(0).standard_normal((2, length))
    actual = pad(torch.from_numpy(x), [(3, 7)], [(boundary, boundary)])
    assert np.array_equal(actual, padded(x, 1, 3, 7, MODES[boundary]))


def test_each_end_of_each_axis_has_its_own_condition_and_width():
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 3))
    actual = pad(torch.from_numpy(x), [(2, 1), (0, 3), (0, 0)], [("wall", "open"), ("open", "wall"), ("open", "open")])
    expected = padded(padded(x, 1, 2, 0, "reflect"), 1, 0, 1, "edge")
    assert np.array_equal(actual, padded(expected, 2, 0, 3, "reflect"))


def test_gradients_return_to_the_cells_that_were_repeated():
    x = torch.arange(3.0, requires_grad=True)
    pad(x, [(2, 1)], [("periodic", "periodic")]).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    x.grad = None
    pad(x, [(2, 1)], [("open", "wall")]).sum().backward()
    assert x.grad.tolist() == [3.0, 2.0, 1.0]
