"""Read the weights of a model folder, of which nothing is trusted."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from transect.pipelines.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

LONGEST_REASON = 400
"""Characters of the reason why weights do not fit, which may name hundreds of tensors."""


def read_weights(file: Path) -> "Mapping[str, Tensor]":
    """The tensors of a safetensors file by name.

    Raises:
        UsageError: it cannot be read, does not fit into memory, or has a value that is not finite.
    """
    import torch
    from safetensors.torch import load_file

    with _reading(file):
        tensors = load_file(file)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise UsageError(f"{file}: {name}: found values that are not finite, expected numbers; train it again")
    return tensors


def load_module(build: "Callable[[], nn.Module]", file: Path) -> "nn.Module":
    """The module of `build` with the weights in `file`.

    The module is built without memory for its weights, and no further than the file could fill it.

    Raises:
        UsageError: the settings make no module, or the weights cannot be read or do not fit.
    """
    import torch
    from safetensors import safe_open

    with _reading(file), safe_open(file, "pt") as tensors:
        count = len(tensors.keys())
    try:
        with torch.device("meta"), _at_most(2 * count + 1000, file):
            module = build()
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{file.with_name('config.yaml')}: {' '.join(str(error).split())}") from error
    try:
        module.load_state_dict(read_weights(file), strict=True, assign=True)
    except RuntimeError as error:
        raise UsageError(f"{file}: {shorten(str(error), LONGEST_REASON, placeholder=' ...')}") from error
    return module


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Check the size of a file before it is mapped into memory, and name it in errors."""
    from safetensors import SafetensorError

    try:
        size, memory = file.stat().st_size, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if size > memory:
            raise UsageError(f"{file}: size: found {size:,} bytes, expected at most {memory:,}, this machine's memory")
        yield
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{file}: {' '.join(str(error).split())}") from error


@contextmanager
def _at_most(count: int, file: Path) -> Iterator[None]:
    """Refuse a module with more parameters than `count`, some of which it may not keep, while it is built."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    thread, parameters = threading.get_ident(), 0

    def check(*_: Any) -> None:
        nonlocal parameters
        parameters += threading.get_ident() == thread
        if parameters > count:
            raise UsageError(f"{file}: found fewer tensors than the model of its config.yaml has")

    hook = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        hook.remove()
