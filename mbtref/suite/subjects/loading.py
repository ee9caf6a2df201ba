"""Turns the text after --subject into a subject."""

import importlib
import inspect
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from mbtref.suite.operations import CAPABILITIES
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.program import POSIX
from mbtref.suite.subjects.protocol import Crashed, ProtocolFault, Subject, TimedOut, account

PROGRAM = "cmd:"
ONNX = "onnx:"
NAMES = {
    "reference": "mbtref.suite.subjects.reference:Reference",
    "float64": "mbtref.suite.subjects.float64:Float64",
    "compressai": "mbtref.suite.subjects.compressai:CompressAI",
    "numpy": "mbtref.suite.subjects.one_file:OneFile",
}
"""Short names of the subjects that come with the suite."""
SERVE = ("-m", "mbtref.suite.subjects.serve")
"""Arguments of Python that run a Python subject, the next argument, as a program."""
ELSEWHERE = "a Python subject runs with --in-process; for another program use WSL"
"""What to do on a system without POSIX."""


def is_program(given: str) -> bool:
    """Whether the text names a program, not a Python subject."""
    return given.startswith(PROGRAM)


def isolated(given: str, timeout: float, more: Mapping[str, str] | None = None) -> Subject:
    """A subject in a process of its own: `cmd:program args` as for a shell, or any text that `in_process` takes.

    timeout: seconds for an answer. more: added to its environment. Raises ValueError if there is no such subject,
    or this system isn't POSIX.
    """
    if not POSIX:
        raise ValueError(f"a process of its own needs a POSIX system; {ELSEWHERE}")
    try:
        if not is_program(given):
            path = {"PYTHONPATH": os.pathsep.join(sys.path)}
            return Command([sys.executable, *SERVE, given], timeout, path | dict(more or {}))
        arguments = shlex.split(given.removeprefix(PROGRAM))
        if not arguments:
            raise ValueError("needs a program after cmd:")
        return Command(arguments, timeout, more)
    except (Crashed, TimedOut, ProtocolFault) as error:
        raise ValueError(str(error)) from error


def in_process(given: str) -> Subject:
    """A subject by one of NAMES, by `onnx:folder`, or by `module:attribute`: a subject, or what makes one.

    `reference@cuda` is made with the argument device="cuda"; so is any other that takes it. Modules are also found
    in the current folder. Raises ValueError if there is no such subject, or it can't be made with this device.
    """
    if given.startswith(ONNX):
        from mbtref.suite.subjects.onnx import Onnx

        return Onnx(Path(given.removeprefix(ONNX)))
    name, _, device = given.partition("@")
    module, _, attribute = NAMES.get(name, name).partition(":")
    if not all(name.isidentifier() for name in (*module.split("."), attribute)):
        raise ValueError(f"give module:attribute, cmd:program, onnx:folder, or one of {', '.join(NAMES)}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that other modules stay as the host finds them
    try:
        target = getattr(importlib.import_module(module), attribute)
        if device and not (callable(target) and "device" in inspect.signature(target).parameters):
            raise ValueError(f"{attribute} can't be told a device: it takes no argument of this name")
        made_with = {"device": device} if device else {}
        subject: Subject = target(**made_with) if callable(target) else target
        absent = [name for name in ("name", "version", "capabilities", "call") if not hasattr(subject, name)]
    except Exception as error:
        names = (*module.split("."), module, attribute)
        not_there = isinstance(error, ImportError | AttributeError) and error.name in names
        plain = not_there or (device and isinstance(error, ValueError))
        raise ValueError(str(error) if plain else account(error)) from error
    if absent:
        raise ValueError(f"{attribute} has no {', '.join(absent)}; protocol.Methods provides call")
    if unknown := [name for name in subject.capabilities if name not in CAPABILITIES]:
        raise ValueError(f"it declares {unknown}; capabilities are {', '.join(CAPABILITIES)}")
    return subject
