"""Asking: the cases of the suite, the questions that they put to a subject, and how a case may end."""

import runpy
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from mbtref.suite import kodak, vectors
from mbtref.suite.difference import Difference
from mbtref.suite.folders import project_folder
from mbtref.suite.operations import OPERATIONS, Values, fault
from mbtref.suite.requirements import EACH, REQUIREMENTS, TIERS
from mbtref.suite.sample import in_sample
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

NOTHING: Values = MappingProxyType({})


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


class Case(NamedTuple):
    """What a test checks: selects cases, and names them in messages and reports."""

    requirement: str
    """One of `requirements.REQUIREMENTS`."""
    name: str
    catches: str = ""
    """The mistake that it catches, for the message of a failure."""

    @property
    def id(self) -> str:
        """Names the case in --known-failures."""
        return f"{self.requirement}/{self.name}"

    @property
    def capability(self) -> str:
        """The capability that it needs."""
        capability = REQUIREMENTS[self.requirement].capability
        return OPERATIONS[self.name].capability if capability == EACH else capability

    @property
    def tier(self) -> str:
        """The smallest of `requirements.TIERS` that has it."""
        return REQUIREMENTS[self.requirement].tier if in_sample(*self[:2]) else TIERS[-1]

    @property
    def model(self) -> str:
        """The model that it is about; something else if it is about none, or drawn ones."""
        return self.name.partition("/")[0]

    def of(self, *values: object) -> object:
        """This case as a parameter of pytest. values: the arguments of the test."""
        return pytest.param(*values, id=self.id, marks=pytest.mark.case(*self))


def all_cases() -> Iterator[Case]:
    """Every case of the suite, whatever a run collects of it."""
    for path in project_folder("conformance").glob("test_*.py"):
        for test in runpy.run_path(str(path)).values():
            for mark in getattr(test, "pytestmark", ()):
                marks = [m for p in mark.args[1] for m in p.marks] if mark.name == "parametrize" else [mark]
                yield from (Case(*each.args) for each in marks if each.name == "case")


def most_special(catches: Iterable[str]) -> list[str]:
    """What cases with one cause catch: first what the fewest vectors catch, which were made for it alone."""
    purposes = [vector.purpose for vector in vectors.frozen().vectors]
    of = Counter(purposes)
    return sorted({text for text in catches if text}, key=lambda text: (of[text] or len(purposes), text))


class KnownFailure(NamedTuple):
    """The known outcome of a case that doesn't pass, and the reason."""

    outcome: Outcome
    reason: str


class Question(NamedTuple):
    """What a subject is asked. See `operations.OPERATIONS`."""

    operation: str
    model: str | None
    inputs: Values


class Verdict(BaseException):
    """The end of a case that doesn't pass.

    It isn't an Exception: hypothesis would try such a case again, and a subject that hangs would hang each time.
    """

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome

    @property
    def cause(self) -> str:
        """What cases with the same cause have in common."""
        return str(self).partition("\n")[0]


class WrongAnswer(Verdict, Exception):
    """A wrong answer, and all that `explain` needs to say where to look. Hypothesis may try another picture.

    wrong: what is wrong with it. asked, came, due: the question, the answer, and what is known of the right one.
    refusal: the kind with which the subject refused the question, or should have refused it.
    """

    def __init__(
        self,
        wrong: str | Difference,
        asked: Question | None = None,
        came: Values = NOTHING,
        due: Values = NOTHING,
        refusal: str = "",
    ) -> None:
        super().__init__(Outcome.FAILED, str(wrong))
        self.difference = wrong if isinstance(wrong, Difference) else None
        self.asked, self.came, self.due, self.refusal = asked, came, due, refusal

    @property
    def cause(self) -> str:
        return f"the first wrong stage is {self.difference.stage}" if self.difference else super().cause


def ask(
    subject: Subject, operation: str, model: str | None, inputs: Values, rejected: str | None = None
) -> Values:
    """The answer of a subject, of the right form. Raises Verdict for everything else.

    rejected: the kind with which the subject must refuse the question. The answer is then empty.
    """
    capability, asked = OPERATIONS[operation].capability, Question(operation, model, inputs)
    due = f"should be refused as {rejected}" if rejected else "should be taken"
    if capability not in subject.capabilities:
        raise Verdict(Outcome.UNSUPPORTED, f"{subject.name} doesn't declare {capability}")
    try:
        answer = subject.call(operation, model, inputs)
    except Rejected as refused:
        if refused.kind == rejected:
            return NOTHING
        raise WrongAnswer(f"{operation}: refused as {refused.kind}, {due}", asked, refusal=refused.kind) from None
    except Unsupported as reason:
        raise Verdict(Outcome.UNSUPPORTED, f"{operation}: {reason}") from reason
    except Exception as error:
        known = type(error) in ENDINGS
        outcome = ENDINGS[type(error)] if known else Outcome.ERRORED
        raise Verdict(outcome, f"{operation}: {error if known else account(error)}\n{due}") from error
    if rejected:
        raise WrongAnswer(f"{operation}: taken, {due}", asked, refusal=rejected)
    if wrong := fault(operation, inputs, answer):
        raise WrongAnswer(f"{operation}: {wrong}")
    return answer


def round_trip(subject: Subject, model: str, image: npt.NDArray[np.uint8]) -> tuple[Question, Values, Values]:
    """Compresses and decompresses a picture. Returns the first question, and both answers."""
    asked = Question("compress", model, {"image": image})
    blob = ask(subject, *asked)
    try:
        return asked, blob, ask(subject, "decompress", model, blob)
    except WrongAnswer as wrong:
        raise WrongAnswer(str(wrong), asked, blob) from wrong


def kodak_cases(requirement: str, catches: str = "") -> list[object]:
    """The records of kodak.json, one for each picture and model, as parameters of pytest."""
    return [Case(requirement, f"{r['model']}/{r['image']}", catches).of(r) for r in vectors.frozen().kodak]


def kodak_picture(name: str) -> npt.NDArray[np.uint8]:
    """The pixels of a Kodak picture. If the file is missing or wrong, the case ends as not run."""
    try:
        path = kodak.folder() / name
        if not path.exists():
            raise ValueError(kodak.HOW_TO_GET)
        return kodak.pixels(path, name)
    except ValueError as error:
        raise Verdict(Outcome.NOT_RUN, str(error)) from error
