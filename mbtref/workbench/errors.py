"""Errors of the tools around the codec, in a module that starts at once. The command line says each in a line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager


class DownloadError(Exception):
    """A file couldn't be downloaded, or isn't the right one."""


class EngineError(Exception):
    """The processes or the cluster that should do the work can't be had, or have ended."""


@contextmanager
def enough_memory() -> Iterator[None]:
    """Raises MemoryError, with a text, for PyTorch's lack of memory too, which has no type of its own."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search("allocate memory|out of memory", str(error)):
            raise
        raise MemoryError("not enough memory: take a smaller file or model, or fewer --jobs") from error
