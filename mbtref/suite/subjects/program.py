"""A running program that answers lines with lines, and is ended with its children if it takes too long.

Nothing that it writes or leaves unread takes the suite's memory, its disk, or more time than an answer may take.

This is the one module of the suite that needs a POSIX system: sessions, signals to a group of processes, `select`
on a pipe. On another system a Python subject runs in the suite's own process, and another program can't be asked.
"""

import json
import os
import reprlib
import select
import signal
import subprocess
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mbtref.suite.processors import ALONE
from mbtref.suite.subjects.patience import LOOK, Patience
from mbtref.suite.subjects.protocol import Crashed, ProtocolFault, TimedOut

POSIX = os.name == "posix"
"""Whether a program can be run here."""
CHUNK = 1 << 16
LINE_MAX = 1 << 20
"""Longest answer, bytes."""
LAST_WORDS = 2000
"""How much of the end of standard error is kept for a message, bytes."""
GRACE = 1.0
"""Seconds from the end of a program's output to its own end."""
SWEEPS = 100
"""How often children that go on starting others are looked for."""
QUOTED = 200
"""How much of a wrong answer a message shows, characters."""


class Program:
    """A running program that answers lines with lines.

    arguments: the program and its arguments. timeout: seconds for an answer. more: added to its environment.
    Raises Crashed if it can't start.
    """

    def __init__(self, arguments: Sequence[str], timeout: float, more: Mapping[str, str]) -> None:
        self._timeout, self._owner = timeout, os.getpid()
        self._unread = self._words = b""
        pipe, mark = subprocess.PIPE, f"MBTREF_{uuid.uuid4().hex}"
        try:
            # in a session of its own and with a variable of its own, so that its children can be ended with it
            self._process = subprocess.Popen(
                arguments,
                bufsize=0,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,
                env={**ALONE, **os.environ, **more, mark: ""},
            )
        except OSError as error:
            raise Crashed(f"{arguments[0]} can't be started: {error}") from error
        ends = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._input, self._output, errors = (each.fileno() for each in ends if each)
        os.set_blocking(self._input, False)
        self._errors = [errors]
        """Its standard error; empty once that has ended."""
        self.stop = weakref.finalize(self, end, self._process, mark.encode(), self._owner)
        """Ends the program and its children. Also called when this object is deleted, and when Python ends."""

    @property
    def inherited(self) -> bool:
        """Whether another process started it, of which this one is a fork. Two can't share its pipes."""
        return self._owner != os.getpid()

    def ask(self, request: Mapping[str, object]) -> object:
        """The answer to a request. Raises Crashed, TimedOut, or ProtocolFault for a line that isn't JSON."""
        patience, data = Patience(self._process.pid, self._timeout), json.dumps(request).encode() + b"\n"
        with suppress(BrokenPipeError):  # reading its output will show that it ended
            while data:
                self._wait([], [self._input], patience)
                data = data[os.write(self._input, data) :]
        line = self._line(patience)
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ProtocolFault(f"wrote a line that isn't JSON: {shown(line)}") from error

    def _line(self, patience: Patience) -> bytes:
        """The next line of its output."""
        while b"\n" not in self._unread:
            if len(self._unread) > LINE_MAX:
                raise ProtocolFault(f"wrote a line of more than {LINE_MAX} bytes: {shown(self._unread)}")
            self._wait([self._output], [], patience)
            chunk = os.read(self._output, CHUNK)
            if not chunk:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(GRACE)
                raise Crashed(f"its output ended, its exit status is {self._process.returncode}")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _wait(self, reading: list[int], writing: list[int], patience: Patience) -> None:
        """Waits until one of these can be read or written. Its standard error is read meanwhile."""
        ready: set[int] = set()
        while not ready.intersection(reading + writing):
            if (left := patience.look()) <= 0:
                raise TimedOut(f"no answer within {self._timeout:g} s")
            readable, writable, _ = select.select(reading + self._errors, writing, [], min(left, LOOK))
            ready = {*readable, *writable}
            if ready.intersection(self._errors):
                self._hear()

    def _hear(self) -> None:
        """Reads from its standard error, and keeps the end."""
        chunk = os.read(self._errors[0], CHUNK)
        self._words = (self._words + chunk)[-LAST_WORDS:]
        if not chunk:
            self._errors.clear()

    def last_words(self) -> str:
        """The end of its standard error, for a message. Not to be called after `stop`."""
        for _ in range(LINE_MAX // CHUNK):  # a pipe doesn't hold more
            if select.select(self._errors, [], [], 0)[0]:
                self._hear()
        text = self._words.decode(errors="replace")
        return f"; it wrote:\n{text.rstrip()}" if text else ""


def end(process: subprocess.Popen[bytes], mark: bytes, owner: int) -> None:
    """Ends a program and its children. A fork of the process that owns it leaves it alone."""
    if os.getpid() != owner:
        return
    with process, suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for _ in range(SWEEPS):
        children = list(marked(mark))
        for child in children:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        if not children:
            break


def marked(mark: bytes) -> Iterator[int]:
    """Processes with this variable in their environment, which Linux shows. Elsewhere there are none."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes():
                yield int(path.parent.name)


def shown(value: object) -> str:
    """The start of a wrong value, for a message, however long or deep it is."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = QUOTED
    quoted = brief.repr(value)
    return quoted if len(quoted) <= QUOTED else quoted[:QUOTED] + "…"
