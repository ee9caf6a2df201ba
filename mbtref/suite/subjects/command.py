"""A program in any language as a subject: JSON lines on its standard input and output, arrays and bytes as files.

The protocol is in docs/subjects.md, "In any other language". `serve.py` makes such a program of a Python subject,
`web/subject.mjs` is one in JavaScript, `serve.cpp` one in C++. `program.py` runs any, on a POSIX system.
"""

import io
import itertools
import os
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mbtref.suite.operations import CAPABILITIES, Array, Value, Values, most_bytes, native
from mbtref.suite.subjects.data import gaussian_file, model_file
from mbtref.suite.subjects.program import Program, shown
from mbtref.suite.subjects.protocol import Crashed, Errored, ProtocolFault, Rejected, TimedOut, Unsupported

PROTOCOL = 1


class Command:
    """A program as a subject. It is started at once. After a failure the next request starts it again.

    arguments: the program and its arguments. timeout: seconds for an answer. more: added to its environment.
    Raises Crashed, TimedOut or ProtocolFault if the program doesn't greet.
    """

    def __init__(self, arguments: Sequence[str], timeout: float, more: Mapping[str, str] | None = None) -> None:
        self._arguments, self._timeout, self._more = arguments, timeout, more or {}
        self._ids = itertools.count(1)
        self._running: Program | None = None
        with self._program():
            pass  # it has greeted

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        """See `protocol.Subject`. Also raises Errored, Crashed, TimedOut and ProtocolFault."""
        temporary_folder = tempfile.TemporaryDirectory(prefix="mbtref-", ignore_cleanup_errors=True)
        with temporary_folder as temporary, self._program() as program:
            input_folder, folder = Path(temporary, "inputs"), Path(temporary, "outputs")
            input_folder.mkdir()
            folder.mkdir()
            request = {
                "id": next(self._ids),
                "operation": operation,
                "model": model,
                "model_file": None if model is None else str(model_file(model)),
                "gaussian_file": str(gaussian_file()),
                "inputs": {name: str(path) for name, path in write(input_folder, inputs).items()},
                "folder": str(folder),
            }
            files = result(program.ask(request), request["id"])
            most = most_bytes(operation, inputs)
            # what wasn't asked for isn't read: its name is wrong already
            return {name: read(folder, file, most[name]) if name in most else b"" for name, file in files.items()}

    @contextmanager
    def _program(self) -> Iterator[Program]:
        """The running program, or a new one that has greeted. It is stopped if it fails."""
        if self._running and self._running.inherited:
            self._running = None
        new = self._running is None
        program = self._running = self._running or Program(self._arguments, self._timeout, self._more)
        try:
            if new:
                self.name, self.version, self.capabilities = greet(program)
            yield program
        except (Crashed, TimedOut, ProtocolFault) as failure:
            words = program.last_words()
            self.close()
            raise type(failure)(f"{failure}{words}") from failure

    def close(self) -> None:
        """Ends the program."""
        if self._running:
            self._running.stop()
            self._running = None


def greet(program: Program) -> tuple[str, str, Collection[str]]:
    """The handshake. Returns the program's name, version and capabilities.

    Raises Crashed if the program can't begin, ProtocolFault if its answer isn't a greeting.
    """
    answer = program.ask({"protocol": PROTOCOL, "hello": True})
    match answer:
        case {"protocol": number} if number != PROTOCOL:
            pass
        case {"name": str(name), "version": str(version), "capabilities": list(capabilities)}:
            unknown = [c for c in capabilities if c not in CAPABILITIES]
            if unknown:
                raise ProtocolFault(f"declares {shown(unknown)}; capabilities are {', '.join(CAPABILITIES)}")
            return name, version, capabilities
        case {"error": str(text)}:
            raise Crashed(text)
    raise ProtocolFault(f"answered {shown(answer)} to the greeting of protocol {PROTOCOL}")


def result(answer: object, number: object) -> Mapping[str, object]:
    """The files of an answer, by name of the value. number: the request's id.

    Raises Unsupported, Rejected or Errored as the answer says, ProtocolFault if it has none of the four, or two.
    """
    if not isinstance(answer, dict) or answer.get("id") != number or len(answer) != 2:
        raise ProtocolFault(f"answered {shown(answer)} to request {number}")
    match answer:
        case {"result": dict(files)}:
            return files
        case {"unsupported": True}:
            raise Unsupported("the program says so")
        case {"unsupported": str(reason)}:
            raise Unsupported(reason)
        case {"rejected": str(kind)}:
            raise Rejected(kind)
        case {"error": str(text)}:
            raise Errored(text)
    raise ProtocolFault(f"answered {shown(answer)}: neither result, unsupported, rejected nor error")


def write(folder: Path, values: Values) -> dict[str, Path]:
    """Writes each value to a file. Returns the files by name. Raises ValueError for an array of objects."""
    paths = {name: folder / f"{name}.{'bin' if isinstance(v, bytes) else 'npy'}" for name, v in values.items()}
    for name, value in values.items():
        if isinstance(value, bytes):
            paths[name].write_bytes(value)
        else:
            np.save(paths[name], np.ascontiguousarray(value), allow_pickle=False)
    return paths


def read(folder: Path, name: object, most: int) -> Value:
    """The value in a file of the folder, of at most so many bytes. Raises ProtocolFault if there is none."""
    if not isinstance(name, str) or Path(name).name != name:
        raise ProtocolFault(f"names the file {shown(name)}, which isn't in the folder it was given")
    try:
        return value_in(folder / name, most)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ProtocolFault(f"names the file {shown(name)}, which can't be read: {why}") from error


def value_in(path: Path, most: int | None = None) -> Value:
    """The value in a file. Raises OSError, or ValueError for something else than a file of at most so many bytes,
    or a file named .npy that isn't one."""
    with open(path, "rb", opener=at_once) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it isn't a file")
        if most is not None and found.st_size > most:
            raise ValueError(f"it has {found.st_size} bytes, at most {most} are due")
        data = file.read(found.st_size)
    return array(data) if path.suffix == ".npy" else data


def at_once(path: str, flags: int) -> int:
    """Opens without following a link, or waiting for whoever may write to it."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def array(data: bytes) -> Array:
    """The array of a .npy file, in this machine's byte order. Raises ValueError if it isn't one."""
    try:
        values = np.asarray(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False))
    except Exception as error:  # a damaged header makes NumPy raise a dozen kinds of errors
        raise ValueError(f"not a .npy file: {str(error) or type(error).__name__}") from error
    return values.astype(native(values.dtype), copy=False)
