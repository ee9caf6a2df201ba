"""Turns the text after --subject into a subject."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mbtref.suite.folders import project_folder
from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.program import POSIX
from mbtref.suite.subjects.protocol import Crashed, ProtocolFault, Subject, TimedOut, account

PROGRAM = "cmd:"
ONNX = "onnx:"
JAVASCRIPT = "js"
"""The codec in JavaScript, `web/subject.mjs`."""
NODE = 20
"""The oldest version of Node that runs it."""
NAMES = {
    "reference": "mbtref.suite.subjects.reference:Reference",
    "float64": "mbtref.suite.subjects.float64:Float64",
    "compressai": "mbtref.suite.subjects.compressai:CompressAI",
    "numpy": "mbtref.suite.subjects.one_file:OneFile",
}
"""Short names of the Python subjects that come with the suite."""
SHORT = (*NAMES, JAVASCRIPT)
"""All short names."""
SERVE = ("-m", "mbtref.suite.subjects.serve")
"""Arguments of Python that run a Python subject, the next argument, as a program."""
ELSEWHERE = "a Python subject runs with --in-process; for another program use WSL"
"""What to do on a system without POSIX."""


def is_program(given: str) -> bool:
    """Whether the text names a program, not a Python subject."""
    return given == JAVASCRIPT or given.startswith(PROGRAM)


def program(given: str) -> list[str]:
    """The program that a text names, and its arguments. Raises ValueError if there is none."""
    if given == JAVASCRIPT:
        return [node(), str(project_folder("web") / "subject.mjs")]
    words = shlex.split(given.removeprefix(PROGRAM))
    if not words:
        raise ValueError("needs a program after cmd:")
    return words


def node() -> str:
    """The path of Node. Raises ValueError if it isn't there, or is too old."""
    path = shutil.which("node")
    if path is None:
        raise ValueError(f"needs Node {NODE} or later; there is no node on the PATH")
    version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip()
    if not (number := re.match(r"v(\d+)\.", version)) or int(number[1]) < NODE:
        raise ValueError(f"needs Node {NODE} or later; {path} is {version or 'not Node'}")
    return path


def isolated(given: str, timeout: float, more: Mapping[str, str] | None = None) -> Subject:
    """A subject in a process of its own: `cmd:program args` as for a shell, `js`, or what `in_process` takes.

    timeout: seconds for an answer. more: added to its environment. Raises ValueError if there is no such subject,
    or this system isn't POSIX.
    """
    if not POSIX:
        raise ValueError(f"a process of its own needs a POSIX system; {ELSEWHERE}")
    try:
        if not is_program(given):
            path = {"PYTHONPATH": os.pathsep.join(sys.path)}
            return Command([sys.executable, *SERVE, given], timeout, path | dict(more or {}))
        return Command(program(given), timeout, more)
    except (Crashed, TimedOut, ProtocolFault) as error:
        raise ValueError(str(error)) from error


def in_process(given: str) -> Subject:
    """A subject by one of NAMES, by `onnx:folder`, or by `module:attribute`: a subject, or what makes one.

    Modules are also found in the current folder. Raises ValueError if there is no such subject.
    """
    if is_program(given):
        raise ValueError("a program has a process of its own: leave out --in-process")
    if given.startswith(ONNX):
        from mbtref.suite.subjects.onnx import Onnx

        return Onnx(Path(given.removeprefix(ONNX)))
    module, _, attribute = NAMES.get(given, given).partition(":")
    if not all(name.isidentifier() for name in (*module.split("."), attribute)):
        raise ValueError(f"give module:attribute, cmd:program, onnx:folder, or one of {', '.join(SHORT)}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that other modules stay as the host finds them
    try:
        target = getattr(importlib.import_module(module), attribute)
        subject: Subject = target() if callable(target) else target
        absent = [name for name in ("name", "version", "capabilities", "call") if not hasattr(subject, name)]
    except Exception as error:
        names = (*module.split("."), module, attribute)
        not_there = isinstance(error, ImportError | AttributeError) and error.name in names
        raise ValueError(str(error) if not_there else account(error)) from error
    if absent:
        raise ValueError(f"{attribute} has no {', '.join(absent)}; protocol.Methods provides call")
    if unknown := [name for name in subject.capabilities if name not in CAPABILITIES]:
        raise ValueError(f"it declares {unknown}; capabilities are {', '.join(CAPABILITIES)}")
    return subject
