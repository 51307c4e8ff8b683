"""Loops over masses compiled by numba."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """`function` in machine code, made at its first call and kept for later runs where there is a folder for it.

    numba looks beside the source and then in the user's cache folder, and refuses where neither can be written. It
    compiles a function anew when its own file changes, not when another file does whose functions it calls: after an
    edit of `fragments.py` delete the `.nbi` files in `__pycache__`.
    """
    try:
        return cast(Function, numba.njit(function, cache=True, nogil=True))
    except RuntimeError:
        return cast(Function, numba.njit(function, nogil=True))
