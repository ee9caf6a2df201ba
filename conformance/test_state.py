"""STATE: an answer depends on its question alone, not on questions before it."""

import pytest

from mbtref.suite.cases import Case, Question, WrongAnswer, ask
from mbtref.suite.difference import first_difference
from mbtref.suite.operations import OPERATIONS, Values
from mbtref.suite.options import anew
from mbtref.suite.questions import alike
from mbtref.suite.subjects.protocol import Subject


@pytest.mark.parametrize("operation", [Case("STATE-1", operation).of(operation) for operation in OPERATIONS])
def test_state(subject: Subject, pytestconfig: pytest.Config, operation: str) -> None:
    """A question gets the same answer again after others of its shape, which get those that they get alone."""

    def alone(*questions: Question) -> list[Values]:
        with anew(pytestconfig) as other:
            return [ask(other, *question) for question in questions]

    (name, first), *others = alike(subject, operation).items()
    answer = ask(subject, *first.asked)
    for other, (asked, due, tolerance) in others:
        after = ask(subject, *asked)
        is_kept = first_difference(after, answer, {}) is None
        # a wrong answer is no sign of memory if it is as wrong alone
        is_suspect = is_kept or first_difference(after, due, tolerance)
        if is_suspect and (difference := first_difference(after, *alone(asked), tolerance)):
            what = "it is the answer to that question" if is_kept else "something of that question"
            raise WrongAnswer(f"{other} has another answer after {name} than alone: {difference}\n{what}, kept")
    if difference := first_difference(ask(subject, *first.asked), answer, {}):
        once, again = alone(first.asked, first.asked)
        if first_difference(again, once, {}):
            raise WrongAnswer(f"{name}, asked twice, has two answers, in a new process too: {difference}")
        raise WrongAnswer(f"{name} has another answer after {other} than before: {difference}")
