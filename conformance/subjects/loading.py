"""From the text after --subject to a subject."""

import importlib

from conformance.subjects.command import Command
from conformance.subjects.protocol import Crashed, ProtocolFault, Subject, TimedOut

PROGRAM = "cmd:"


def load_subject(given: str, timeout: float) -> Subject:
    """A subject by `module:attribute`, where the attribute is a subject or makes one, or by `cmd:program args`.

    timeout: seconds that a program may take for an answer. Raises ValueError if there is no such subject.
    """
    if given.startswith(PROGRAM):
        try:
            return Command(given.removeprefix(PROGRAM), timeout)
        except (Crashed, TimedOut, ProtocolFault) as error:
            raise ValueError(f"--subject {given}: {error}") from error
    module, _, attribute = given.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"--subject {given}: {error}; give module:attribute or cmd:program") from error
    made = found() if callable(found) else found
    absent = [name for name in ("name", "version", "capabilities", "call") if not hasattr(made, name)]
    if absent:
        raise ValueError(f"--subject {given}: it has no {', '.join(absent)}; see conformance/subjects/protocol.py")
    subject: Subject = made
    return subject
