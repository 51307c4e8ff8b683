"""Numba compilation with caching where possible."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])

_stamps: dict[object, str] = {}


def compiled(function: Function) -> Function:
    """`function` compiled by `numba.njit` on first call, with the on-disk cache if a cache folder is writable.

    numba caches next to the source file or in the user's cache folder, and raises if neither is writable.
    """
    try:
        dispatcher: Any = numba.njit(function, cache=True, nogil=True)
    except RuntimeError:
        return cast(Function, numba.njit(function, nogil=True))
    # numba discards a cached function when its own file changes, but not when a constant or a compiled function changes
    # that it imports.
    _stamps[dispatcher] = dispatcher._cache._cache_file._source_stamp = _stamp(cast(FunctionType, function))
    return cast(Function, dispatcher)


def _stamp(function: FunctionType) -> str:
    """Hash of the function's file and of the constants and the compiled functions in its module so far."""
    digest = hashlib.sha256(Path(function.__code__.co_filename).read_bytes())
    for name, value in function.__globals__.items():
        if isinstance(value, bool | int | float | str | tuple | numba.core.dispatcher.Dispatcher):
            digest.update(f"{name}={_stamps.get(value, value)!r}\n".encode())
    return digest.hexdigest()
