"""Loops over integers, compiled where numba is installed. Elsewhere Python runs the same functions.

There is one source of a loop, and one result. numba (the extra `fast`) only makes it faster. Its own variable
NUMBA_DISABLE_JIT=1 turns it off, which saves the time that it takes to start.
"""

import importlib.util
import os
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

COMPILES = importlib.util.find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"
"""Whether loops are compiled."""

F = TypeVar("F", bound=Callable[..., Any])
Array: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = Any
"""int64 numbers in the form that a loop is fast on: an array for a compiled loop, otherwise a list."""


def compiled(loop: F) -> F:
    """Compiles a function of int64 numbers and `Numbers`, at its first call on this machine."""
    if not COMPILES:
        return loop
    import numba

    try:
        return cast(F, numba.njit(loop, cache=True))
    except RuntimeError:  # no folder for the cache can be written
        return cast(F, numba.njit(loop))


def numbers(array: Array) -> Numbers:
    """An array in the form for loops. array: int64."""
    return np.ascontiguousarray(array) if COMPILES else array.tolist()
