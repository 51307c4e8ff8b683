"""Numerical parity with a reference implementation: modules run on recorded inputs, outputs compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from transect.apps.published import fill

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Join = Callable[[str, list[Tensor]], Tensor]
Runner = Callable[[Mapping[str, Any]], Tensor]


class Comparison(NamedTuple):
    """Largest absolute error of a quantity against its recorded value, and the tolerance."""

    quantity: str
    error: float
    tolerance: float


def compared(
    quantity: str, ours: Tensor, reference: Tensor, tolerance: float, where: Tensor | None = None
) -> Comparison:
    """The largest absolute error of `ours`; infinite where either value is NaN, so that NaN fails the comparison.

    Args:
        quantity: Its name.
        ours: Computed here.
        reference: Recorded, of the same shape.
        tolerance: Largest error allowed.
        where: Mask of the leading axes, True where the quantity counts; everywhere by default.

    Raises:
        ValueError: the shapes differ.
    """
    if ours.shape != reference.shape:
        raise ValueError(f"{quantity}: found shape {tuple(ours.shape)}, expected {tuple(reference.shape)}")
    if where is not None:
        ours, reference = ours[where], reference[where]
    error = (ours.double() - reference.double()).abs().max().item()
    return Comparison(quantity, error if error == error else float("inf"), tolerance)


def largest(values: Tensor) -> float:
    """The largest magnitude among `values`, the scale of relative tolerances."""
    return values.abs().max().item()


def filled(
    module: ModuleT,
    tensors: Mapping[str, Tensor],
    published_names: Callable[[str], Sequence[str]],
    *,
    ours: str,
    published: str,
    join: Join | None = None,
) -> ModuleT:
    """`module` with recorded weights, in evaluation mode.

    Args:
        module: A part of a model.
        tensors: By the names of the reference's part.
        published_names: Maps a parameter name of the whole model to the published names it is made of.
        ours: Prefix of the part's names in the whole model.
        published: Prefix of the part's names in the reference model.
        join: Combines several published tensors into one, as in `published.fill`, by the whole model's names.
    """
    whole = {published + name: tensor for name, tensor in tensors.items()}
    by_whole_name = None if join is None else lambda name, parts: join(ours + name, parts)
    fill(module, whole, lambda name: published_names(ours + name), source="fixture", join=by_whole_name)
    return module.eval()


def output_of(name: str, case: Mapping[str, Any], runners: Mapping[str, Runner]) -> Tensor:
    """The output of one module of a fixture, by the runner whose key is a prefix of its name.

    Raises:
        ValueError: there is no such runner.
    """
    for start, run in runners.items():
        if name.startswith(start):
            return run(case)
    raise ValueError(f"{name}: no such module, expected one of {', '.join(runners)}")


@contextmanager
def recorded(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Capture the outputs of `modules` by name, through forward hooks; of several calls the last output is kept."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(lambda _, __, output: outputs.update({name: output}))

    handles = [keep(name, module) for name, module in modules.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
