"""From the text after --subject to a subject."""

import importlib
import os
import shlex
import sys

from conformance.subjects.command import Command
from conformance.subjects.protocol import Crashed, ProtocolFault, Subject, TimedOut

PROGRAM = "cmd:"
SERVE = (sys.executable, "-m", "conformance.subjects.serve")


def isolated(given: str, timeout: float) -> Subject:
    """A subject in a process of its own, by `cmd:program args`, quoted as for a shell, or by `module:attribute`.

    timeout: seconds for an answer. Raises ValueError if there is no such subject.
    """
    try:
        if not given.startswith(PROGRAM):
            return Command([*SERVE, given], timeout, {"PYTHONPATH": os.pathsep.join(sys.path)})
        arguments = shlex.split(given.removeprefix(PROGRAM))
        if not arguments:
            raise ValueError("needs a program after cmd:")
        return Command(arguments, timeout)
    except (Crashed, TimedOut, ProtocolFault) as error:
        raise ValueError(str(error)) from error


def in_process(given: str) -> Subject:
    """A subject by `module:attribute`, where the attribute is a subject or makes one.

    Raises ValueError if there is no such subject.
    """
    module, _, attribute = given.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{error}; give module:attribute or cmd:program") from error
    made = found() if callable(found) else found
    absent = [name for name in ("name", "version", "capabilities", "call") if not hasattr(made, name)]
    if absent:
        raise ValueError(f"{given} has no {', '.join(absent)}; see conformance/subjects/protocol.py")
    subject: Subject = made
    return subject
