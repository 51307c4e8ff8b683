"""Numba compilation with caching where possible."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """`function` compiled by `numba.njit` on first call, with the on-disk cache if a cache folder is writable.

    numba caches next to the source file or in the user's cache folder, and raises if neither is writable. It recompiles
    a function when its own file changes, but not when a file changes whose functions it calls: after an edit of
    `fragments.py` delete the `.nbi` files in `__pycache__`.
    """
    try:
        return cast(Function, numba.njit(function, cache=True, nogil=True))
    except RuntimeError:
        return cast(Function, numba.njit(function, nogil=True))
