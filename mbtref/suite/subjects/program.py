"""A running program that answers lines with lines, and is ended with its children if it takes too long.

This is the one module of the suite that needs a POSIX system: sessions, signals to a group of processes, `select`
on a pipe. On another system a Python subject runs in the suite's own process, and another program can't be asked.
"""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from mbtref.suite.subjects.protocol import Crashed, ProtocolFault, TimedOut

POSIX = os.name == "posix"
"""Whether a program can be run here."""
CHUNK = 1 << 16
LINE_MAX = 1 << 20
"""Longest answer, bytes."""
LAST_WORDS = 2000
"""How much of the end of standard error a message shows, bytes."""
GRACE = 1.0
"""Seconds from the end of a program's output to its own end."""
QUOTED = 200
"""How much of a wrong answer a message shows, characters."""


class Program:
    """A running program that answers lines with lines.

    arguments: the program and its arguments. timeout: seconds for an answer. more: added to its environment.
    Raises Crashed if it can't start.
    """

    def __init__(self, arguments: Sequence[str], timeout: float, more: Mapping[str, str]) -> None:
        self._timeout = timeout
        self._unread = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the program
        pipe = subprocess.PIPE
        try:
            # in a session of its own, so that its children can be ended with it
            self._process = subprocess.Popen(
                arguments,
                bufsize=0,
                stdin=pipe,
                stdout=pipe,
                stderr=self._errors,
                start_new_session=True,
                env={**os.environ, **more},
            )
        except OSError as error:
            self._errors.close()
            raise Crashed(f"{arguments[0]} can't be started: {error}") from error
        self.stop = weakref.finalize(self, end, self._process, self._errors)
        """Ends the program and its children. Also called when this object is deleted, and when Python ends."""

    def ask(self, request: Mapping[str, object]) -> object:
        """The answer to a request. Raises Crashed, TimedOut, or ProtocolFault for a line that isn't JSON."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # reading its output will show that it ended
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        line = self._line()
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ProtocolFault(f"wrote a line that isn't JSON: {shown(line)}") from error

    def _line(self) -> bytes:
        """The next line of its output."""
        assert self._process.stdout is not None
        output, deadline = self._process.stdout.fileno(), time.monotonic() + self._timeout
        while b"\n" not in self._unread:
            if len(self._unread) > LINE_MAX:
                raise ProtocolFault(f"wrote a line of more than {LINE_MAX} bytes: {shown(self._unread)}")
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                raise TimedOut(f"no answer within {self._timeout:g} s")
            chunk = os.read(output, CHUNK)
            if not chunk:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(GRACE)
                raise Crashed(f"its output ended, its exit status is {self._process.returncode}")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def last_words(self) -> str:
        """The end of its standard error, for a message. Not to be called after `stop`."""
        size = os.fstat(self._errors.fileno()).st_size
        # pread doesn't move the position, which the program shares
        text = os.pread(self._errors.fileno(), LAST_WORDS, max(0, size - LAST_WORDS)).decode(errors="replace")
        return f"; it wrote:\n{text.rstrip()}" if text else ""


def end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """Ends a program and its children, and closes its files."""
    with errors, process, suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def shown(text: object) -> str:
    """The start of a wrong value, for a message."""
    quoted = repr(text)
    return quoted if len(quoted) <= QUOTED else quoted[:QUOTED] + "…"
