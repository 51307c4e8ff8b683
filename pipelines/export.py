"""Export the network of a model to ONNX, checked against the model."""

import logging
import os
import tempfile
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from transect.apps.base import Export
from transect.data_adapters.base import BadInput
from transect.data_adapters.files import writing
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError

TOLERANCE = 1e-4
"""Largest difference of the exported network's output from the model's, relative to the largest magnitude above 1."""


def export(name: str, out: Path) -> float | None:
    """Write the network of a model as an ONNX file, and compare it with the model where onnxruntime is installed.

    The file has the inputs, the output and the facts that `App.export` says, in float32, and is computed on a CPU or by
    any other runtime. It appears whole, and only if it agrees with the model.

    Args:
        name: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`.
        out: the file to write, with the suffix ".onnx"; there must be none.

    Returns:
        The largest difference of an output, as TOLERANCE is meant; None without onnxruntime.

    Raises:
        UsageError: the model is an ensemble, or of an app whose networks cannot be exported; `out` is no new file with
            that suffix; onnxscript is not installed.
        BadInput: the exported network computes something else.
    """
    if out.suffix != ".onnx" or os.path.lexists(out) or not out.parent.is_dir():
        raise UsageError(f"--out: found {out}, expected a new file .onnx in a folder that there is")
    if not find_spec("onnxscript"):
        raise UsageError("export: found no package onnxscript, expected it; install it with: pip install onnxscript")
    model = model_folder.load(name, device="cpu")
    if model.members:
        raise UsageError(f"{name}: found an ensemble, expected a single model; export its members instead")
    try:
        settings: Export = model.app.export()
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error
    program = to_onnx(model.module, settings)
    program.model.metadata_props.update({**settings.facts, "source": model.source})
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder, writing(out):
        file = Path(folder) / out.name
        program.save(file)
        difference = _difference(model.module, settings, file) if find_spec("onnxruntime") else None
        file.replace(out)
    return difference


def outcome(difference: float | None) -> str:
    """What the comparison came to, in one line."""
    if difference is None:
        return "not compared with the model: onnxruntime is not installed"
    return f"largest difference of an output from the model's, by onnxruntime: {difference:.1e}"


def to_onnx(module: nn.Module, settings: Export) -> torch.onnx.ONNXProgram:
    """The ONNX program of a network in evaluation mode; its weights are shared with the network until it is saved."""
    lengths = {name: torch.export.Dim(name, min=low, max=high) for name, (low, high) in settings.lengths.items()}
    axes = {
        name: {axis: lengths[length] for axis, length in settings.axes.get(name, {}).items()}
        for name in settings.inputs
    }
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(
            module,
            tuple(settings.inputs.values()),
            input_names=list(settings.inputs),
            output_names=[settings.output],
            dynamic_shapes=axes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program


def _difference(module: nn.Module, settings: Export, file: Path) -> float:
    """The largest difference of the outputs for the example, and for the shortest lengths of axes that may vary."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    shortest = {
        name: _shortened(tensor, settings.axes.get(name, {}), settings.lengths)
        for name, tensor in settings.inputs.items()
    }
    differences = []
    for inputs in (settings.inputs, shortest):
        with torch.no_grad():
            expected: Tensor = module(*inputs.values())
        (found,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        difference = (torch.from_numpy(found) - expected).abs().max().item() / max(1.0, expected.abs().max().item())
        if not difference <= TOLERANCE:
            raise BadInput(file.name, settings.output, f"a difference of {difference:.3g}", f"at most {TOLERANCE}")
        differences.append(difference)
    return max(differences)


def _shortened(tensor: Tensor, axes: Mapping[int, str], lengths: Mapping[str, tuple[int, int]]) -> Tensor:
    for axis, name in axes.items():
        tensor = tensor.narrow(axis, 0, lengths[name][0])
    return tensor
