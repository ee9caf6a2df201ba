"""STATE: an answer depends on its question alone, not on questions before it."""

import pytest

from mbtref.suite.cases import Case, Outcome, Question, Verdict, WrongAnswer, ask
from mbtref.suite.difference import first_difference
from mbtref.suite.operations import OPERATIONS, Values
from mbtref.suite.options import anew
from mbtref.suite.questions import Known, alike
from mbtref.suite.subjects.protocol import Subject

ANSWERED = "answered"


def reply(subject: Subject, asked: Question) -> tuple[str, Values]:
    """How a question ends, and its answer, which is empty if there is none."""
    try:
        return ANSWERED, ask(subject, *asked)
    except Verdict as verdict:
        if verdict.outcome in (Outcome.UNSUPPORTED, Outcome.NOT_RUN):
            raise
        kind = isinstance(verdict, WrongAnswer) and verdict.refusal
        return f"refused as {kind}" if kind else verdict.cause, {}


def is_right(known: Known, end: str, came: Values) -> bool:
    """Whether a question ended as it should, as far as that is known."""
    if known.refused:
        return end == f"refused as {known.refused}"
    return end == ANSWERED and not first_difference(came, known.due, known.tolerance)


@pytest.mark.parametrize("operation", [Case("STATE-1", operation).of(operation) for operation in OPERATIONS])
def test_state(subject: Subject, pytestconfig: pytest.Config, operation: str) -> None:
    """A question ends as it did, after others of its size, which end as they do alone."""
    (name, first), *others = alike(subject, operation)
    answer, before, is_judged = ask(subject, *first.asked), name, True
    for other, known in [*others, (name, first)]:
        end, came = reply(subject, known.asked)
        is_same = end == ANSWERED and not first_difference(came, answer, {})
        # the same answer to another question may be right, if all of the right one is known
        is_new = not is_same or (is_judged and known.due.keys() == answer.keys())
        is_fine = is_same if other == name else is_new and (not is_judged or is_right(known, end, came))
        if not is_fine:
            # a wrong answer isn't a sign of memory yet
            tolerance = {} if other == name else known.tolerance
            compare_with_a_new_process(
                pytestconfig, other, before, (end, came), known._replace(tolerance=tolerance)
            )
            is_judged = False
        before = other


def compare_with_a_new_process(
    config: pytest.Config, name: str, before: str, given: tuple[str, Values], known: Known
) -> None:
    """Raises WrongAnswer if a question ends otherwise where nothing was asked before. given: how it ended."""
    end, came = given
    with anew(config) as fresh:
        (alone_end, alone), (again_end, again) = (reply(fresh, known.asked) for _ in range(2))
    if again_end != alone_end:
        raise WrongAnswer(f"{name}, asked twice of a new process, is {alone_end}, then {again_end}")
    if difference := first_difference(again, alone, {}):
        raise WrongAnswer(f"{name}, asked twice of a new process, has two answers: {difference}")
    if end != alone_end:
        raise WrongAnswer(f"{name} is {end} after {before}, and {alone_end} alone\nsomething is kept")
    if difference := first_difference(came, alone, known.tolerance):
        raise WrongAnswer(f"{name} has another answer after {before} than alone: {difference}\nsomething is kept")
