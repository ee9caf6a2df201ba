"""Silence around libraries that write to standard error by themselves."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings aren't shown, and nothing that is written to standard error appears, not even by C libraries.

    Both belong to the whole process: this is for processes of the command line alone.
    """
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        kept = os.open(os.devnull, os.O_WRONLY)
    try:
        with warnings.catch_warnings(action="ignore"), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
