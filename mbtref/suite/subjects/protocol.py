"""The interface of an implementation under test: its name, its version, its capabilities and `call`.

In Python a subject is any object with these four. `Methods` provides `call` for a class that has a method for each
operation. `command` makes a subject of a program in any other language.
"""

import traceback
from collections.abc import Collection
from typing import Protocol

from mbtref.suite.operations import OPERATIONS, Values


class Unsupported(Exception):
    """The subject doesn't support the operation."""


class Rejected(Exception):
    """The subject refuses its input, as a decoder refuses a malformed stream. kind: see the specification, §7."""

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
    """The output of the subject's program isn't an answer to the request."""


def account(error: Exception) -> str:
    """The text of a subject's exception, and below it the traceback."""
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_tb(error.__traceback__)).rstrip()}"


class Subject(Protocol):
    """An implementation under test."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def capabilities(self) -> Collection[str]:
        """Some of `operations.CAPABILITIES`. The suite doesn't ask for others, and reports them as unsupported."""
        ...

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        """Answers one operation of `operations.OPERATIONS`.

        model: the name of an embedded model where the operation needs one. Raises Unsupported or Rejected;
        any other exception is an error of the subject.
        """
        ...


class Methods:
    """A subject whose operations are its methods: `def g_a(self, model, x): return {"y": ...}`.

    Methods of operations without a model take the inputs alone. An operation without a method is unsupported.
    """

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        method = getattr(self, operation, None)
        if method is None:
            raise Unsupported("there is no method for it")
        answer: Values = method(model, **inputs) if OPERATIONS[operation].needs_model else method(**inputs)
        return answer
