"""Numerical parity of SRMA-Mamba with recorded outputs and gradients of the reference implementation."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from transect.apps.liver_mri.models.srma_mamba import SRMAMamba
from transect.apps.liver_mri.weights import from_reference, published_names
from transect.apps.parity import Comparison, compared, largest, recorded

TOLERANCE = 5e-5
GRADIENT_TOLERANCE = 1e-5
"""Relative to the largest magnitude of a gradient."""


def compare(fixture: Mapping[str, Any]) -> list[Comparison]:
    """Compare intermediate and final outputs, and the gradients of `sum_i mean(w_i out_i)`, in evaluation mode.

    Raises:
        ValueError: the fixture has another form.
    """
    if not {"state_dict", "x", "outputs", "intermediates", "grad"} <= fixture.keys():
        raise ValueError(f"fixture: found {', '.join(fixture)}, expected that of a whole model")
    model = from_reference(fixture["state_dict"], source="fixture").eval()
    return [*_outputs(model, fixture), *_gradients(model, fixture["grad"])]


def _outputs(model: SRMAMamba, fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    modules = {TAPS[name]: module for name, module in model.named_modules() if name in TAPS}
    with torch.no_grad(), recorded(modules) as taps:
        outputs = model(fixture["x"])
    for name, expected in fixture["intermediates"].items():
        yield compared(name, taps[name], expected, TOLERANCE)
    for number, (ours, expected) in enumerate(zip(outputs, fixture["outputs"], strict=True), 1):
        yield compared(f"output {number}", ours, expected, TOLERANCE)


def _gradients(model: SRMAMamba, recording: Mapping[str, Any]) -> Iterator[Comparison]:
    x = recording["x"].clone().requires_grad_()
    loss = sum((weight * output).mean() for weight, output in zip(recording["w"], model(x), strict=True))
    assert isinstance(loss, Tensor)
    loss.backward()
    yield compared("loss", loss.detach(), recording["loss"], TOLERANCE)
    gradients = {published_names(name)[0]: parameter.grad for name, parameter in model.named_parameters()}
    gradients["x"] = x.grad
    for name, expected in (recording["grads"] | {"x": recording["grad_x"]}).items():
        gradient = gradients[name]
        assert gradient is not None
        yield compared(
            f"gradient {name}", gradient.reshape(expected.shape), expected, GRADIENT_TOLERANCE * largest(expected)
        )


TAPS = {
    "stem": "encoder.patch_embed",
    "stages.0.convolution": "encoder.layers.0.blocks.0",
    "stages.0.blocks.0.scan.scans.0": "encoder.layers.0.blocks.1.op.sh",
    "stages.0.blocks.0.scan.scans.1": "encoder.layers.0.blocks.1.op.sw",
    "stages.0.blocks.0.scan.scans.2": "encoder.layers.0.blocks.1.op.sd",
    "stages.0.blocks.0": "encoder.layers.0.blocks.1",
    "refinements.0": "attention1",
    "refinements.1": "attention2",
    "refinements.2": "attention3",
}
"""The modules whose outputs are recorded, by our names and by the published ones."""
