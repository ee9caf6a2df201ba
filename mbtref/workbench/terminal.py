"""The one way to a terminal: lines that show every name as it is, on standard streams that are always there."""

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from mbtref.suite.reports.markup import plain


def say(*lines: object, write: Callable[..., Any] = print) -> None:
    """Prints lines on standard output. write: prints one; beside a progress bar its `write`. Raises OSError."""
    for line in lines:
        write(plain(line))


def warn(line: object, write: Callable[..., Any] = print) -> None:
    """Prints a line on standard error, if that can be. write: as for `say`."""
    with contextlib.suppress(OSError):
        write(plain(line), file=sys.stderr)


def begin() -> None:
    """Makes a closed standard stream the null device, whose number a file would get otherwise, with all prints.

    A sign that a console lacks is escaped.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error


def end(status: int) -> int:
    """Sends out what was printed. Returns the status, or 1 for 0 if standard output was lost."""
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python flushes again when it exits
            if stream is sys.stdout:
                status = status or 1
                if not isinstance(error, BrokenPipeError):  # whose reader has enough
                    warn(f"mbtref: standard output: {error.strerror}")
    return status
