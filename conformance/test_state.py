"""STATE: an answer depends on its question alone, not on questions before it."""

import pytest

from mbtref.suite.cases import Case, Outcome, Question, Verdict, WrongAnswer, ask
from mbtref.suite.difference import first_difference
from mbtref.suite.operations import OPERATIONS, Values
from mbtref.suite.options import anew
from mbtref.suite.questions import alike
from mbtref.suite.subjects.protocol import Subject

ANSWERED = "answered"


def reply(subject: Subject, asked: Question) -> tuple[str, Values]:
    """How a question ends, and its answer, which is empty if there is none."""
    try:
        return ANSWERED, ask(subject, *asked)
    except Verdict as verdict:
        if verdict.outcome in (Outcome.UNSUPPORTED, Outcome.NOT_RUN):
            raise
        refusal = isinstance(verdict, WrongAnswer) and verdict.refusal
        return f"refused as {refusal}" if refusal else verdict.cause, {}


@pytest.mark.parametrize("operation", [Case("STATE-1", operation).of(operation) for operation in OPERATIONS])
def test_state(subject: Subject, pytestconfig: pytest.Config, operation: str) -> None:
    """A question gets the same answer again after others of its size, which get those that they get alone."""
    (name, first), *others = alike(subject, operation)
    answer, before, is_judged = ask(subject, *first.asked), name, True
    for other, (asked, due, tolerance, kind) in [*others, (name, first)]:
        end, came = reply(subject, asked)
        is_same = end == ANSWERED and not first_difference(came, answer, {})
        if other == name:
            is_fine = is_same
        elif kind:
            is_fine = not is_judged or end == f"refused as {kind}"
        else:
            is_due = end == ANSWERED and not first_difference(came, due, tolerance)
            is_whole = due.keys() == answer.keys()  # then the same answer may be right
            is_fine = is_due and (is_whole or not is_same) if is_judged else not is_same
        if not is_fine:
            # a wrong answer isn't a sign of memory yet
            with anew(pytestconfig) as fresh:
                (alone_end, alone), (end_again, again) = reply(fresh, asked), reply(fresh, asked)
            if end_again != alone_end or first_difference(again, alone, {}):
                two = f"{alone_end}, then {end_again}: {first_difference(again, alone, {})}"
                raise WrongAnswer(f"{other}, asked twice of a new process, has two answers: {two}")
            if end != alone_end:
                raise WrongAnswer(f"{other} is {end} after {before}, and {alone_end} alone\nsomething is kept")
            if difference := first_difference(came, alone, {} if other == name else tolerance):
                what = "the whole answer" if is_same else "something"
                raise WrongAnswer(
                    f"{other} has another answer after {before} than alone: {difference}\n{what} is kept"
                )
            is_judged = False
        before = other
