"""Questions to a subject, and the outcomes of a case."""

from enum import StrEnum
from typing import NamedTuple, NoReturn

from mbtref.suite.header import field
from mbtref.suite.operations import OPERATIONS, Values, fault
from mbtref.suite.subjects.protocol import (
    Crashed,
    Errored,
    ProtocolFault,
    Rejected,
    Subject,
    TimedOut,
    Unsupported,
    account,
)


class Outcome(StrEnum):
    """The outcome of a case. Only `passed` is a pass."""

    PASSED = "passed"
    FAILED = "failed"
    """A value, a rejection or the form of an answer was wrong."""
    UNSUPPORTED = "unsupported"
    """The subject doesn't declare the capability, or says that it doesn't support the operation."""
    NOT_RUN = "not-run"
    """Something that the case needs is missing here, such as the Kodak pictures."""
    ERRORED = "errored"
    """The subject raised, or answered with an error."""
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    PROTOCOL_FAULT = "protocol-fault"
    """Its answer breaks the protocol."""
    KNOWN_FAILURE = "known-failure"
    """It failed, and a --known-failures file says so and why."""


ENDINGS = {
    Crashed: Outcome.CRASHED,
    TimedOut: Outcome.TIMED_OUT,
    ProtocolFault: Outcome.PROTOCOL_FAULT,
    Errored: Outcome.ERRORED,
}
"""The outcome for each exception of a subject."""


class Verdict(BaseException):
    """The end of a case that doesn't pass.

    It isn't an Exception: hypothesis would try such a case again, and a subject that hangs would hang each time.
    """

    stage = ""
    """The first wrong output, if one was compared."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome

    @property
    def cause(self) -> str:
        """What cases with one cause have in common: the first wrong stage, or the first line."""
        return f"the first wrong stage is {self.stage}" if self.stage else str(self).partition("\n")[0]


class WrongAnswer(Verdict, Exception):
    """A wrong answer. Hypothesis may try the case again with a smaller picture."""

    def __init__(self, message: str, stage: str = "") -> None:
        super().__init__(Outcome.FAILED, message)
        self.stage = stage


class KnownFailure(NamedTuple):
    """The known outcome of a case that doesn't pass, and the reason."""

    outcome: Outcome
    reason: str


class Case(NamedTuple):
    """What a test checks: it selects cases and names them in messages and reports."""

    requirement: str
    """One of `requirements.REQUIREMENTS`."""
    name: str

    @property
    def id(self) -> str:
        """Names the case in --known-failures."""
        return f"{self.requirement}/{self.name}"


def failed(message: str, stage: str = "") -> NoReturn:
    """Ends a case whose answer is wrong. stage: the first wrong output, if one was compared."""
    raise WrongAnswer(message, stage)


def ask(subject: Subject, operation: str, model: str | None, inputs: Values) -> Values:
    """The answer of a subject, of the right form. Raises Verdict for everything else."""
    try:
        return attempt(subject, operation, model, inputs)
    except Rejected as rejected:
        stream = inputs.get("stream")
        lines = field(stream, rejected.kind) if model and isinstance(stream, bytes) else []
        failed("\n".join([f"{operation}: refused as {rejected.kind}, should be taken", *lines]))


def attempt(subject: Subject, operation: str, model: str | None, inputs: Values) -> Values:
    """Like `ask`, for inputs that the subject may have to refuse: raises Rejected if the subject does."""
    if OPERATIONS[operation].capability not in subject.capabilities:
        raise Verdict(Outcome.UNSUPPORTED, f"{subject.name} doesn't declare {OPERATIONS[operation].capability}")
    try:
        answer = subject.call(operation, model, inputs)
    except Rejected:
        raise
    except Unsupported as reason:
        raise Verdict(Outcome.UNSUPPORTED, f"{operation}: {reason}") from reason
    except tuple(ENDINGS) as error:
        raise Verdict(ENDINGS[type(error)], f"{operation}: {error}") from error
    except Exception as error:
        raise Verdict(Outcome.ERRORED, f"{operation}: {account(error)}") from error
    wrong = fault(operation, inputs, answer)
    if wrong:
        failed(f"{operation}: {wrong}")
    return answer
