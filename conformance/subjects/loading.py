"""From the text after --subject to a subject."""

import importlib
import os
import shlex
import sys
from collections.abc import Mapping

from conformance.operations import CAPABILITIES
from conformance.subjects.command import Command
from conformance.subjects.protocol import Crashed, Errored, ProtocolFault, Subject, TimedOut, account

PROGRAM = "cmd:"
SERVE = (sys.executable, "-m", "conformance.subjects.serve")


def isolated(given: str, timeout: float, more: Mapping[str, str] | None = None) -> Subject:
    """A subject in a process of its own, by `cmd:program args`, quoted as for a shell, or by `module:attribute`.

    timeout: seconds for an answer. more: added to its environment. Raises ValueError if there is no such subject.
    """
    try:
        if not given.startswith(PROGRAM):
            return Command([*SERVE, given], timeout, {"PYTHONPATH": os.pathsep.join(sys.path), **(more or {})})
        arguments = shlex.split(given.removeprefix(PROGRAM))
        if not arguments:
            raise ValueError("needs a program after cmd:")
        return Command(arguments, timeout, more)
    except (Crashed, TimedOut, ProtocolFault, Errored) as error:
        raise ValueError(str(error)) from error


def in_process(given: str) -> Subject:
    """A subject by `module:attribute`, where the attribute is a subject or makes one.

    Modules are also found in the current folder. Raises ValueError if there is no such subject.
    """
    module, _, attribute = given.partition(":")
    if not all(name.isidentifier() for name in (*module.split("."), attribute)):
        raise ValueError("give module:attribute, such as mypkg.codec:Subject, or cmd:program")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
        subject: Subject = found() if callable(found) else found
    except Exception as error:
        names = (*module.split("."), module, attribute)
        not_there = isinstance(error, ImportError | AttributeError) and error.name in names
        raise ValueError(str(error) if not_there else account(error)) from error
    if absent := [name for name in ("name", "version", "capabilities", "call") if not hasattr(subject, name)]:
        raise ValueError(f"{attribute} has no {', '.join(absent)}; derive it from protocol.Methods, it needs all")
    if unknown := [name for name in subject.capabilities if name not in CAPABILITIES]:
        raise ValueError(f"it declares {unknown}; capabilities are {', '.join(CAPABILITIES)}")
    return subject
