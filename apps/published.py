"""Loading of published checkpoints: untrusted files read safely, tensors mapped to a model's parameter names."""

import json
import pickle
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint

from transect.data_adapters.base import BadInput

#: Keys under which training frameworks store a model's state dict.
NESTED = ("model_state_dict", "state_dict", "model", "net")


def load_reference(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint file, safetensors or a pickle of plain tensors, without running code from it.

    Raises:
        BadInput: the file is missing, damaged, or a pickle that would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(path, "file", "nothing", "a checkpoint")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found, advice = "a pickle that is damaged or would run code", "save its state_dict alone"
        if objects := _pickled_objects(path):
            found += f" for {objects}"
            advice += ", which runs none of it: python -c " + shlex.quote(_SAVE.format(json.dumps(str(path))))
        raise BadInput(path, "contents", found, "tensors", advice) from error
    except Exception as error:  # every parser of a hostile file fails in its own way
        raise BadInput(path, "contents", f"{type(error).__name__}: {error}"[:200], "a checkpoint") from error
    if not isinstance(content, dict):
        raise BadInput(path, "contents", type(content).__name__, "a dict of tensors")
    return content


_SAVE = (
    "import collections, torch, torch.serialization as s; "
    'stub = type("Stub", (), {{"__new__": lambda *_: collections.OrderedDict()}}); '
    "s.add_safe_globals([(stub, name) for name in s.get_unsafe_globals_in_checkpoint({0})]); "
    'torch.save(torch.load({0}, map_location="cpu")["state_dict"], "weights.pt")'
)
"""Saves the state dict of a checkpoint with other pickled objects, such as a trainer's settings, as `weights.pt`.

Classes unknown to torch are replaced by empty stubs: their packages need not be installed, and none of their code runs.
"""


def _pickled_objects(path: Path) -> str:
    """Names of the classes and functions in a checkpoint that torch does not know; "" where they cannot be listed."""
    try:
        listed = get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a damaged file may raise anything
        return ""
    names = sorted(listed, key=lambda name: (name.partition(".")[0] in sys.stdlib_module_names, name))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")


def unwrapped(content: Mapping[str, Any], anchor: str, *, source: str | Path, model: str) -> dict[str, Tensor]:
    """The tensors of a network by their names without a prefix ("module.", "net.").

    The state dict may be nested in a training checkpoint with an optimiser's state; other prefixes are left out.

    Args:
        content: of the checkpoint file.
        anchor: a parameter name that every checkpoint has; its prefix is stripped from all names.
        source: file name for errors.
        model: network name for errors.

    Raises:
        BadInput: there is no such tensor.
    """
    inner: Any = content
    while isinstance(inner, Mapping) and not any(str(name).endswith(anchor) for name in inner):
        deeper = [inner[key] for key in NESTED if isinstance(inner.get(key), Mapping)]
        if not deeper:
            raise BadInput(source, anchor, "no such tensor", "one", f"is it a {model} checkpoint?")
        inner = deeper[0]
    prefix = min((name for name in inner if str(name).endswith(anchor)), key=len).removesuffix(anchor)
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in inner.items()
        if name.startswith(prefix) and isinstance(tensor, Tensor)
    }


def named(tensors: Mapping[str, Tensor], name: str, source: str | Path) -> Tensor:
    """The tensor of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in tensors:
        raise BadInput(source, name, "no such tensor", "one", "is it another model's checkpoint?")
    return tensors[name]


def layer_numbers(tensors: Mapping[str, Tensor], prefix: str) -> set[int]:
    """The layer indices that follow `prefix`, such as "encoder.layers.", in the names of tensors."""
    matches = (re.match(rf"{re.escape(prefix)}(\d+)\.", name) for name in tensors)
    return {int(match[1]) for match in matches if match}


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    names: Callable[[str], Sequence[str]],
    *,
    source: str | Path,
    join: Callable[[str, list[Tensor]], Tensor] | None = None,
) -> None:
    """Load the published `tensors` into `module` under their mapped names.

    Args:
        module: may be on the meta device.
        tensors: all of them must be used.
        names: maps a parameter name of the module to the published names it is made of.
        source: file name for errors.
        join: combines the published parts of a parameter; concatenation along the first axis by default.

    Raises:
        BadInput: a tensor is missing, has another shape than the module's, or is left over.
    """
    state, unused = {}, set(tensors)
    for name, expected in module.state_dict().items():
        published = names(name)
        parts = [named(tensors, other, source) for other in published]
        shapes = ", ".join(str(list(part.shape)) for part in parts)
        try:
            merged = join(name, parts) if join is not None else torch.cat(parts) if parts[0].ndim else parts[0]
        except RuntimeError as error:  # parts of shapes that do not fit each other
            what = " + ".join(published)
            raise BadInput(source, what, f"shape {shapes}", f"{list(expected.shape)} in all") from error
        if merged.shape != expected.shape:
            raise BadInput(source, " + ".join(published), f"shape {shapes}", f"{list(expected.shape)} in all")
        state[name] = merged.to(expected.dtype, copy=True)
        unused.difference_update(published)
    if unused:
        raise BadInput(source, min(unused), "a tensor", "none of that name", "is it another model's checkpoint?")
    module.load_state_dict(state, assign=True)
    module.requires_grad_(True)
