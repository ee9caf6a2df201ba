"""What the suite needs of an implementation: a name, a version, what it can do, and a way to ask.

In Python a subject is any object with these three attributes and `call`; `Methods` makes one of a class that has
a method for each operation. A program in any other language is reached through `command`.
"""

import traceback
from collections.abc import Collection
from typing import Protocol

from mbtref.conformance.operations import OPERATIONS, Values


class Unsupported(Exception):
    """The subject doesn't do this."""


class Rejected(Exception):
    """The subject refuses its input: what a decoder owes a malformed stream. kind: as in the specification, §7."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Errored(Exception):
    """The subject says that it failed."""


class Crashed(Exception):
    """The subject's program ended, or couldn't be started."""


class TimedOut(Exception):
    """The subject's program gave no answer in time."""


class ProtocolFault(Exception):
    """What the subject's program wrote isn't an answer to what it was asked."""


def account(error: Exception) -> str:
    """What a subject's exception says, and below it where it was raised: for whoever has to repair it."""
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_tb(error.__traceback__)).rstrip()}"


class Subject(Protocol):
    """An implementation under test."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def capabilities(self) -> Collection[str]:
        """Some of `operations.CAPABILITIES`. What isn't declared isn't asked, and is reported as not supported."""
        ...

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        """Answers one operation of `operations.OPERATIONS`.

        model: the name of an embedded model where the operation needs one. Raises Unsupported or Rejected;
        anything else that is raised is an error of the subject.
        """
        ...


class Methods:
    """A subject whose operations are its methods: `def g_a(self, model, x): return {"y": ...}`.

    Methods of operations without a model take the inputs alone. A missing method is unsupported.
    """

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        method = getattr(self, operation, None)
        if method is None:
            raise Unsupported(operation)
        answer: Values = method(model, **inputs) if OPERATIONS[operation].needs_model else method(**inputs)
        return answer
